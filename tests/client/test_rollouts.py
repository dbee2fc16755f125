"""Rollouts: every episode once, whatever happens to it, and nothing left behind."""

import asyncio
import contextlib
import itertools
import random
import re
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from attrs import define

from aioenv import Closed, Observation, State, StepResult, dumps, loads
from aioenv.client import EnvClient, Episode, Failure, GenericEnvClient, RandomPolicy, rollout
from aioenv.client.rollouts import Rollout
from aioenv.service import Environment
from echo_env import EchoEnv
from tests.client.scripted import Peer, error, observation, scripted
from tests.conftest import Serve, Served, eventually
from tests.environments import AsyncWorld, Census, Heard, Tally, Word, populate

Policy = Any


class WorldEnv(EnvClient[Word, Heard, Tally]):
    """Plays a world."""


def say(text: str) -> Policy:
    """Return a policy that always says the same."""
    return lambda result, episode: {"text": text}


async def collect(run: Rollout[Any, Any]) -> list[Any]:
    """Return a rollout's trajectories in the order of their episodes."""
    async with run:
        return sorted([item async for item in run], key=lambda item: item.episode)


@define
class Countdown(Observation):
    """Tells how many steps are left."""

    left: int


@define
class Tick:
    """One step."""


class CountdownEnvironment(Environment[Tick, Countdown, State]):
    """Ends after as many steps as its seed says; tells the options of its reset."""

    def __init__(self) -> None:
        self._state = State()
        self._left = 0

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, start: int = 0
    ) -> Countdown:
        """Begin at the seed, or at `start`."""
        self._left = start or seed or 0
        self._state = State(episode_id=episode_id)
        return Countdown(
            self._left, done=self._left == 0, metadata={"seed": seed, "episode_id": episode_id}
        )

    async def step(self, action: Tick) -> Countdown:
        """Count down; only every second step is rewarded."""
        self._left -= 1
        reward = 1.0 if self._left % 2 else None
        return Countdown(self._left, done=self._left == 0, reward=reward)

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state


async def serve_countdown(serve: Serve, **settings: Any) -> Served:
    """Serve countdowns."""
    return await serve(
        CountdownEnvironment, action=Tick, observation=Countdown, state=State, **settings
    )


class TestTrajectories:
    """What is recorded of an episode."""

    async def test_each_episode_is_played_once(self, serve: Serve, census: Census) -> None:
        """Every episode is handed over exactly once, with all that happened in it."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        trajectories = await collect(
            rollout(client, say("hello"), episodes=20, concurrency=4, steps=3)
        )
        assert [item.episode for item in trajectories] == list(range(20))
        assert len({item.episode_id for item in trajectories}) == 20
        for item in trajectories:
            assert item.ending == "steps"
            assert item.failure is None
            assert (item.attempts, item.seed) == (1, None)
            assert (item.length, item.total_reward) == (3, 15.0)
            assert len(item.step_latencies_s) == 3
            assert item.observation == {"text": "ready", "metadata": {}}
            assert [step.action for step in item.steps] == [{"text": "hello"}] * 3
            assert [step.observation["metadata"]["step"] for step in item.steps] == [1, 2, 3]
            assert [step.reward for step in item.steps] == [5.0] * 3
        await client.close()

    async def test_typed_clients_get_their_models(self, serve: Serve, census: Census) -> None:
        """With a typed client, policies see and trajectories hold instances of the models."""
        served = await serve(populate(census, AsyncWorld))

        def answer(result: StepResult[Heard], episode: Episode) -> Word:
            return Word(result.observation.text + "!")

        async with WorldEnv(served.url) as client:
            (item,) = await collect(rollout(client, answer, episodes=1, steps=2))
            assert item.observation == Heard("ready")
            assert [step.action for step in item.steps] == [Word("ready!"), Word("ready!!")]
            assert isinstance(item.steps[1].observation, Heard)
            assert (await client.reset()).observation == Heard("ready")

    async def test_trajectory_is_json(self, serve: Serve, census: Census) -> None:
        """`aioenv.dumps` writes a trajectory as an object of plain values, models included."""
        served = await serve(populate(census, AsyncWorld))
        async with WorldEnv(served.url) as client:
            run = rollout(client, lambda result, episode: Word("a"), episodes=1, steps=1, seed=7)
            (item,) = await collect(run)
        written = loads(dumps(item))
        assert written == {
            "episode": 0,
            "episode_id": item.episode_id,
            "seed": 7,
            "attempts": 1,
            "ending": "steps",
            "failure": None,
            "length": 1,
            "total_reward": 1.0,
            "observation": {"done": False, "reward": None, "metadata": {}, "text": "ready"},
            "steps": [
                {
                    "action": {"text": "a"},
                    "observation": {
                        "done": False,
                        "reward": 1.0,
                        "metadata": {"step": 1},
                        "text": "a",
                    },
                    "reward": 1.0,
                    "done": False,
                }
            ],
            "step_latencies_s": [pytest.approx(item.step_latencies_s[0])],
        }

    async def test_endings(self, serve: Serve) -> None:
        """A trajectory tells whether the environment, the limit or the policy ended it."""
        served = await serve_countdown(serve)
        client = GenericEnvClient(served.url)

        def count(result: StepResult[Any], episode: Episode) -> dict[str, Any] | None:
            return None if episode.index == 4 and episode.step == 1 else {}

        trajectories = await collect(rollout(client, count, episodes=5, steps=2, seed=0))
        assert [(item.ending, item.length) for item in trajectories] == [
            ("done", 0),
            ("done", 1),
            ("done", 2),
            ("steps", 2),
            ("policy", 1),
        ]
        assert [item.total_reward for item in trajectories] == [0.0, 0.0, 1.0, 1.0, 1.0]
        await client.close()

    async def test_steps_need_not_be_kept(self, serve: Serve) -> None:
        """With `keep_steps=False` a trajectory holds what its steps came to, not the steps."""
        served = await serve_countdown(serve)
        client = GenericEnvClient(served.url)
        run = rollout(client, lambda result, episode: {}, episodes=1, seed=4, keep_steps=False)
        (item,) = await collect(run)
        assert item.steps == []
        assert (item.length, item.total_reward, item.ending) == (4, 2.0, "done")
        assert len(item.step_latencies_s) == 4
        await client.close()

    async def test_reset_gets_seed_id_and_options(self, serve: Serve) -> None:
        """A reset is asked for the episode's seed, its id, and what `reset_options` add."""
        served = await serve_countdown(serve)
        client = GenericEnvClient(served.url)
        run = rollout(
            client,
            lambda result, episode: {},
            episodes=3,
            seed=5,
            reset_options=lambda index: {"start": 1} if index else {"seed": 2},
        )
        trajectories = await collect(run)
        assert [item.seed for item in trajectories] == [2, 6, 7]
        assert [item.length for item in trajectories] == [2, 1, 1]
        for item in trajectories:
            asked = {"seed": item.seed, "episode_id": item.episode_id}
            assert item.observation["metadata"] == asked
        await client.close()


@pytest.mark.parametrize(
    ("client", "policy", "words"),
    [
        (EchoEnv, lambda *_: None, "rollout() takes a client, or a Fleet of clients, not <class"),
        (EchoEnv("http://x"), {}, "a policy is a function of a result and an episode, not {}"),
    ],
)
async def test_what_cannot_be_played(client: Any, policy: Any, words: str) -> None:
    """What is no client or no policy is refused at once, not episode by episode."""
    with pytest.raises(TypeError, match=re.escape(words)):
        rollout(client, policy, episodes=1)


class TestPolicies:
    """How a policy is asked."""

    async def test_policy_may_be_async_and_remember(self, serve: Serve, census: Census) -> None:
        """An ``async def`` policy is awaited, and its episode's memory lasts as long as that."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        async def tell(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            story = episode.memory.setdefault("story", [str(episode.index)])
            await asyncio.sleep(0)
            story.append(result.observation["text"])
            return {"text": "-".join(story)}

        trajectories = await collect(rollout(client, tell, episodes=3, concurrency=2, steps=2))
        assert [item.steps[-1].action["text"] for item in trajectories] == [
            f"{index}-ready-{index}-ready" for index in range(3)
        ]
        await client.close()

    async def test_seed_makes_runs_alike(self, serve: Serve, census: Census) -> None:
        """The same seed gives the same actions, in whatever order the episodes are played."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        policy = RandomPolicy(served.service.contract.schemas()["action"])
        runs = [
            await collect(rollout(client, policy, episodes=6, concurrency=n, steps=3, seed=seed))
            for n, seed in ((1, 11), (6, 11), (6, 12))
        ]
        said = [[[step.action for step in item.steps] for item in run] for run in runs]
        assert said[0] == said[1]
        assert said[0] != said[2]
        assert said[0][1:] == said[2][:-1]  # episode i of seed s is episode 0 of seed s + i
        await client.close()

    async def test_policy_that_raises_fails_its_episode(self, serve: Serve, census: Census) -> None:
        """A policy's error is its episode's failure; the others go on, in the same session."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        def sometimes(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            if (episode.index, episode.step) == (1, 1):
                raise LookupError("no idea")
            return {"text": "x"}

        trajectories = await collect(rollout(client, sometimes, episodes=3, concurrency=1, steps=2))
        assert [item.ending for item in trajectories] == ["steps", "failed", "steps"]
        failed = trajectories[1]
        assert failed.failure == Failure("PolicyFailed", "the policy raised LookupError: no idea")
        assert (failed.attempts, failed.length, len(failed.steps)) == (1, 1, 1)
        assert census.made == 1
        await client.close()

    async def test_cancellation_inside_a_policy_is_its_own(
        self, serve: Serve, census: Census
    ) -> None:
        """A policy out of which a cancellation escapes fails its episode, not the rollout."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        async def confused(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task
            raise AssertionError

        trajectories = await collect(rollout(client, confused, episodes=2, concurrency=2))
        assert {item.failure.kind for item in trajectories} == {"PolicyFailed"}
        assert "CancelledError" in trajectories[0].failure.message
        await client.close()


class TestFailures:
    """Episodes that fail."""

    async def test_environment_that_fails(self, serve: Serve, census: Census) -> None:
        """An environment's error is its episode's failure; the next episode gets a new session."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        def provoke(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            return {"text": "raise" if episode.index == 0 and episode.step == 2 else "x"}

        trajectories = await collect(rollout(client, provoke, episodes=2, concurrency=1, steps=3))
        failed, fine = trajectories
        assert failed.failure is not None
        assert failed.failure.kind == "EnvironmentFailed"
        assert "it broke" in failed.failure.message
        assert (failed.ending, failed.attempts, failed.length) == ("failed", 1, 2)
        assert fine.failure is None
        assert census.made == 2
        await client.close()

    async def test_action_that_does_not_fit(self, serve: Serve, census: Census) -> None:
        """An action that the service refuses fails its episode, and is not tried again."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        (item,) = await collect(
            rollout(client, lambda result, episode: {"txet": "x"}, episodes=1, retries=5)
        )
        assert item.failure is not None
        assert item.failure.kind == "InvalidRequest"
        assert "txet" in item.failure.message
        assert item.attempts == 1
        await client.close()

    async def test_service_that_is_not_there(self, unused_port: int) -> None:
        """Where nobody listens, every episode fails after its retries, and the rollout ends."""
        client = GenericEnvClient(f"http://127.0.0.1:{unused_port}")
        run = rollout(client, say("x"), episodes=5, concurrency=2, retries=1)
        trajectories = await collect(run)
        assert {item.failure.kind for item in trajectories} == {"ConnectionFailed"}
        assert {item.attempts for item in trajectories} == {2}
        assert run.statistics().retries == 5
        assert run.statistics().failed == 5
        await client.close()

    async def test_lost_session_begins_anew(self) -> None:
        """An episode whose session is lost is played again from its reset, as a whole."""
        service = Moody()
        async with service:
            client = GenericEnvClient(service.url)
            run = rollout(client, say("x"), episodes=3, concurrency=1, steps=4, seed=0)
            trajectories = await collect(run)
            await client.close()
        assert [item.attempts for item in trajectories] == [2, 1, 1]
        assert [item.length for item in trajectories] == [4, 4, 4]
        assert [item.failure for item in trajectories] == [None] * 3
        assert run.statistics().retries == 1
        assert run.statistics().steps == 12 + 2

    async def test_service_that_dies(self, serve: Serve, census: Census) -> None:
        """When the service dies, the rest of the episodes fail with that, and the rollout ends."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        run = rollout(client, say("x"), episodes=40, concurrency=4, steps=5, retries=1)
        kinds = []
        async with run:
            async for item in run:
                kinds.append(item.failure and item.failure.kind)
                if len(kinds) == 8:
                    await served.server.stop()
        assert len(kinds) == 40
        assert kinds[:8] == [None] * 8
        assert set(kinds[-20:]) == {"ConnectionFailed"}
        await client.close()

    async def test_bad_reset_options_end_the_rollout(self, serve: Serve, census: Census) -> None:
        """What `reset_options` raises reaches the caller, because it is the caller's own."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        def fail(index: int) -> dict[str, Any]:
            raise LookupError(index)

        with pytest.raises(LookupError):
            await collect(rollout(client, say("x"), episodes=3, reset_options=fail))
        await client.close()

    async def test_closed_client_ends_the_rollout(self, serve: Serve, census: Census) -> None:
        """A rollout whose client is closed by its owner raises `Closed` and leaves nothing."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        run = rollout(client, say("hang"), episodes=4, concurrency=2)
        waiting = asyncio.ensure_future(anext(run))
        await eventually(lambda: census.hanging == 2)
        await client.close()
        with pytest.raises(Closed):
            await waiting
        await eventually(lambda: not census.alive)


class TestCapacity:
    """A service with fewer sessions than the rollout would like."""

    @pytest.mark.parametrize("capacity_timeout_s", [0.0, 20.0])
    async def test_fewer_sessions_play_all_episodes(
        self, serve: Serve, census: Census, capacity_timeout_s: float
    ) -> None:
        """With or without waiting for a session, those that there are play all episodes."""
        census.limit = 2
        served = await serve(populate(census, AsyncWorld), max_concurrent_envs=2)
        client = GenericEnvClient(served.url, capacity_timeout_s=capacity_timeout_s)
        run = rollout(client, say("pause"), episodes=60, concurrency=16, steps=5)
        trajectories = await collect(run)
        assert [item.episode for item in trajectories] == list(range(60))
        assert {item.failure for item in trajectories} == {None}
        assert census.peak == 2
        await client.close()

    async def test_full_service_fails_episodes(self, serve: Serve, census: Census) -> None:
        """Where others hold every session, episodes fail with `CapacityReached`, in the end."""
        served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
        async with GenericEnvClient(served.url) as stranger:
            await stranger.reset()
            client = GenericEnvClient(served.url)
            trajectories = await collect(
                rollout(client, say("x"), episodes=3, concurrency=3, retries=1)
            )
            await client.close()
        assert {item.failure.kind for item in trajectories} == {"CapacityReached"}
        assert {item.attempts for item in trajectories} == {2}

    async def test_free_slot_is_found(self, serve: Serve, census: Census) -> None:
        """Workers that were turned away join in when the service has room again."""
        served = await serve(populate(census, AsyncWorld), max_concurrent_envs=2)
        stranger = GenericEnvClient(served.url)
        await stranger.reset()
        client = GenericEnvClient(served.url)
        together = asyncio.Event()

        async def meet(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            if run.statistics().sessions == 2:
                together.set()
            elif episode.step == 0 and not together.is_set():
                await stranger.close()
                await asyncio.sleep(0)
            return {"text": "x"}

        run = rollout(client, meet, episodes=1_000_000, concurrency=2, steps=3)
        async with run:
            async for _ in run:
                if together.is_set():
                    break
        assert together.is_set()
        await client.close()

    @pytest.mark.parametrize("lost_at", ["break", "refusal"])
    async def test_waiting_for_a_session_begins_no_count_anew(self, lost_at: str) -> None:
        """An episode that waits for a session between two attempts has no more of them for it."""
        playing, ended = asyncio.Event(), asyncio.Event()
        resets, begun = itertools.count(), []

        async def script(peer: Peer) -> None:
            request = await peer.request()
            if request["data"]["seed"] and next(resets) % 2:
                peer.reply(error("CAPACITY_REACHED"))
                return
            peer.reply(observation("ready"))
            await peer.request()
            if lost_at == "refusal":
                peer.reply(error("CAPACITY_REACHED"))

        async def play(result: StepResult[Any], episode: Episode) -> dict[str, Any] | None:
            if episode.index == 0:
                playing.set()
                await ended.wait()
                return None
            await playing.wait()
            begun.append(episode.attempt)
            return {"message": "x"} if len(begun) < 4 else None

        async with (
            scripted(script) as service,
            GenericEnvClient(service.url) as client,
            rollout(client, play, episodes=2, concurrency=2, retries=1, seed=0) as run,
        ):
            lost = await anext(run)
            ended.set()
            played = await anext(run)
        assert begun == [1, 2]
        assert (lost.episode, lost.attempts, lost.ending) == (1, 2, "failed")
        assert (played.episode, played.attempts, played.ending) == (0, 1, "policy")
        assert run.statistics().retries == 1


class TestFlow:
    """How a rollout flows, and how it is left."""

    async def test_concurrency_is_bounded(self, serve: Serve, census: Census) -> None:
        """As many sessions are opened as the concurrency says, and each plays many episodes."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        run = rollout(client, say("pause"), episodes=50, concurrency=5, steps=2)
        assert len(await collect(run)) == 50
        assert (census.peak, census.made) == (5, 5)
        await client.close()

    async def test_slow_consumer_slows_it_down(self, serve: Serve, census: Census) -> None:
        """Nothing is played beyond what the consumer takes and each worker holds."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        async with rollout(client, say("x"), episodes=100, concurrency=3, steps=2) as run:
            await anext(run)
            await eventually(lambda: run.statistics().ended == 4)
            for _ in range(200):
                await asyncio.sleep(0)
            assert run.statistics().ended == 4
            assert run.statistics().steps == 8
        await client.close()

    async def test_statistics_count(self, serve: Serve, census: Census) -> None:
        """The figures follow the rollout: steps of running episodes and open sessions included."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        def then_hang(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            return {"text": "hang" if episode.step == 2 else "x"}

        run = rollout(client, then_hang, episodes=6, concurrency=3, steps=3)
        assert run.statistics().sessions == 0
        waiting = asyncio.ensure_future(anext(run))
        await eventually(lambda: census.hanging == 3)
        figures = run.statistics()
        assert (figures.episodes, figures.ended, figures.failed) == (6, 0, 0)
        assert (figures.steps, figures.sessions, figures.retries) == (6, 3, 0)
        assert "sessions=3" in repr(run)
        census.open_gate()
        await waiting
        assert len([item async for item in run]) == 5
        assert run.statistics().sessions == 0
        assert run.statistics().ended == 6
        await client.close()

    @pytest.mark.parametrize("episodes", [0, 3])
    async def test_few_episodes(self, serve: Serve, census: Census, episodes: int) -> None:
        """No more sessions are opened than there are episodes, even if there are none."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)
        assert len(await collect(rollout(client, say("x"), episodes=episodes))) == episodes
        assert census.made <= episodes
        await client.close()

    @pytest.mark.parametrize("leave", ["aclose", "with", "break", "cancel"])
    async def test_leaving_early_leaves_nothing(
        self, serve: Serve, census: Census, leave: str
    ) -> None:
        """However a rollout is left early, its steps are cancelled and its sessions closed."""
        served = await serve(populate(census, AsyncWorld))
        client = GenericEnvClient(served.url)

        def hang_later(result: StepResult[Any], episode: Episode) -> dict[str, Any]:
            return {"text": "hang" if episode.index else "x"}

        def start() -> Rollout[Any, Any]:
            return rollout(client, hang_later, episodes=100, concurrency=4, steps=1)

        if leave == "aclose":
            async with aclosing(start()) as run:
                await anext(run)
                await eventually(lambda: census.hanging == 4)
            await run.aclose()
            assert [item async for item in run] == []
            assert client._children == set() or not any(
                child._connection for child in client._children
            )
        elif leave == "with":
            async with start() as run:
                await anext(run)
                await eventually(lambda: census.hanging == 4)
        elif leave == "break":
            async for _ in start():
                await eventually(lambda: census.hanging == 4)
                break
        else:
            consumer = asyncio.ensure_future(collect(start()))
            await eventually(lambda: census.hanging == 4)
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
        await eventually(lambda: census.cancelled == 4)
        await eventually(lambda: served.service.pool.statistics().active == 0)
        await eventually(lambda: census.closed == census.made)
        assert (await client.reset()).observation["text"] == "ready"
        await client.close()

    @pytest.mark.parametrize("times", [1, 2])
    async def test_closing_what_another_task_consumes(
        self, serve: Serve, census: Census, times: int
    ) -> None:
        """Whoever closes a rollout, even twice at once, ends the iteration of another task."""
        served = await serve(populate(census, AsyncWorld))
        async with GenericEnvClient(served.url) as client:
            run = rollout(client, say("hang"), episodes=9, concurrency=3)
            consumer = asyncio.ensure_future(collect(run))
            await eventually(lambda: census.hanging == 3)
            await asyncio.gather(*(run.aclose() for _ in range(times)))
            assert not client._children
            assert await consumer == []
            assert [item async for item in run] == []

    async def test_closing_what_nobody_has_begun(self, serve: Serve, census: Census) -> None:
        """A rollout that is closed before its first episode plays none."""
        served = await serve(populate(census, AsyncWorld))
        async with GenericEnvClient(served.url) as client:
            run = rollout(client, say("x"), episodes=9)
            await asyncio.gather(run.aclose(), run.aclose())
            assert await collect(run) == []
        assert census.made == 1

    async def test_body_that_raises_while_another_task_consumes(
        self, serve: Serve, census: Census
    ) -> None:
        """The body's own error leaves ``async with``, and the rollout is closed."""
        served = await serve(populate(census, AsyncWorld))
        async with GenericEnvClient(served.url) as client:
            run = rollout(client, say("hang"), episodes=9, concurrency=3)
            consumer = asyncio.ensure_future(anext(run, None))

            async def fail() -> None:
                async with run:
                    await eventually(lambda: census.hanging == 3)
                    raise LookupError("its own")

            with pytest.raises(LookupError, match="its own"):
                await fail()
            assert not client._children
            assert await consumer is None

    async def test_cancelled_closing_goes_on(self, serve: Serve, census: Census) -> None:
        """Closing goes on where it was cancelled, and the next call waits for its end."""
        served = await serve(populate(census, AsyncWorld))
        async with GenericEnvClient(served.url) as client:
            run = rollout(client, say("hang"), episodes=9, concurrency=3)
            consumer = asyncio.ensure_future(anext(run, None))
            await eventually(lambda: census.hanging == 3)
            closing = asyncio.ensure_future(run.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert len(client._children) == 3
            await run.aclose()
            assert not client._children
            assert await consumer is None

    async def test_policy_may_close_its_rollout(self, serve: Serve, census: Census) -> None:
        """A policy that closes its rollout, and again on its way out, does not wait for itself."""
        served = await serve(populate(census, AsyncWorld))

        async def close(result: StepResult[Any], episode: Episode) -> None:
            try:
                await run.aclose()
                await asyncio.Event().wait()
            finally:
                await run.aclose()

        async with GenericEnvClient(served.url) as client:
            run = rollout(client, close, episodes=9, concurrency=3)
            assert await collect(run) == []
            assert not client._children

    async def test_policy_that_swallows_its_cancellation(
        self, serve: Serve, census: Census
    ) -> None:
        """A policy that carries on when it is cancelled is not waited for in vain."""
        served = await serve(populate(census, AsyncWorld))
        asked = 0

        async def carry_on(result: StepResult[Any], episode: Episode) -> None:
            nonlocal asked
            asked += 1
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

        async with GenericEnvClient(served.url) as client:
            run = rollout(client, carry_on, episodes=9, concurrency=3)
            consumer = asyncio.ensure_future(collect(run))
            await eventually(lambda: asked == 3)
            await run.aclose()
            assert await consumer == []
            assert not client._children
        assert asked == 3

    async def test_leaving_while_it_connects(self, serve: Serve, census: Census) -> None:
        """Leaving a rollout that still waits for sessions leaves its place in the queue."""
        served = await serve(populate(census, AsyncWorld), max_concurrent_envs=1)
        async with GenericEnvClient(served.url) as stranger:
            await stranger.reset()
            client = GenericEnvClient(served.url, capacity_timeout_s=60.0)
            run = rollout(client, say("x"), episodes=9, concurrency=3)
            waiting = asyncio.ensure_future(anext(run))
            await eventually(lambda: served.service.pool.statistics().waiting == 3)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await eventually(lambda: served.service.pool.statistics().waiting == 0)
            await client.close()

    async def test_embedded_service_ends_with_its_client(self) -> None:
        """A rollout starts an embedded service, and leaves it to its owner to stop."""
        client = GenericEnvClient.from_environment(CountdownEnvironment)
        run = rollout(client, lambda result, episode: {}, episodes=8, seed=0)
        assert [item.length for item in await collect(run)] == list(range(8))
        assert (await client.reset(seed=3)).observation["left"] == 3
        await client.close()

    @pytest.mark.parametrize(
        ("name", "value"), [("episodes", -1), ("concurrency", 0), ("steps", -1), ("retries", -1)]
    )
    async def test_numbers_are_checked(self, name: str, value: int) -> None:
        """A number that is too small is refused when the rollout is made."""
        client = GenericEnvClient("http://127.0.0.1:1")
        numbers: dict[str, Any] = {"episodes": 1, name: value}
        with pytest.raises(ValueError, match=f"{name} is at least"):
            rollout(client, say("x"), **numbers)


class Moody:
    """A service that breaks off its first connection at the third step."""

    def __init__(self) -> None:
        self._connections = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "Moody":
        app = web.Application()
        app.add_routes([web.get("/ws", self._converse)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _converse(self, request: web.Request) -> web.WebSocketResponse[Any]:
        self._connections += 1
        is_first = self._connections == 1
        socket: web.WebSocketResponse[Any] = web.WebSocketResponse()
        await socket.prepare(request)
        steps = 0
        async for message in socket:
            kind = loads(message.data)["type"]
            steps += kind == "step"
            if kind == "close":
                break
            if is_first and steps == 3:
                assert request.transport is not None
                request.transport.abort()
                break
            data = {"observation": {"metadata": {}}, "reward": 1.0, "done": False}
            await socket.send_str(dumps({"type": "observation", "data": data}).decode())
        return socket


async def test_policy_does_not_guess_what_the_environment_draws(serve: Serve) -> None:
    """An episode's random numbers repeat with its seed, and are not those of ``Random(seed)``."""
    served = await serve(CountdownEnvironment, action=Tick, observation=Countdown)
    drawn: dict[int | None, list[float]] = {}

    def draw(result: Any, episode: Episode) -> None:
        drawn.setdefault(episode.seed, []).append(episode.rng.random())

    async with GenericEnvClient(served.url) as client:
        for _ in range(2):
            await collect(rollout(client, draw, episodes=4, seed=7))
    assert drawn.keys() == {7, 8, 9, 10}
    for seed, (first, again) in drawn.items():
        assert first == again != random.Random(seed).random()
