"""What the bounds on slow and large requests rest on in uvicorn, and the sockets in Strawberry."""

from __future__ import annotations

import inspect

import pytest
from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tallied.protocol import BoundedProtocol, BoundedWebSocket
from tallied.schema.socket import Connection
from tallied.schema.wire import Wire

OURS = {
    BoundedProtocol: {"_check_size", "_refuse", "_stop_waiting", "_too_slow", "_wait"},
    BoundedWebSocket: {"_fail"},
    Connection: {
        "_answer",
        "_begin",
        "_close_if_refused",
        "_end",
        "_exceed",
        "_refuse",
        "_request",
        "_rest",
        "_run",
        "_stream",
        "_tell",
    },
    Wire: {"_read"},
}
SOME = {
    BoundedProtocol: {"_start_asgi_task", "send_400_response", "on_headers_complete"},
    BoundedWebSocket: {"handle_cont", "pause_writing", "keepalive_timeout"},
    Connection: {"handle_subscribe", "shutdown"},
    Wire: {"iter_json", "send_json", "close"},
}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (BoundedProtocol, HttpToolsProtocol),
        (BoundedWebSocket, WebSocketsSansIOProtocol),
        (Connection, BaseGraphQLTransportWSHandler),
        (Wire, AsyncWebSocketAdapter),
    ],
)
def test_what_is_overridden_is_still_there(ours: type, theirs: type) -> None:
    """A method that is renamed would never be called, and its limit would be gone."""
    methods = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
    overridden = methods - OURS[ours]
    assert SOME[ours] <= overridden
    for name in overridden - {"__init__"}:
        known = getattr(theirs, name, None)
        assert known is not None, f"there is no {theirs.__name__}.{name} any more"
        parameters = inspect.signature(getattr(ours, name)).parameters
        assert list(parameters) == list(inspect.signature(known).parameters), name
