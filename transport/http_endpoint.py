"""The HTTP endpoint, by the GraphQL over HTTP draft (graphql.github.io/graphql-over-http).

Strawberry's own view responds to JSON bodies such as ``null``, and to invalid UTF-8, with a 500,
to other malformed requests in text/plain, and does not know
``application/graphql-response+json``. Every response of this endpoint is JSON with
``errors[].message`` and ``extensions.code``, except for the playground's page.

The statuses are those of the draft of September 2026. In ``application/json``, which a client
cannot tell from the response of a proxy, a well-formed request gets the status 200 whatever its
result, as the draft had it for legacy clients, unless the server had no place for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.types import Receive, Scope, Send
from strawberry import Schema

from ..database import Database
from ..execution.errors import METHOD_NOT_ALLOWED, mask_error
from ..execution.executor import BY_GET, BY_POST
from ..host.access import HostRules
from ..logs.request_ids import KEY, RequestIds
from ..schema.build import schema
from ..settings import Settings
from . import caching
from .allowed_hosts import AllowedHosts
from .checked_headers import CheckedHeaders
from .cross_origin import AllowedOrigins
from .media_types import GRAPHQL, HTML, JSON, choose
from .playground import Playground
from .request_errors import RequestError, encode_error
from .requests import QueryStrings, check_content, read_body
from .service import RETRY_AFTER, GetViewer, ServedResponse, Service
from .websocket_handshake import WebSocketEndpoint


def _guest(_: HTTPConnection) -> None:
    return None


BY_URL = ("GET", "HEAD")
"""The methods whose operation is in the URL."""

COMMON_STATUSES = frozenset({405, 500, 503})
"""The statuses, other than 200, that a response in application/json can have, too."""


class GraphQLEndpoint:
    """The ASGI application of one path: queries by GET, everything by POST, and WebSocket.

    :raises ConfigurationError: for a list of persisted documents that cannot be used.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        playground: Playground | None = None,
        *,
        rules: HostRules | None = None,
        get_viewer: GetViewer = _guest,
        schema: Schema = schema,
    ) -> None:
        self._playground = playground
        rules = rules or HostRules(guests=settings.guests)
        self._service = Service(database, settings, rules, get_viewer, schema)
        self._sockets = WebSocketEndpoint(self._service)
        self._hosts = AllowedHosts(settings)
        self._origins = AllowedOrigins(settings)
        self._guests_write = rules.guests_write
        self._settings = settings
        # Within a host, whose responses keep their own headers.
        self._checked = CheckedHeaders(self._check_headers)
        self._queries = QueryStrings()
        self._application = RequestIds(self.serve, in_answers=False)
        self.executor = self._service.executor
        self.plan_counts = self._service.plans.counts
        self.context = self._service.context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serve = self.serve if KEY in scope else self._application
        await serve(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request that has an id."""
        if scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return
        media_type = None
        try:
            media_type = self._checked.result(scope)
            if media_type != HTML:
                status, content, headers = await self._respond(scope, receive, media_type)
        except ClientDisconnect:
            return
        except Exception as error:
            media_type = media_type or _accepted_type(scope)
            status, content, headers = _describe(error)
        vary = caching.VARY if scope["method"] in BY_URL else "Accept"
        if media_type == HTML and self._playground:
            page = self._playground.response()
            page.headers["Vary"] = vary
            await page(scope, receive, send)
            return
        raw = _raw_headers(status, content, media_type, vary, headers)
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    async def _respond(
        self, scope: Scope, receive: Receive, media_type: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Return the status, the content and the headers of the response to an operation.

        There is no object for the response and its headers, which would cost more than a plan.
        """
        request = HTTPRequest(scope, receive)
        # Checked before the body is read, which is not needed without a place. A client that
        # sends its body slowly takes no place.
        self._service.require_place()
        by_url = scope["method"] in BY_URL
        operation = (
            self._queries.read(scope["query_string"])
            if by_url
            else await read_body(request, self._settings)
        )
        served = await self._service.serve(operation, request, BY_GET if by_url else BY_POST)
        assert isinstance(served, ServedResponse)  # which only a subscription is not
        status, content, headers = (
            (200, served.content, _NO_HEADERS)
            if served.response.status == 200
            else _status(served, media_type)
        )
        if not by_url or not served.response.is_complete:
            return status, content, headers
        # A viewer is identified by something in the request.
        is_current, of_caches = await caching.caching_headers(
            content,
            _CONTENT_TYPES[media_type],
            request.headers,
            self._settings.cache_time,
            personal=served.viewer is not None,
        )
        if is_current:
            return 304, b"", of_caches
        return status, content, {**headers, **of_caches}

    def _check_headers(self, scope: Scope) -> str:
        """Return the media type of the response, after checking the headers of the request.

        :raises RequestError: for a request that must not be answered.
        """
        request = HTTPRequest(scope)
        media_type = _media_type(request, self._playground is not None)
        if media_type != HTML:
            self._check_sender(request)
            if request.method == "POST":
                check_content(request.headers)
        return media_type

    def _check_sender(self, request: HTTPRequest) -> None:
        """Reject a request by another host name, or of a page that may not change anything.

        :raises RequestError: in these cases.
        """
        self._hosts.require_allowed(request.scope)
        acts_for_visitor = self._guests_write or "cookie" in request.headers
        if request.method == "POST" and acts_for_visitor:
            self._origins.require_allowed(
                request.headers, "send requests that may change something"
            )


def _media_type(request: HTTPRequest, has_page: bool) -> str:
    """Return the media type of the response.

    :raises RequestError: for another method than GET, HEAD and POST, and for an Accept header
        that accepts no offered type.
    """
    if request.method not in (*BY_URL, "POST"):
        raise RequestError(
            405, METHOD_NOT_ALLOWED, "Use GET or POST.", {"Allow": "GET, HEAD, POST"}
        )
    offers = [JSON, GRAPHQL]
    if has_page and request.method != "POST":
        offers.append(HTML)
    accepted = choose(",".join(request.headers.getlist("accept")), offers)
    if accepted is None:
        raise RequestError(406, "NOT_ACCEPTABLE", f"Accept {' or '.join(offers)}.")
    return accepted


def _accepted_type(scope: Scope) -> str:
    """Return the media type of the response to a request that has failed a check."""
    try:
        return _media_type(HTTPRequest(scope), has_page=False)
    except RequestError:
        return JSON


def _status(served: ServedResponse, media_type: str) -> tuple[int, bytes, Mapping[str, str]]:
    """Return the status, the content and the headers of a response with another status than 200."""
    result = served.response
    headers = {"Allow": "POST"} if result.status == 405 else {}
    if result.is_retryable:
        headers["Retry-After"] = RETRY_AFTER
    keeps_status = media_type == GRAPHQL or result.status in COMMON_STATUSES
    return result.status if keeps_status else 200, served.content, headers


def _describe(error: Exception) -> tuple[int, bytes, Mapping[str, str]]:
    """Return the status, the content and the headers of the response to an error."""
    if isinstance(error, RequestError):
        return error.status, encode_error(error), error.headers or {}
    return 500, orjson.dumps({"errors": [mask_error(error, "outside of any field")]}), {}


_NO_HEADERS: Mapping[str, str] = {}

_CONTENT_TYPES = {JSON: JSON, GRAPHQL: f"{GRAPHQL}; charset=utf-8"}

_CONTENT_TYPE_HEADERS = {
    media_type: (b"content-type", content_type.encode())
    for media_type, content_type in _CONTENT_TYPES.items()
}

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")

_NO_STORE = (b"cache-control", b"no-store")


def _raw_headers(
    status: int, content: bytes, media_type: str, vary: str, headers: Mapping[str, str]
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response as ASGI has them; no cache may keep it by default.

    :param headers: those that it has besides.
    """
    of_vary = (b"vary", vary.encode())
    length = (b"content-length", b"%d" % len(content))
    if not headers:
        return [length, _CONTENT_TYPE_HEADERS[media_type], _NO_SNIFFING, _NO_STORE, of_vary]
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if status == 304:
        return [*raw, of_vary]
    if "Cache-Control" not in headers:
        raw.insert(0, _NO_STORE)
    return [length, _CONTENT_TYPE_HEADERS[media_type], _NO_SNIFFING, *raw, of_vary]
