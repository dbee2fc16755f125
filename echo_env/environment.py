"""The Echo environment: it says back what it hears, and rewards length.

``python -m echo_env.environment`` checks it directly, without a server.
"""

import asyncio
import uuid

from aioenv import State
from aioenv.service import Environment
from echo_env.models import EchoAction, EchoObservation

__all__ = ["EchoEnvironment"]

REWARD_PER_CHARACTER = 0.1


class EchoEnvironment(Environment[EchoAction, EchoObservation, State]):
    """Echoes messages back; the reward is 0.1 for every character. An episode never ends by itself.

    The simplest environment there is: a test of everything around it, and a template for others.
    """

    def __init__(self) -> None:
        self._state = State()

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None
    ) -> EchoObservation:
        """Begin an episode.

        Args:
            seed: taken and not needed; nothing here is random.
            episode_id: the episode's name; a random one by default.
        """
        self._state = State(episode_id=episode_id or uuid.uuid4().hex)
        return EchoObservation("Echo environment ready!", 0, reward=0.0)

    async def step(self, action: EchoAction) -> EchoObservation:
        """Echo a message."""
        state = self._state
        state.step_count += 1
        message = action.message
        length = len(message)
        return EchoObservation(
            message,
            length,
            reward=length * REWARD_PER_CHARACTER,
            metadata={"step_count": state.step_count},
        )

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return self._state


async def check() -> list[str]:
    """Play the environment directly.

    Returns:
        What was checked, one line each.

    Raises:
        AssertionError: it does not do what it promises.
    """
    done = []
    environment = EchoEnvironment()
    observation = await environment.reset(seed=7, episode_id="check")
    _demand(observation.echoed_message == "Echo environment ready!", observation)
    _demand(not observation.done, observation)
    done.append("reset: greets, and the episode is not done")
    _demand(environment.state == State(episode_id="check", step_count=0), environment.state)
    done.append("reset: the state holds the episode's id and no steps")
    for count, (message, reward) in enumerate(
        [("Hi", 0.2), ("Hello, World!", 1.3), ("", 0.0), ("åß∂ƒ 🎈", 0.6)], start=1
    ):
        observation = await environment.step(EchoAction(message))
        _demand(observation.echoed_message == message, observation)
        _demand(observation.message_length == len(message), observation)
        is_rewarded = observation.reward is not None and abs(observation.reward - reward) < 1e-9
        _demand(is_rewarded, observation)
        _demand(observation.metadata == {"step_count": count}, observation)
        _demand(not observation.done, observation)
        done.append(f"step: {message!r} is echoed, length {len(message)}, reward {reward}")
    _demand(environment.state.step_count == 4, environment.state)
    done.append("state: counts 4 steps")
    await environment.reset()
    _demand(environment.state.step_count == 0, environment.state)
    done.append("reset: a new episode counts from 0 again")
    return done


def _demand(holds: bool, found: object) -> None:
    """Raise what ``assert`` would, which an optimised interpreter leaves out."""
    if not holds:
        raise AssertionError(found)


if __name__ == "__main__":
    for line in asyncio.run(check()):
        print("ok ", line)
    print("The Echo environment keeps its promises.")
