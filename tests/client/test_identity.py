"""Identity: every reply belongs to its request and every state to its episode, in a crowd."""

import asyncio
import random

import pytest

from aioenv import State
from echo_env import EchoAction, EchoEnv

EPISODES = 1000
STEPS = 20


def random_text(rng: random.Random) -> str:
    """Make up a message from all of Unicode, lone surrogates and the empty message included."""
    length = rng.choice([0, 1, 2, 3, 5, 8, 50])
    ranges = [(0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF), (0xD800, 0xDFFF)]
    text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(length))
    # Two surrogates that make a pair are one character to JSON (RFC 8259, section 7).
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


async def test_a_thousand_episodes_at_a_time(echo_process: str) -> None:
    """1,000 concurrent episodes of 20 steps each hear what they said, and nothing else."""

    async def play(number: int) -> None:
        rng = random.Random(number)
        async with EchoEnv(echo_process, message_timeout_s=None) as env:
            await env.reset(episode_id=f"episode {number}")
            everybody.append(number)
            for step in range(1, STEPS + 1):
                message = random_text(rng) + rng.choice(["", f"{number}/{step}"])
                result = await env.step(EchoAction(message))
                assert result.observation.echoed_message == message
                assert result.observation.message_length == len(message)
                assert result.reward == pytest.approx(len(message) / 10)
                assert result.metadata == {"step_count": step}
            assert await env.state() == State(episode_id=f"episode {number}", step_count=STEPS)
            if len(everybody) == EPISODES:
                all_have_begun.set()
            await all_have_begun.wait()  # so that all of them are in session at a time

    everybody: list[int] = []
    all_have_begun = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(EPISODES):
            group.create_task(play(number))
    assert len(everybody) == EPISODES


async def test_episodes_that_are_disturbed(echo_process: str) -> None:
    """Episodes whose steps are cancelled at random still hear only what they said last."""

    async def play(number: int) -> None:
        rng = random.Random(number)
        async with EchoEnv(echo_process, message_timeout_s=None) as env:
            await env.reset(episode_id=f"episode {number}")
            done = begun = 0
            for step in range(STEPS):
                message = f"{number}/{step} {random_text(rng)}"
                stepping = asyncio.ensure_future(env.step(EchoAction(message)))
                begun += 1
                if rng.random() < 0.6:
                    for _ in range(rng.choice([0, 1, 2, 5, 20])):
                        await asyncio.sleep(0)
                    stepping.cancel()
                try:
                    result = await stepping
                except asyncio.CancelledError:
                    outcomes["cancelled"] += 1
                    continue
                outcomes["done"] += 1
                assert result.observation.echoed_message == message
                count = result.observation.metadata["step_count"]
                assert done < count <= begun
                done = count
            state = await env.state()
            assert state.episode_id == f"episode {number}"
            assert done <= state.step_count <= begun

    outcomes = {"done": 0, "cancelled": 0}
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(play(number))
    assert min(outcomes.values()) > 200
