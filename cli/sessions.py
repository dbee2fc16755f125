"""The sessions: what a service has to answer over WebSockets."""

import contextlib
import json
from typing import Any

from attrs import define

from aioenv.cli.checklist import Checklist, Fault, Skipped, shown
from aioenv.cli.doors import SEED, Seen
from aioenv.cli.probe import Lost, Probe, Talk, is_refusal
from aioenv.cli.replies import check_error, check_kind

__all__ = ["Sessions"]

_STEPS = 3
_MOST_TRIES = 8  # to find an action that the environment plays
_MOST_SESSIONS = 1024  # to open in search of the limit


@define
class Sessions:
    """Checks the sessions of a service.

    Args:
        probe: asks it.
        seen: what comes is kept there.
        is_full: whether to open sessions until the service refuses one.
    """

    _probe: Probe
    _seen: Seen
    _is_full: bool = False

    async def check(self, checklist: Checklist) -> None:
        """Make every check."""
        await checklist.run_async("replies", self._replies)
        await checklist.run_async("reset", self._reset, ("replies",))
        begun = ("replies", "reset")
        await checklist.run_async("state", self._state_shape, begun)
        await checklist.run_async("episode-id", self._episode_id, (*begun, "state"))
        await checklist.run_async("step", self._step, begun)
        await checklist.run_async("step-count", self._step_count, (*begun, "state", "step"))
        await checklist.run_async("close", self._close, ("replies",))
        await checklist.run_async("error-codes", self._error_codes, begun)
        await checklist.run_async("recovery", self._recovery, (*begun, "state"))
        await checklist.run_async("odd-frames", self._odd_frames, (*begun, "state"))
        await checklist.run_async("isolation", self._isolation, (*begun, "step-count"))
        await checklist.run_async("capacity", self._capacity, ("replies",))

    # One session

    async def _replies(self) -> str:
        """Each request gets one reply, of its kind, and nothing comes that nobody asked for."""
        async with self._probe.talk() as talk:
            check_kind(talk.first, "a state", "state", "error")
            check_kind(await talk.ask("reset", {}), "a reset", "observation", "error")
            check_kind(await talk.ask("state"), "a state", "state", "error")
            with contextlib.suppress(Skipped):
                action = self._seen.next_action()
                check_kind(await talk.ask("step", action), "a step", "observation", "error")
            check_kind(await talk.ask("state"), "a state", "state", "error")
            check_kind(await talk.ask("reset", {}), "a reset", "observation", "error")
            late, _ = await talk.leave()
        if late:
            raise Fault(
                f"it sent what nobody asked for: {shown(late[0])}",
                "send one frame for each request; clients take the next for their reply",
            )
        return "one reply for each request, of its kind, in order"

    async def _reset(self) -> str:
        async with self._probe.talk() as talk:
            reply = await talk.ask("reset", {"seed": SEED, "episode_id": "validate"})
        self._seen.add_observation(check_kind(reply, "a reset", "observation"), "a reset")
        return "an observation"

    async def _episode_id(self) -> str:
        async with self._probe.talk() as talk:
            for asked in ("validate-1", "validate-2"):
                await talk.ask("reset", {"episode_id": asked})
                got = (await self._state(talk))["episode_id"]
                if got != asked:
                    raise Fault(
                        f"the state's episode_id is {shown(got)} after a reset with {shown(asked)}",
                        "keep the episode_id that reset is given",
                    )
        return "the state has the episode_id that was asked for"

    async def _state_shape(self) -> str:
        async with self._probe.talk() as talk:
            await self._begin(talk)
            await self._state(talk)
        return "a state"

    async def _step(self) -> str:
        async with self._probe.talk() as talk:
            await self._begin(talk)
            action, _ = await self._play(talk)
        return f"an observation, for {shown(action)}"

    async def _step_count(self) -> str:
        async with self._probe.talk() as talk:
            await self._begin(talk)
            await self._check_count(talk, 0)
            taken, is_done = 0, False
            while taken < _STEPS and not is_done:
                _, observation = await self._play(talk)
                taken, is_done = taken + 1, observation["done"]
                await self._check_count(talk, taken)
            await self._begin(talk)
            await self._check_count(talk, 0)
        return f"the state counts steps ({taken} of them), and begins anew with each reset"

    async def _close(self) -> str:
        async with self._probe.talk() as talk:
            _, code = await talk.leave()
        if code != 1000:
            raise Fault(
                f"a close ended the connection with the code {code}",
                "close the WebSocket with 1000",
            )
        return "the service closes with 1000"

    # Errors

    async def _error_codes(self) -> str:
        told = []
        for frame, what, code in self._faulty_frames():
            async with self._probe.talk() as talk:
                await self._begin(talk)
                with contextlib.suppress(Lost):  # of which the next check tells
                    check_error(await talk.ask_raw(frame, what), what, code)
            told.append(code)
        return f"{', '.join(dict.fromkeys(told))}, each with its message"

    async def _recovery(self) -> str:
        cases = self._faulty_frames()
        async with self._probe.talk() as talk:
            await self._begin(talk)
            for frame, what, _ in cases:
                before = await self._place(talk)
                try:
                    reply = await talk.ask_raw(frame, what)
                    after = await self._place(talk)
                except Lost as lost:
                    raise Fault(
                        f"{what} cost the session: {lost.detail}",
                        "answer with an error, and let the session go on",
                    ) from lost
                if reply.get("type") == "error" and after != before:
                    raise Fault(
                        f"after {what} the state says {shown(after)}, not {shown(before)}",
                        "refuse what is not valid before the environment sees it",
                    )
        return f"the session goes on after each of {len(cases)} faulty requests"

    async def _odd_frames(self) -> str | tuple[str, str]:
        """OpenEnv's own service loses the session here, so that this is no more than an advice."""
        lost = []
        odd: tuple[tuple[str | bytes, str], ...] = (("[1]", "an array"), (b"{}", "a binary frame"))
        for frame, what in odd:
            async with self._probe.talk() as talk:
                await self._begin(talk)
                try:
                    await talk.ask_raw(frame, what)
                    await self._state(talk)
                except Fault:
                    lost.append(what)
        if lost:
            advice = "answer with an error instead; OpenEnv's own service does not do so either"
            return f"{' and '.join(lost)} cost the session", advice
        return "an array and a binary frame do not cost the session"

    def _faulty_frames(self) -> list[tuple[str, str, str]]:
        """Return faulty requests: the frame, what it is, and the error's code."""
        frames = [
            ("{bad", "a frame that is no JSON", "INVALID_JSON"),
            ('{"type": "nope"}', "a request of an unknown type", "UNKNOWN_TYPE"),
        ]
        with contextlib.suppress(Skipped):
            action = self._seen.next_action()
            wrong = self._seen.schemas.wrong_actions(action) if self._seen.schemas else ()
            for what, data in wrong:
                frame = json.dumps({"type": "step", "data": data})
                frames.append((frame, what, "VALIDATION_ERROR"))
        return frames

    # Several sessions

    async def _isolation(self) -> str:
        async with self._probe.talk() as one, self._probe.connect() as other:
            reply = await other.ask("reset", {})
            if is_refusal(reply):
                raise Skipped(
                    "it has no second session at this time",
                    "allow more with MAX_CONCURRENT_ENVS, if the environment can be there twice",
                )
            await self._begin(one)
            before = (await self._state(other))["step_count"]
            await self._play(one)
            counts = [(await self._state(talk))["step_count"] for talk in (one, other)]
        if before != 0 or counts != [1, 0]:
            raise Fault(
                f"a step in one session made the counts of two {shown(counts)}, not [1, 0]",
                "make an environment of its own for each connection",
            )
        return "two sessions do not share an episode"

    async def _capacity(self) -> str:
        if not self._is_full:
            raise Skipped("not tried", "--full opens sessions until the service refuses one")
        async with contextlib.AsyncExitStack() as stack:
            for number in range(_MOST_SESSIONS):
                talk = await stack.enter_async_context(self._probe.connect())
                reply = await talk.ask("state")
                if reply.get("type") == "error":
                    return await self._check_refusal(talk, reply, number)
        raise Skipped(f"it takes {_MOST_SESSIONS} sessions at a time, and more were not tried")

    async def _check_refusal(self, talk: Talk, reply: dict[str, Any], number: int) -> str:
        what = f"session {number + 1}"
        check_error(reply, what, "CAPACITY_REACHED")
        data = reply["data"]
        for name in ("active_sessions", "max_sessions"):
            if not isinstance(data.get(name), int):
                raise Fault(f"the refusal of {what} has the {name} {shown(data.get(name))}")
        if await talk.hear("the end of a refused session") is not None:
            raise Fault(f"{what} was refused, and went on all the same", "close what is refused")
        return f"{what} was refused with CAPACITY_REACHED ({data['max_sessions']} allowed)"

    # Private methods

    async def _begin(self, talk: Talk) -> None:
        data = check_kind(await talk.ask("reset", {"seed": SEED}), "a reset", "observation")
        self._seen.add_observation(data, "a reset")

    async def _state(self, talk: Talk) -> dict[str, Any]:
        data = check_kind(await talk.ask("state"), "a state", "state")
        return self._seen.add_state(data, "a state")

    async def _check_count(self, talk: Talk, expected: int) -> None:
        count = (await self._state(talk))["step_count"]
        if count != expected:
            raise Fault(
                f"the state counts {count} steps after {expected}",
                "count each step once, and begin anew with each reset",
            )

    async def _place(self, talk: Talk) -> dict[str, Any]:
        """Return where the episode stands; a state may hold a clock beside it."""
        state = await self._state(talk)
        return {name: state.get(name) for name in ("episode_id", "step_count")}

    async def _play(self, talk: Talk) -> tuple[dict[str, Any], dict[str, Any]]:
        """Take one step with an action that the environment plays; return action and observation.

        Raises:
            Skipped: it played none of several.
        """
        data: dict[str, Any] = {}
        for _ in range(_MOST_TRIES):
            action = self._seen.next_action()
            reply = await talk.ask("step", action)
            data = check_kind(reply, f"the step {shown(action)}", "observation", "error")
            if reply["type"] == "observation":
                return action, self._seen.add_observation(data, "a step")
            if data.get("code") != "EXECUTION_ERROR":
                raise self._refusal(action, data)
        raise Skipped(
            f"the environment failed at {_MOST_TRIES} actions: {shown(data.get('message'))}",
            "pass one that it takes with --action",
        )

    def _refusal(self, action: dict[str, Any], data: dict[str, Any]) -> Fault:
        """Tell whose fault it is that an action was refused."""
        schemas = self._seen.schemas
        misfit = schemas.misfit("action", action) if schemas else ""
        if misfit:  # what is made up fits: this one was passed
            return Fault(
                f"the action {shown(action)} does not satisfy the schema: {misfit}",
                "pass one that does with --action",
            )
        return Fault(
            f"the action {shown(action)} satisfies the schema, and was refused: {shown(data)}",
            "have the schema say all that is asked of an action, or pass one with --action",
        )
