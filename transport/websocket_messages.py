"""What goes over a WebSocket: messages of the protocol's shape, and who has opened it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, cast

import orjson
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.types.unset import UNSET

from ..execution.errors import BAD_REQUEST, mask_error
from .request_errors import RequestError
from .requests import describe_json_fault
from .service import Service

logger = logging.getLogger("tallied.api")

BAD_MESSAGE = 4400
FORBIDDEN = 4403
INTERNAL_ERROR = 4500
TOO_BIG = 1009
TRY_AGAIN = 1013
"""The codes of closing; those from 4000 on are the protocol's (graphql-ws, CloseCode)."""

MAX_REASON_SIZE = 123
"""The most bytes of a reason to close (RFC 6455, section 5.5)."""

MAX_ID_LENGTH = 255
"""The most characters of an operation's id, which every message of it carries."""


class MessageAdapter(AsyncWebSocketAdapter):
    """Reads messages of the protocol's shape and no others, and writes them.

    :param limit: the most bytes of a message.
    """

    def __init__(self, socket: WebSocket, limit: int) -> None:
        super().__init__(cast(Any, None))
        self.socket = socket
        self._limit = limit
        self._is_closed = False
        self.size = 0
        """The bytes of the message that was read last."""

    async def iter_json(
        self, *, ignore_parsing_errors: bool = False
    ) -> AsyncGenerator[object, None]:
        """The client's messages, until either side closes the connection."""
        while not self._is_closed:
            received = await self.socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                yield self._read(received.get("text"))
            except RequestError as refused:
                await self.close(refused.status, refused.message)

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message, once the client has read most of what came before.

        :raises WebSocketDisconnected: when the connection is gone.
        """
        if self._is_closed:
            return
        try:
            await self.socket.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError) as error:  # or closed while it waited
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, if it is not yet."""
        if self._is_closed:
            return
        self._is_closed = True
        logger.info("WebSocket closed with %d: %r", code, reason[:MAX_REASON_SIZE])
        short = reason.encode()[:MAX_REASON_SIZE].decode(errors="ignore")
        with suppress(WebSocketDisconnect, RuntimeError):  # It may be gone.
            await self.socket.close(code, short)

    def _read(self, text: str | None) -> dict[str, Any]:
        if text is None:
            raise RequestError(BAD_MESSAGE, BAD_REQUEST, "Send messages as text.")
        content = text.encode()
        self.size = len(content)
        if self.size > self._limit:
            says = f"A message must have at most {self._limit} bytes."
            raise RequestError(TOO_BIG, "CONTENT_TOO_LARGE", says)
        try:
            message = orjson.loads(content)
        except ValueError as error:
            says = f"The message {describe_json_fault(content)}"
            raise RequestError(BAD_MESSAGE, BAD_REQUEST, says) from error
        fault = _fault(message)
        if fault:
            raise RequestError(BAD_MESSAGE, BAD_REQUEST, fault)
        if message.get("payload", message) is None:
            del message["payload"]
        return cast(dict[str, Any], message)


def _fault(message: Any) -> str | None:
    """What a message has that the protocol does not."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return 'A message must be a JSON object with a "type".'
    type, payload = message["type"], message.get("payload")
    if type in ("subscribe", "complete"):
        id = message.get("id")
        if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID_LENGTH:
            return f"id must be a string of 1 to {MAX_ID_LENGTH} characters."
    if type == "subscribe" and not isinstance(payload, dict):
        return "payload must be an object: the GraphQL request."
    if payload is not None and not isinstance(payload, dict):
        return "payload must be an object."
    return None


class ConnectionAuthenticator:
    """Acknowledges a connection, or does not; Strawberry's handler asks it as its view."""

    def __init__(self, service: Service, wire: MessageAdapter) -> None:
        self._service = service
        self._wire = wire

    async def on_ws_connect(self, context: dict[str, Any]) -> object:
        """Find out who opens the connection.

        :raises ConnectionRejectionError: when it has been closed instead.
        """
        try:
            request = as_http_connection(self._wire.socket, context["connection_params"])
            await self._service.authenticate(request)
        except RequestError as refused:
            await self._wire.close(_CODES.get(refused.status, TRY_AGAIN), refused.message)
            raise ConnectionRejectionError from refused
        except Exception as error:
            told = mask_error(error, "as a WebSocket was opened")
            await self._wire.close(INTERNAL_ERROR, told["message"])
            raise ConnectionRejectionError from error
        return UNSET


_CODES = {400: BAD_MESSAGE, 401: FORBIDDEN}


def as_http_connection(socket: WebSocket, payload: Mapping[str, Any]) -> HTTPConnection:
    """The handshake, with an authorization that the payload of connection_init brings.

    Each operation is asked by one of its own: what a host notes in its ``state``, such as whom it
    has found, is over with the operation, as it is with a request.

    Pages cannot set headers of a WebSocket. That one alone is taken from the payload: others,
    such as who a proxy says that someone is, would get past who is to set them. One that the
    handshake had as well stays beside it, for get_viewer to refuse both.

    :raises RequestError: for an authorization that no header can have.
    """
    headers = list(socket.scope["headers"])
    known = socket.headers.getlist("authorization")
    for name, value in payload.items():
        if name.lower() != "authorization":
            continue
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            says = f"{name} in the payload must be a string of printable ASCII characters."
            raise RequestError(400, BAD_REQUEST, says)
        if value not in known:
            headers.append((b"authorization", value.encode()))
    state = dict(socket.scope.get("state", {}))
    return HTTPConnection({**socket.scope, "headers": headers, "state": state})
