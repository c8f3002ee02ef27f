"""Errors of requests that are rejected before they are read as GraphQL."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..execution.errors import BAD_REQUEST, client_error
from .media_types import GRAPHQL, JSON, choose


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


def bad_request(sentence: str) -> RequestError:
    """Return the error of a request that cannot be understood."""
    return RequestError(400, BAD_REQUEST, sentence)


def encode_error(error: RequestError) -> bytes:
    """Return the JSON of an error, and log it like any client's."""
    return orjson.dumps({"errors": [client_error(error.code, error.message)]})


async def send_error(error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a request, or to the handshake of a WebSocket, by HTTP."""
    response = make_error_response(error, scope)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope["extensions"]:
        await send({"type": "websocket.close"})  # The server makes a 403 of it.
        return
    await response(scope, receive, send)


def make_error_response(error: RequestError, scope: Scope) -> Response:
    """Return the response to a request, in the form of an operation's that the client accepts."""
    accept = ",".join(Headers(scope=scope).getlist("accept"))
    media_type = choose(accept, (JSON, GRAPHQL)) or JSON
    response = Response(encode_error(error), error.status, error.headers)
    response.headers["Content-Type"] = media_type
    response.headers["Cache-Control"] = "no-store"
    return response
