"""The typed clients' load program: the same lines drive OpenEnv's client and ours.

`echo_env` is whichever one the interpreter finds: OpenEnv's generated project or ours. Both
offer the same names, so that nothing but the libraries differs.
"""

from benchmarks.contenders.load import MESSAGE, Load, run_load
from echo_env import EchoAction, EchoEnv

__all__ = ["EchoLoad"]


class EchoLoad(Load[EchoEnv]):
    """Sessions of the typed Echo client."""

    async def start(self, url: str) -> None:
        self.url = url

    async def connect(self) -> EchoEnv:
        env = EchoEnv(base_url=self.url)
        await env.connect()
        await env.reset()
        return env

    async def steps(self, session: EchoEnv, count: int) -> str:
        echo = ""
        for _ in range(count):
            result = await session.step(EchoAction(message=MESSAGE))
            echo = result.observation.echoed_message
        return echo

    async def disconnect(self, session: EchoEnv) -> None:
        await session.close()


if __name__ == "__main__":
    run_load(EchoLoad())
