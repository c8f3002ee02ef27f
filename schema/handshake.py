"""The handshake of a WebSocket: what must not be opened is refused by HTTP, with a code."""

from __future__ import annotations

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.http.websocket_origin import is_same_origin
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from ..addresses import AddressLimit
from ..settings import named
from .negotiation import JSON
from .origins import ORIGIN_NOT_ALLOWED, AllowedOrigins, refusal
from .reporting import BAD_REQUEST, mistake
from .requests import Refused
from .serving import RETRY_AFTER, Service
from .socket import Connection


class Sockets:
    """The WebSockets of one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._origins = AllowedOrigins(service.settings)
        self._open = 0
        setting = "sockets_per_address"
        self._per_address = AddressLimit(getattr(service.settings, setting), named(setting))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one, from its handshake to its end."""
        socket = WebSocket(scope, receive, send)
        await socket.receive()
        host = socket.client.host if socket.client else None
        try:
            self._check(socket)
            self._acquire(host)
        except Refused as refused:
            await _deny(socket, refused)
            return
        self._open += 1
        try:
            await socket.accept(GRAPHQL_TRANSPORT_WS_PROTOCOL)
            await Connection(self._service, socket).handle()
        finally:
            self._open -= 1
            self._per_address.release(host)

    def _acquire(self, host: str | None) -> None:
        """Count one more WebSocket of a client address.

        :raises Refused: where it has as many as it may.
        """
        if not self._per_address.acquire(host):
            says = (
                f"Your address has {self._per_address.maximum} WebSockets open, the most that one"
                " may; close one, or try again later."
            )
            raise Refused(429, "TOO_MANY_CONNECTIONS", says, {"Retry-After": RETRY_AFTER})

    def _check(self, socket: WebSocket) -> None:
        """Refuse what must not be opened.

        Browsers send a visitor's cookies along whichever page opens a WebSocket, and ask nobody
        whether it may; all that tells is Origin, which no page can forge (RFC 6455, 10.2).

        :raises Refused: then.
        """
        headers = socket.headers
        origin = headers.get("origin")
        if not (
            origin is None
            or is_same_origin(origin, headers.get("host"))
            or headers.get("sec-fetch-site") == "same-origin"  # where a proxy has changed Host
            or self._origins.allows(origin)
        ):
            raise Refused(403, ORIGIN_NOT_ALLOWED, refusal("open a WebSocket"))
        if GRAPHQL_TRANSPORT_WS_PROTOCOL not in socket.scope["subprotocols"]:
            says = f"Open the WebSocket with the sub-protocol {GRAPHQL_TRANSPORT_WS_PROTOCOL}."
            raise Refused(400, BAD_REQUEST, says)
        if self._open >= self._service.settings.concurrent_sockets:
            says = "The server has as many WebSockets open as it may; try again later."
            raise Refused(503, "OVERLOADED", says, {"Retry-After": RETRY_AFTER})


async def _deny(socket: WebSocket, refused: Refused) -> None:
    """Answer the handshake by HTTP."""
    told = orjson.dumps({"errors": [mistake(refused.code, refused.message)]})
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        response = Response(told, refused.status, refused.headers, JSON)
        response.headers["Cache-Control"] = "no-store"
        await socket.send_denial_response(response)
    else:
        await socket.close()  # which is a 403, whatever it was for
