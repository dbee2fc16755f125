"""The launchers' program: the same lines start containers with OpenEnv's launcher and with ours.

`echo_env` is whichever one the interpreter finds. A line ``{"starts": 16}`` starts so many
containers of the image that is the only argument, all at once, up to the first reply of each; then
closes them.
"""

import asyncio
import json
import sys
import time

from echo_env import EchoEnv

__all__: list[str] = []


async def play(image: str, starts: int) -> dict[str, float]:
    """Start containers and close them; return how long each took, in seconds."""

    async def launch() -> EchoEnv:
        env = await EchoEnv.from_docker_image(image)
        await env.reset()
        return env

    began = time.perf_counter()
    launched = await asyncio.gather(*(launch() for _ in range(starts)), return_exceptions=True)
    start_s = time.perf_counter() - began
    began = time.perf_counter()
    await asyncio.gather(*(env.close() for env in launched if isinstance(env, EchoEnv)))
    for env in launched:
        if isinstance(env, BaseException):
            raise env
    return {"start_s": start_s, "stop_s": time.perf_counter() - began}


if __name__ == "__main__":
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(play(sys.argv[1], json.loads(line)["starts"]))), flush=True)
