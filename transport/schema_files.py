"""The schema's files over HTTP, for tools that read a schema from a URL."""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from strawberry import Schema

from ..schema.build import schema as tallied_schema
from ..schema.printing import print_introspection, print_sdl
from . import caching

FILES = {
    "schema.graphql": ("text/plain", print_sdl),  # GraphQL has no media type for it.
    "introspection.json": ("application/json", print_introspection),
}
"""The files by name: the media type, and the function that prints a schema."""


class PublishedFile:
    """The ASGI application of one of :data:`FILES`.

    Clients may cache it, and validate it with ``If-None-Match``.

    :param name: the file's name.
    :param schema: the schema that is printed.
    """

    def __init__(self, name: str, schema: Schema = tallied_schema) -> None:
        self._body = _print(name, schema)
        self._media_type = FILES[name][0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            sentence = "Use GET; tools that send a POST can read schema.graphql instead.\n"
            return PlainTextResponse(sentence, 405, {"Allow": "GET, HEAD"})
        is_current, headers = await caching.caching_headers(
            self._body, self._media_type, request.headers, 0
        )
        if is_current:
            return Response(None, 304, headers)
        headers["X-Content-Type-Options"] = "nosniff"
        return Response(self._body, 200, headers, self._media_type)


@lru_cache(maxsize=4)  # Printing takes up to 50 ms, and a process may have several applications.
def _print(name: str, schema: Schema) -> bytes:
    return FILES[name][1](schema).encode()
