"""The replies: whether an observation, a state or an error has the wire's shape."""

import json
import math
from typing import Any

from aioenv.cli.checklist import Fault, shown

__all__ = ["check_error", "check_kind", "read_observation", "read_state"]


def check_kind(reply: dict[str, Any], what: str, *kinds: str) -> dict[str, Any]:
    """Return the data of a reply of one of these types.

    Raises:
        Fault: it is of another, or has no data.
    """
    if reply.get("type") not in kinds:
        raise Fault(f"the reply to {what} is no {' or '.join(kinds)}, but {shown(reply)}")
    data = reply.get("data")
    if not isinstance(data, dict):
        raise Fault(f"the reply to {what} has no object as its data: {shown(reply)}")
    return data


def read_observation(data: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the observation that a reply holds, with its reward and its end put back.

    Raises:
        Fault: it has not the shape of one.
    """
    observation, reward, done = data.get("observation"), data.get("reward"), data.get("done")
    if not isinstance(observation, dict):
        raise Fault(
            f"the reply to {what} has no observation: {shown(data)}",
            'answer {"observation": {…}, "reward": …, "done": …}',
        )
    is_number = isinstance(reward, int | float) and not isinstance(reward, bool)
    if "reward" not in data or not (reward is None or (is_number and math.isfinite(reward))):
        wrong = shown(reward) if "reward" in data else "missing"
        raise Fault(f"the reward of {what} is {wrong}", "send a finite number, or null")
    if not isinstance(done, bool):
        raise Fault(f"the 'done' of {what} is {shown(done)}", "send true or false")
    _check_numbers(observation, what)
    return {**observation, "reward": reward, "done": done}


def read_state(data: dict[str, Any], what: str) -> dict[str, Any]:
    """Return a state.

    Raises:
        Fault: it has not the shape of one.
    """
    count, episode_id = data.get("step_count"), data.get("episode_id")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise Fault(f"the step_count of {what} is {shown(count)}", "send how many steps there were")
    if not isinstance(episode_id, str | None):
        raise Fault(f"the episode_id of {what} is {shown(episode_id)}", "send a text, or null")
    _check_numbers(data, what)
    return data


def check_error(reply: dict[str, Any], what: str, code: str) -> None:
    """Check that a reply is an error with a code.

    Raises:
        Fault: it is not.
    """
    data = check_kind(reply, what, "error")
    if data.get("code") != code:
        raise Fault(
            f"the error for {what} has the code {shown(data.get('code'))}, not {code}: "
            f"{shown(data)}",
            f'send {{"type": "error", "data": {{"message": …, "code": "{code}"}}}}',
        )
    if not isinstance(data.get("message"), str):
        raise Fault(f"the error for {what} has no message: {shown(data)}", "say what is wrong")


def _check_numbers(value: Any, what: str) -> None:
    """Refuse what our reader lets pass, and others do not."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise Fault(
            f"the reply to {what} holds NaN or Infinity, which JSON does not know: {shown(value)}",
            "send null",
        ) from error
