"""The messages of a WebSocket, and the authentication of the client that opens it."""

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
from .request_errors import RequestError, bad_request
from .requests import describe_json_fault
from .service import Service

logger = logging.getLogger("tallied.api")

BAD_MESSAGE = 4400
FORBIDDEN = 4403
INTERNAL_ERROR = 4500
TOO_BIG = 1009
TRY_AGAIN = 1013
"""Close codes. Those from 4000 on are the protocol's (graphql-ws, CloseCode)."""

MAX_REASON_SIZE = 123
"""The most bytes of the reason of a close (RFC 6455, section 5.5)."""

MAX_ID_LENGTH = 255
"""The most characters of an operation's id, which is in every message about it."""


class MessageAdapter(AsyncWebSocketAdapter):
    """Reads messages of the protocol's shape only, and writes messages.

    :param limit: the most bytes of a message.
    """

    def __init__(self, socket: WebSocket, limit: int) -> None:
        super().__init__(cast(Any, None))
        self.socket = socket
        self._limit = limit
        self._is_closed = False
        self.size = 0
        """The bytes of the last message."""

    async def iter_json(
        self, *, ignore_parsing_errors: bool = False
    ) -> AsyncGenerator[object, None]:
        """Yield the client's messages, until either side closes the connection."""
        while not self._is_closed:
            event = await self.socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                yield self._read(event.get("text"))
            except RequestError as error:
                await self.close(error.status, error.message)

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message, once the client has read most of the earlier ones.

        :raises WebSocketDisconnected: if the connection is lost.
        """
        if self._is_closed:
            return
        try:
            await self.socket.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError) as error:  # or closed during the wait
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, unless it is closed already."""
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
            sentence = f"A message must have at most {self._limit} bytes."
            raise RequestError(TOO_BIG, "CONTENT_TOO_LARGE", sentence)
        try:
            message = orjson.loads(content)
        except ValueError as error:
            sentence = f"The message {describe_json_fault(content)}"
            raise RequestError(BAD_MESSAGE, BAD_REQUEST, sentence) from error
        shape_error = _find_error(message)
        if shape_error:
            raise RequestError(BAD_MESSAGE, BAD_REQUEST, shape_error)
        if message.get("payload", message) is None:
            del message["payload"]
        return cast(dict[str, Any], message)


def _find_error(message: Any) -> str | None:
    """Return the error of a message that does not have the protocol's shape, or None."""
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
    """Accepts or rejects connections, as the view of Strawberry's handler."""

    def __init__(self, service: Service, adapter: MessageAdapter) -> None:
        self._service = service
        self._adapter = adapter

    async def on_ws_connect(self, context: dict[str, Any]) -> object:
        """Authenticate the client that opens a connection.

        :raises ConnectionRejectionError: if the connection has been closed instead.
        """
        try:
            request = as_http_connection(self._adapter.socket, context["connection_params"])
            await self._service.authenticate(request)
        except RequestError as error:
            await self._adapter.close(_CODES.get(error.status, TRY_AGAIN), error.message)
            raise ConnectionRejectionError from error
        except Exception as error:
            payload = mask_error(error, "as a WebSocket was opened")
            await self._adapter.close(INTERNAL_ERROR, payload["message"])
            raise ConnectionRejectionError from error
        return UNSET


_CODES = {400: BAD_MESSAGE, 401: FORBIDDEN}


def as_http_connection(socket: WebSocket, payload: Mapping[str, Any]) -> HTTPConnection:
    """Return the handshake as a request, with the authorization in connection_init's payload.

    Each operation has a request of its own: its ``state``, in which a host may store the viewer,
    ends with the operation.

    Pages cannot set headers of a WebSocket. Only this header is taken from the payload: others,
    such as the identity that a proxy sets, would bypass the proxy. If the handshake has the
    header, too, both are kept, and get_viewer rejects them.

    :raises RequestError: for an authorization that no header can have.
    """
    headers = list(socket.scope["headers"])
    existing = socket.headers.getlist("authorization")
    for name, value in payload.items():
        if name.lower() != "authorization":
            continue
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            sentence = f"{name} in the payload must be a string of printable ASCII characters."
            raise bad_request(sentence)
        if value not in existing:
            headers.append((b"authorization", value.encode()))
    state = dict(socket.scope.get("state", {}))
    return HTTPConnection({**socket.scope, "headers": headers, "state": state})
