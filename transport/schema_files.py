"""The schema's files over HTTP, for tools that read a schema from an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from strawberry import Schema

from ..schema import build
from ..schema.build import schema as ours
from ..schema.printing import print_introspection, print_sdl
from . import caching

FILES = {
    "schema.graphql": "text/plain",  # GraphQL has no media type for it.
    "introspection.json": "application/json",
}
"""What is published, with its media type; each lies in the package, as CI holds it."""


_PRINTERS: Mapping[str, Callable[[Schema], str]] = {
    "schema.graphql": print_sdl,
    "introspection.json": print_introspection,
}


class PublishedFile:
    """The ASGI application of one of :data:`FILES`, which is read, or printed, once.

    Clients may keep it, and ask with ``If-None-Match`` whether it has changed.

    :param name: the file's name.
    :param schema: what it tells of; for Tallied's own schema, it lies in the package.
    """

    def __init__(self, name: str, schema: Schema = ours) -> None:
        if schema is ours:
            self._body = (Path(build.__file__).parent / name).read_bytes()
        else:
            self._body = _PRINTERS[name](schema).encode()
        self._media_type = FILES[name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Use GET.\n", 405, {"Allow": "GET, HEAD"})
        headers = {"X-Content-Type-Options": "nosniff"}
        response = Response(self._body, 200, headers, self._media_type)
        return await caching.allow_caching(response, request.headers, 0)
