"""Errors of requests that are rejected before they are read as GraphQL."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..execution.errors import client_error
from .media_types import JSON


class RequestError(Exception):
    """A request that is not executed as GraphQL.

    :param status: the HTTP status, or over WebSocket the code of closing.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def encode_error(error: RequestError) -> bytes:
    """Return the JSON of an error, and log it like any client's."""
    return orjson.dumps({"errors": [client_error(error.code, error.message)]})


async def send_error(error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a request, or to the handshake of a WebSocket, by HTTP."""
    content = encode_error(error)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope["extensions"]:
        await send({"type": "websocket.close"})  # The server makes a 403 of it.
        return
    response = Response(content, error.status, error.headers, JSON)
    response.headers["Cache-Control"] = "no-store"
    await response(scope, receive, send)
