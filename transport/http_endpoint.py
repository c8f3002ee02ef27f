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
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry import Schema

from ..database import Database
from ..execution.errors import METHOD_NOT_ALLOWED, mask_error
from ..execution.executor import BY_GET, BY_POST
from ..host.access import HostRules
from ..logs.request_ids import RequestIds
from ..schema.build import schema
from ..settings import Settings
from . import caching
from .allowed_hosts import AllowedHosts
from .checked_headers import CheckedHeaders
from .cross_origin import AllowedOrigins
from .media_types import GRAPHQL, HTML, JSON, choose
from .playground import Playground
from .request_errors import RequestError, encode_error
from .requests import check_content, read_body, read_query
from .service import RETRY_AFTER, GetViewer, ServedResponse, Service
from .websocket_handshake import WebSocketEndpoint


def _guest(_: HTTPConnection) -> None:
    return None


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
        self._checked = CheckedHeaders(self._check_post)
        self._application = RequestIds(self._serve, in_answers=False)
        self.executor = self._service.executor
        self.plan_counts = self._service.plans.counts
        self.context = self._service.context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return
        if scope["method"] == "POST":
            await self._serve_post(scope, receive, send)
            return
        request = HTTPRequest(scope, receive)
        media_type = JSON
        try:
            media_type = _media_type(request, self._playground is not None)
            if self._playground and media_type == HTML:
                response = self._playground.response()
            else:
                response = await self._respond(request, media_type)
        except Exception as error:
            response = _response(media_type, *_describe(error))
        response.headers["Vary"] = caching.VARY if scope["method"] in ("GET", "HEAD") else "Accept"
        await response(scope, receive, send)

    async def _respond(self, request: HTTPRequest, media_type: str) -> Response:
        """Return the response to a GET."""
        self._check_sender(request)
        self._service.require_place()
        served = await self._service.serve(read_query(request), request, BY_GET)
        assert isinstance(served, ServedResponse)  # which only a subscription is not
        response = _response(media_type, *_status(served, media_type))
        if served.response.is_complete:
            # A viewer is identified by something in the request.
            response = await caching.allow_caching(
                response,
                request.headers,
                self._settings.cache_time,
                personal=served.viewer is not None,
            )
        return response

    async def _serve_post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a POST, without an object for the response and its headers."""
        media_type = None
        try:
            media_type = self._checked.result(scope)
            request = HTTPRequest(scope, receive)
            # Checked before the body is read, which is not needed without a place. A client that
            # sends its body slowly takes no place.
            self._service.require_place()
            served = await self._service.serve(
                await read_body(request, self._settings), request, BY_POST
            )
            assert isinstance(served, ServedResponse)
            status, content, headers = _status(served, media_type)
        except ClientDisconnect:
            return
        except Exception as error:
            media_type = media_type or _accepted_type(scope)
            status, content, headers = _describe(error)
        raw = [
            (b"content-length", str(len(content)).encode()),
            *_HEADERS[media_type],
            *[(name.lower().encode(), value.encode()) for name, value in headers.items()],
        ]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    def _check_post(self, scope: Scope) -> str:
        """Return the media type of the response to a POST, after checking its headers.

        :raises RequestError: for a request that must not be answered.
        """
        request = HTTPRequest(scope)
        media_type = _media_type(request, has_page=False)
        self._check_sender(request)
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
    if request.method not in ("GET", "HEAD", "POST"):
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
    """Return the status, the content and the headers of a response that was executed."""
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


_CONTENT_TYPES = {JSON: JSON, GRAPHQL: f"{GRAPHQL}; charset=utf-8"}

_HEADERS = {
    media_type: [
        (b"content-type", content_type.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"Accept"),
    ]
    for media_type, content_type in _CONTENT_TYPES.items()
}
"""The headers of every response to a POST, as ASGI has them: no cache may keep it."""


def _response(
    media_type: str, status: int, content: bytes, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response that no cache may keep."""
    response = Response(
        content,
        status,
        headers,
        _CONTENT_TYPES.get(media_type, JSON),
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
