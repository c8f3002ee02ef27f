"""The schema's files over HTTP, for tools that read a schema from an address."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from . import caching

FILES = {
    "schema.graphql": "text/plain",  # GraphQL has no media type for it.
    "introspection.json": "application/json",
}
"""What is published, with its media type; each lies in the package, as CI holds it."""


class PublishedFile:
    """The ASGI application of one of :data:`FILES`, which is read once.

    Clients may keep it, and ask with ``If-None-Match`` whether it has changed.

    :param name: the file's name.
    """

    def __init__(self, name: str) -> None:
        self._body = (Path(__file__).parent / name).read_bytes()
        self._media_type = FILES[name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(Request(scope))(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Use GET.\n", 405, {"Allow": "GET, HEAD"})
        headers = {"X-Content-Type-Options": "nosniff"}
        response = Response(self._body, 200, headers, self._media_type)
        return caching.allow(response, request.headers, 0)
