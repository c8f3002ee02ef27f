"""The HTTP endpoint, by the GraphQL over HTTP draft (graphql.github.io/graphql-over-http).

Strawberry's own view answers JSON bodies such as ``null``, and invalid UTF-8, with a
500, tells of other malformed requests in text/plain, and does not know
``application/graphql-response+json``. Every answer of this one is JSON with
``errors[].message`` and ``extensions.code``, but for the playground's page.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..database import Database
from ..settings import Settings
from .build import schema
from .context import Context
from .execution import Executor, Request
from .negotiation import GRAPHQL, HTML, JSON, choose, is_json
from .page import Playground
from .reporting import BAD_REQUEST, INTERNAL, MASK, METHOD_NOT_ALLOWED

logger = logging.getLogger("tallied.api")


class Refused(Exception):
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


class GraphQLEndpoint:
    """The ASGI application of one path: queries by GET, everything by POST."""

    def __init__(
        self, database: Database, settings: Settings, playground: Playground | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._playground = playground
        self.executor = Executor(schema, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPRequest(scope, receive)
        media_type = JSON
        try:
            media_type = _media_type(request, self._playground is not None)
            if self._playground and media_type == HTML:
                response = self._playground.response()
            else:
                response = await self._respond(request, media_type)
        except Refused as refused:
            response = _error(media_type, refused.status, refused.code, refused.message)
            response.headers.update(refused.headers)
        except ClientDisconnect:
            return
        except Exception:
            logger.exception("unexpected error")
            response = _error(media_type, 500, INTERNAL, MASK)
        response.headers["Vary"] = "Accept"
        await response(scope, receive, send)

    async def _respond(self, request: HTTPRequest, media_type: str) -> Response:
        by_post = request.method == "POST"
        asked = await self._from_body(request) if by_post else _from_query(request)
        context = Context(self._database, self._settings)
        answer = await self.executor.execute(asked, context, only_queries=not by_post)
        if answer.is_refused:
            return _json(media_type, 405, answer.body, {"Allow": "POST"})
        failed = answer.is_request_error and media_type == GRAPHQL
        return _json(media_type, 400 if failed else 200, answer.body)

    async def _from_body(self, request: HTTPRequest) -> Request:
        if not is_json(request.headers.get("content-type", "")):
            raise Refused(
                415,
                "UNSUPPORTED_MEDIA_TYPE",
                "Send the request as JSON in UTF-8, with Content-Type: application/json.",
            )
        return _request(_loads(await self._read(request), "The request's body"))

    async def _read(self, request: HTTPRequest) -> bytes:
        limit = self._settings.body_size
        too_large = Refused(
            413, "CONTENT_TOO_LARGE", f"The request's body must have at most {limit} bytes."
        )
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and (len(length) > 20 or int(length) > limit):
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_large
        return bytes(body)


def _media_type(request: HTTPRequest, has_page: bool) -> str:
    """The media type to answer in.

    :raises Refused: for another method than GET, HEAD and POST, and for an Accept header
        that accepts none.
    """
    if request.method not in ("GET", "HEAD", "POST"):
        raise Refused(405, METHOD_NOT_ALLOWED, "Use GET or POST.", {"Allow": "GET, HEAD, POST"})
    offers = [JSON, GRAPHQL]
    if has_page and request.method != "POST":
        offers.append(HTML)
    accepted = choose(",".join(request.headers.getlist("accept")), offers)
    if accepted is None:
        raise Refused(406, "NOT_ACCEPTABLE", f"Accept {' or '.join(offers)}.")
    return accepted


def _from_query(request: HTTPRequest) -> Request:
    given: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _loads(given[name], f"The parameter {name}") if given[name] else None
    return _request(given)


def _loads(text: bytes | str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise Refused(400, BAD_REQUEST, f"{what} is not valid JSON in UTF-8.") from error


def _request(given: Any) -> Request:
    """The GraphQL-over-HTTP request that `given` describes.

    :raises Refused: for what does not have its shape.
    """
    if not isinstance(given, dict):
        raise Refused(
            400, BAD_REQUEST, 'Send one JSON object, such as {"query": "{ __typename }"}.'
        )
    for name, type_, shape, needed in _SHAPES:
        value = given.get(name)
        if not isinstance(value, type_) and (needed or value is not None):
            raise Refused(400, BAD_REQUEST, f"{name} must be {shape}.")
    return Request(given["query"], given.get("variables"), given.get("operationName") or None)


_SHAPES: tuple[tuple[str, type, str, bool], ...] = (
    ("query", str, "a string: the GraphQL document", True),
    ("variables", dict, "an object: the variables by their names", False),
    ("operationName", str, "a string: the name of one of the document's operations", False),
    ("extensions", dict, "an object", False),
)


def _json(
    media_type: str, status: int, body: object, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(body),
        status,
        headers,
        media_type if media_type == JSON else f"{media_type}; charset=utf-8",
    )


def _error(media_type: str, status: int, code: str, message: str) -> Response:
    error = {"message": message, "extensions": {"code": code}}
    return _json(JSON if media_type == HTML else media_type, status, {"errors": [error]})
