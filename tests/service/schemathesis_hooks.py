"""What schemathesis is not to send, though the OpenAPI document allows it.

Loaded by schemathesis' own process (``SCHEMATHESIS_HOOKS``).
"""

from typing import Any

import schemathesis
from jsonschema import Draft202012Validator, ValidationError

__all__ = ["filter_body"]


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Leave out bodies that are refused, or cannot be carried out, for a documented reason.

    To JSON Schema 3.0 is an integer, to the codec it is none (see `aioenv.schema`). A step that is
    given next to no time takes too long, and every 5xx counts as a fault. So does what an
    environment raises for want of a reset's option of its own, which nobody checks before.
    """
    if context.operation is not None and context.operation.path == "/reset":
        schema = context.operation.schema.raw_schema["components"]["schemas"]["ResetRequest"]
        if any(map(_is_own, Draft202012Validator(schema).iter_errors(body))):
            return False
    return not _has_whole_float(body) and not _is_hasty(body)


def _is_own(fault: ValidationError) -> bool:
    """Whether a reset's fault is in an option of the environment's own."""
    option = next(iter(fault.absolute_path), None)
    return fault.validator == "required" or option not in (None, "seed", "episode_id")


def _has_whole_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(_has_whole_float, value))
    return isinstance(value, float) and value.is_integer()


def _is_hasty(body: Any) -> bool:
    timeout_s = body.get("timeout_s") if isinstance(body, dict) else None
    return isinstance(timeout_s, int | float) and timeout_s < 10
