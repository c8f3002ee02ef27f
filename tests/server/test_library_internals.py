"""The internals of uvicorn and Strawberry that the bounds on requests depend on."""

from __future__ import annotations

import asyncio
import inspect
import socket

import pytest
from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tallied.server.flow_control import Reader
from tallied.server.http_protocol import BoundedProtocol
from tallied.server.websocket_protocol import BoundedWebSocket
from tallied.transport.websocket_endpoint import WebSocketHandler
from tallied.transport.websocket_messages import MessageAdapter

NEW_METHODS = {
    BoundedProtocol: {
        "_answer_last",
        "_check_framing",
        "_check_host",
        "_check_size",
        "_feed",
        "_head_without_upgrade",
        "_is_ignored_upgrade",
        "_parse",
        "_read_on",
        "_refuse",
        "_too_slow",
        "_uncount",
        "_upgrade",
        "_withdraw",
    },
    BoundedWebSocket: {"_fail"},
    WebSocketHandler: {
        "_close_if_idle",
        "_complete",
        "_end_execution",
        "_execute",
        "_refuse",
        "_reject",
        "_request",
        "_run",
        "_send",
        "_send_events",
        "_start",
    },
    MessageAdapter: {"_read"},
}
OVERRIDES = {
    BoundedProtocol: {"_start_asgi_task", "on_response_complete", "on_headers_complete"},
    BoundedWebSocket: {"handle_cont", "pause_writing", "keepalive_timeout"},
    WebSocketHandler: {"handle_subscribe", "shutdown"},
    MessageAdapter: {"iter_json", "send_json", "close"},
}


@pytest.mark.parametrize(
    ("own", "base"),
    [
        (BoundedProtocol, HttpToolsProtocol),
        (BoundedWebSocket, WebSocketsSansIOProtocol),
        (WebSocketHandler, BaseGraphQLTransportWSHandler),
        (MessageAdapter, AsyncWebSocketAdapter),
    ],
)
def test_overridden_methods_exist(own: type, base: type) -> None:
    """A method that is renamed would never be called, and its limit would be gone."""
    methods = {name for name, value in vars(own).items() if inspect.isfunction(value)}
    overridden = methods - NEW_METHODS[own]
    assert OVERRIDES[own] <= overridden
    for name in overridden - {"__init__"}:
        existing = getattr(base, name, None)
        assert existing is not None, f"there is no {base.__name__}.{name} any more"
        parameters = inspect.signature(getattr(own, name)).parameters
        assert list(parameters) == list(inspect.signature(existing).parameters), name


class Watched(asyncio.Protocol):
    """Tells a reader's watch what the protocols of the server tell it."""

    def __init__(self) -> None:
        self.reader = Reader(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def pause_writing(self) -> None:
        self.reader.watch(self.transport)

    def resume_writing(self) -> None:
        self.reader.has_read = True


async def test_reader_of_all_is_distinguished_from_stalled_reader() -> None:
    loop = asyncio.get_running_loop()
    own, base = socket.socketpair()
    for item in (own, base):
        item.setblocking(False)
    with base:
        transport, _ = await loop.create_connection(Watched, sock=own)
        transport.write(bytes(1_000_000))
        remaining = 1_000_000
        while remaining:
            remaining -= len(await loop.sock_recv(base, remaining))
        for _ in range(3):
            transport.write(bytes(1_000_000))
        await asyncio.sleep(1.3)
        assert not transport.is_closing()
        await asyncio.sleep(1.3)
        assert transport.is_closing()
