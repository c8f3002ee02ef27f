"""A real server in this process, and WebSockets to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tallied.asgi import create_app
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.server.http_protocol import Config
from tallied.server.process import SHUTDOWN_TIMEOUT
from tallied.settings import Settings

from .server import free_port

PROTOCOL = Subprotocol("graphql-transport-ws")


class Serving:
    """Serves an application as ``tallied serve`` does, while it is entered."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        self.config = Config(
            settings,
            app,  # type: ignore[arg-type]
            port=port,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        )
        self._server = uvicorn.Server(self.config)

    @property
    def connections(self) -> list[Any]:
        """The connections that are open, as uvicorn has them."""
        return list(self._server.server_state.connections)

    async def __aenter__(self) -> Serving:
        # serve() would take this process's signals.
        self._task = asyncio.create_task(self._server._serve())
        while not self._server.started:
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task


class Site:
    """A host's application on a real server, as ``tallied serve`` has one."""

    def __init__(self, database: Database, options: Mapping[str, Any]) -> None:
        options = dict(options)
        settings = Settings(**{"guests": "moderate"} | options.pop("settings"))
        self.discussion = Discussion(database, settings=settings, **options)
        self.app = Starlette(routes=self.discussion.routes())
        self.server = Serving(self.app, settings)
        self.host = self.server.host
        self.url = f"ws://{self.host}/graphql"
        self.http = httpx.AsyncClient(base_url=f"http://{self.host}", timeout=20)

    async def post(self, body: Any, **headers: str) -> dict[str, Any]:
        """Return the response to a request over HTTP."""
        response = await self.http.post("/graphql", json=body, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer

    def socket(
        self, payload: Mapping[str, Any] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Socket]:
        """Return a WebSocket to it."""
        return opened(self.url, payload, **options)

    async def refusal(self, **options: str | None) -> httpx.Response:
        """Return the answer to a handshake by which no WebSocket is opened.

        :param options: headers; None for one that is left out.
        """
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-protocol": PROTOCOL,
            **options,
        }
        values = {name: value for name, value in headers.items() if value is not None}
        return await self.http.get("/graphql", headers=values)


@asynccontextmanager
async def site(database: Database, **options: Any) -> AsyncIterator[Site]:
    """Yield a host's application, served until the block ends.

    :param options: arguments of the Discussion; `settings` is a dictionary of some.
    """
    site = Site(database, {"settings": {}, **options})
    async with site.server, site.http:
        yield site


@asynccontextmanager
async def serve_app(database: Database, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve as ``tallied serve`` does with these settings; yield a client of the server."""
    configured = Settings(**{"guests": "moderate"} | settings)
    async with (
        Serving(create_app(configured, database), configured) as server,
        httpx.AsyncClient(base_url=f"http://{server.host}", timeout=20) as client,
    ):
        yield client


class Socket:
    """A client's WebSocket, which sends and receives messages of the protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = 0

    async def send(self, type: str, **message: Any) -> None:
        """Send one message."""
        await self.connection.send(json.dumps({"type": type, **message}))

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(20):
            received: dict[str, Any] = json.loads(await self.connection.recv())
        return received

    async def init(self, payload: Mapping[str, Any] | None = None) -> None:
        """Open the connection in the sense of the protocol, too."""
        await self.send("connection_init", **({} if payload is None else {"payload": payload}))
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, query: str, id: str | None = None, **variables: Any) -> str:
        """Begin an operation; its id."""
        self._ids += 1
        id = id or f"operation-{self._ids}"
        await self.send("subscribe", id=id, payload={"query": query, "variables": variables})
        return id

    async def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to a request, in the form of HTTP."""
        self._ids += 1
        id = f"operation-{self._ids}"
        await self.send("subscribe", id=id, payload=body)
        reply = await self.receive()
        assert reply["id"] == id
        if reply["type"] == "error":
            return {"errors": reply["payload"]}
        assert reply["type"] == "next"
        assert await self.receive() == {"type": "complete", "id": id}
        payload: dict[str, Any] = reply["payload"]
        return payload

    async def __call__(self, query: str, **variables: Any) -> Any:
        """Return the data of an operation that succeeds; of its root field if it has one."""
        answer = await self.answer({"query": query, "variables": variables})
        assert "errors" not in answer, answer["errors"]
        data = answer["data"]
        return next(iter(data.values())) if len(data) == 1 else data

    async def closed(self) -> tuple[int, str]:
        """Return the code and the reason for which the server closes, whatever it sends before."""
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionClosed) as raised:
                while True:
                    await self.connection.recv()
        assert raised.value.rcvd is not None, raised.value
        return raised.value.rcvd.code, raised.value.rcvd.reason


@asynccontextmanager
async def opened(
    url: str, payload: Mapping[str, Any] | None = None, *, init: bool = True, **options: Any
) -> AsyncIterator[Socket]:
    """Yield a WebSocket to `url`; acknowledged, unless not to be."""
    options = {"subprotocols": [PROTOCOL], "compression": None, "proxy": None, **options}
    async with connect(url, **options) as connection:
        socket = Socket(connection)
        if init:
            await socket.init(payload)
        yield socket
