"""What schemathesis is not to send, though the OpenAPI document allows it.

Loaded by schemathesis' own process (``SCHEMATHESIS_HOOKS``).
"""

from typing import Any

import schemathesis

__all__ = ["filter_body"]


@schemathesis.hook
def filter_body(_: schemathesis.HookContext, body: Any) -> bool:
    """Leave out bodies that are refused, or cannot be carried out, for a documented reason.

    To JSON Schema 3.0 is an integer, to the codec it is none (see `aioenv.schema`). A step that is
    given next to no time takes too long, and every 5xx counts as a fault.
    """
    return not _has_whole_float(body) and not _is_hasty(body)


def _has_whole_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(_has_whole_float, value))
    return isinstance(value, float) and value.is_integer()


def _is_hasty(body: Any) -> bool:
    timeout_s = body.get("timeout_s") if isinstance(body, dict) else None
    return isinstance(timeout_s, int | float) and timeout_s < 10
