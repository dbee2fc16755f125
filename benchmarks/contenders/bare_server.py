"""The limit, its server: aiohttp, uvloop and orjson echoing the frames, and nothing else.

No session, no validation, no limits: what any server on these three libraries must spend.
"""

import asyncio
import socket
from typing import Any

import orjson
import uvloop
from aiohttp import WSMsgType, web

from benchmarks.contenders.lifeline import follow_driver

__all__ = ["main"]


def _observation(message: str, length: int, reward: float, metadata: dict[str, Any]) -> bytes:
    data: dict[str, Any] = {
        "observation": {
            "metadata": metadata,
            "echoed_message": message,
            "message_length": length,
        },
        "reward": reward,
        "done": False,
    }
    if metadata:
        data["metadata"] = metadata
    return orjson.dumps({"type": "observation", "data": data})


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Answer `reset` and `step` frames until the peer closes."""
    websocket = web.WebSocketResponse(compress=False, decode_text=False, heartbeat=None)
    await websocket.prepare(request)
    step_count = 0
    while True:
        frame = await websocket.receive()
        if frame.type is not WSMsgType.TEXT:
            return websocket
        request_data = orjson.loads(frame.data)
        if request_data["type"] == "step":
            step_count += 1
            message = request_data["data"]["message"]
            length = len(message)
            reply = _observation(message, length, length * 0.1, {"step_count": step_count})
        else:
            step_count = 0
            reply = _observation("Echo environment ready!", 0, 0.0, {})
        await websocket.send_frame(reply, WSMsgType.TEXT)


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, listener, backlog=1024).start()
    print(f"Listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve on a free port of 127.0.0.1 until terminated."""
    follow_driver()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
