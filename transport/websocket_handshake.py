"""The handshake of WebSockets, which is rejected by HTTP with a code."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from ..settings import SETTINGS
from .addresses import AddressLimit
from .allowed_hosts import AllowedHosts
from .cross_origin import AllowedOrigins
from .request_errors import RequestError, bad_request, send_error
from .service import RETRY_AFTER, Service
from .websocket_endpoint import WebSocketHandler


class WebSocketEndpoint:
    """The ASGI application of the WebSockets of one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._hosts = AllowedHosts(service.settings)
        self._origins = AllowedOrigins(service.settings)
        self._open = 0
        setting = "sockets_per_address"
        self._per_address = AddressLimit(getattr(service.settings, setting), str(SETTINGS[setting]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, from its handshake to its end."""
        socket = WebSocket(scope, receive, send)
        await socket.receive()
        host = socket.client.host if socket.client else None
        try:
            self._check(socket)
            self._acquire(host)
        except RequestError as error:
            await send_error(error, scope, receive, send)
            return
        self._open += 1
        try:
            await socket.accept(GRAPHQL_TRANSPORT_WS_PROTOCOL)
            await WebSocketHandler(self._service, socket).handle()
        finally:
            self._open -= 1
            self._per_address.release(host)

    def _acquire(self, host: str | None) -> None:
        """Count one more WebSocket of a client address.

        :raises RequestError: if it has as many as it may.
        """
        if not self._per_address.acquire(host):
            sentence = (
                f"Your address has {self._per_address.maximum} WebSockets open, the most that one"
                " may; close one, or try again later."
            )
            raise RequestError(429, "TOO_MANY_CONNECTIONS", sentence, {"Retry-After": RETRY_AFTER})

    def _check(self, socket: WebSocket) -> None:
        """Reject a WebSocket that may not be opened.

        Browsers send a visitor's cookies for a WebSocket of any page, without a preflight. Only
        Origin tells the page, which cannot forge it (RFC 6455, section 10.2).

        :raises RequestError: in that case.
        """
        self._hosts.require_allowed(socket.scope)
        self._origins.require_allowed(socket.headers, "open a WebSocket")
        if GRAPHQL_TRANSPORT_WS_PROTOCOL not in socket.scope["subprotocols"]:
            sentence = f"Open the WebSocket with the sub-protocol {GRAPHQL_TRANSPORT_WS_PROTOCOL}."
            raise bad_request(sentence)
        if self._open >= self._service.settings.concurrent_sockets:
            sentence = "The server has as many WebSockets open as it may; try again later."
            raise RequestError(503, "OVERLOADED", sentence, {"Retry-After": RETRY_AFTER})
