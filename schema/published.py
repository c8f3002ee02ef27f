"""The schema's files over HTTP, for tools that read a schema from an address."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

FILES = {
    "schema.graphql": "text/plain; charset=utf-8",  # GraphQL has no media type for it.
    "introspection.json": "application/json",
}
"""What is published, with its media type; each lies in the package, as CI holds it."""


class PublishedFile:
    """The ASGI application of one of :data:`FILES`, which is read once.

    Clients may keep it, and ask with ``If-None-Match`` whether it has changed (RFC 9110,
    section 13.1.2).

    :param name: the file's name.
    """

    def __init__(self, name: str) -> None:
        self._body = (Path(__file__).parent / name).read_bytes()
        self._headers = {
            "Content-Type": FILES[name],
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(self._body).hexdigest()[:32]}"',
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(Request(scope))(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Use GET.\n", 405, {"Allow": "GET, HEAD"})
        known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
        etag = self._headers["ETag"]
        if "*" in known or etag in (tag.removeprefix("W/") for tag in known):
            return Response(None, 304, self._headers)
        return Response(self._body, 200, self._headers)
