"""The limit, its client: one aiohttp session, frames in and out through orjson."""

import aiohttp
import orjson
from aiohttp import ClientWebSocketResponse, WSMsgType

from benchmarks.contenders.load import MESSAGE, Load, run_load

__all__ = ["BareLoad"]

WebSocket = ClientWebSocketResponse[bool]


class BareLoad(Load[WebSocket]):
    """Sessions that are nothing but their WebSocket."""

    async def start(self, url: str) -> None:
        self.url = url + "/ws"
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def connect(self) -> WebSocket:
        websocket: WebSocket = await self.http.ws_connect(self.url, compress=0, decode_text=False)
        await self._exchange(websocket, {"type": "reset", "data": {}})
        return websocket

    async def steps(self, session: WebSocket, count: int) -> str:
        echo = ""
        for _ in range(count):
            frame = orjson.dumps({"type": "step", "data": {"message": MESSAGE}})
            await session.send_frame(frame, WSMsgType.TEXT)
            reply = await session.receive()
            echo = orjson.loads(reply.data)["data"]["observation"]["echoed_message"]
        return echo

    async def disconnect(self, session: WebSocket) -> None:
        await session.close()

    async def probe(self, url: str) -> list[str]:
        websocket: WebSocket = await self.http.ws_connect(url + "/ws", decode_text=False)
        replies = [
            await self._exchange(websocket, {"type": "reset", "data": {}}),
            await self._exchange(websocket, {"type": "step", "data": {"message": MESSAGE}}),
        ]
        await websocket.close()
        return [reply.decode() for reply in replies]

    async def _exchange(self, websocket: WebSocket, request: dict[str, object]) -> bytes:
        await websocket.send_frame(orjson.dumps(request), WSMsgType.TEXT)
        reply = await websocket.receive()
        if reply.type is not WSMsgType.TEXT:
            raise ConnectionError(f"no reply but {reply!r}")
        data: bytes = reply.data
        return data


if __name__ == "__main__":
    run_load(BareLoad())
