"""Answers to what is refused before it is looked at as GraphQL, over HTTP and to a handshake."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..execution.errors import client_error
from .media_types import JSON


class RequestError(Exception):
    """A request that is not even a GraphQL request."""

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


def encode_error(refused: RequestError) -> bytes:
    """Return the JSON of a refusal, which is logged as any mistake of a client."""
    return orjson.dumps({"errors": [client_error(refused.code, refused.message)]})


async def send_error(refused: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or the handshake of a WebSocket, by HTTP."""
    content = encode_error(refused)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope["extensions"]:
        await send({"type": "websocket.close"})  # which is a 403, whatever it was for
        return
    response = Response(content, refused.status, refused.headers, JSON)
    response.headers["Cache-Control"] = "no-store"
    await response(scope, receive, send)
