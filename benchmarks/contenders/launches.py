"""The launchers' program: starts containers with OpenEnv's launcher or with ours.

`echo_env` is whichever one the interpreter finds. A line ``{"starts": 16}`` starts so many
containers of an image, all at once, up to the first reply of each; then closes them all.

``launches.py IMAGE loop`` starts them on one event loop, ``launches.py IMAGE threads`` gives each a
thread with a loop of its own. OpenEnv's launcher needs the latter: it blocks its event loop while
it starts a container, so that the handshakes of the others time out.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from echo_env import EchoEnv

__all__: list[str] = []

#: How OpenEnv's launcher fails when it names two containers after the same millisecond.
SAME_NAME = "is already in use by container"


async def launch(image: str) -> EchoEnv:
    """Start a container and wait for its first reply."""
    try:
        env = await EchoEnv.from_docker_image(image)
    except RuntimeError as error:
        if SAME_NAME not in str(error):
            raise
        env = await EchoEnv.from_docker_image(image)
    await env.reset()
    return env


async def start(image: str, number: int) -> list[EchoEnv]:
    """Start so many at once; where one fails, close the others."""
    launched = await asyncio.gather(*(launch(image) for _ in range(number)), return_exceptions=True)
    started = [env for env in launched if not isinstance(env, BaseException)]
    for failure in launched:
        if isinstance(failure, BaseException):
            await stop(started)
            raise failure
    return started


async def stop(envs: Sequence[EchoEnv]) -> None:
    """Close them all at once."""
    await asyncio.gather(*(env.close() for env in envs))


def play(image: str, starts: int, *, loops: int) -> dict[str, float]:
    """Start containers and close them; return how long each took, in seconds."""
    with contextlib.ExitStack() as stack:
        runners = [stack.enter_context(asyncio.Runner()) for _ in range(loops)]
        threads = stack.enter_context(ThreadPoolExecutor(loops))
        began = time.perf_counter()
        launched = list(threads.map(lambda one: one.run(start(image, starts // loops)), runners))
        start_s = time.perf_counter() - began
        began = time.perf_counter()
        # Not at once, which takes OpenEnv's launcher beyond the ten seconds that it allows itself.
        for runner, envs in zip(runners, launched, strict=True):
            runner.run(stop(envs))
        return {"start_s": start_s, "stop_s": time.perf_counter() - began}


if __name__ == "__main__":
    _, image_name, how = sys.argv
    print("{}", flush=True)
    for line in sys.stdin:
        count = json.loads(line)["starts"]
        answer = play(image_name, count, loops=count if how == "threads" else 1)
        print(json.dumps(answer), flush=True)
