"""Plays the game of a fresh project of ours with OpenEnv's own client, and reports what it saw.

Run by the peer's interpreter, never ours: ``guess.py URL``. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

core: Any = importlib.import_module("openenv.core")


async def main(url: str) -> dict[str, Any]:
    """Play an episode to its end."""
    async with core.GenericEnvClient(base_url=url, message_timeout_s=20.0) as env:
        results = [await env.reset(seed=7, episode_id="ep-7")]
        results += [await env.step({"guess": guess}) for guess in (5, 8, 6)]
        seen = [[dict(result.observation), result.reward, result.done] for result in results]
        return {"seen": seen, "state": await env.state()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
