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
from .cross_origin import AllowedOrigins
from .media_types import GRAPHQL, HTML, JSON, choose
from .playground import Playground
from .request_errors import RequestError, encode_error
from .requests import read_body, read_query
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
        self._application = RequestIds(self._serve, in_answers=False)
        self.executor = self._service.executor
        self.context = self._service.context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return
        request = HTTPRequest(scope, receive)
        media_type = JSON
        is_get = request.method in ("GET", "HEAD")
        try:
            media_type = _media_type(request, self._playground is not None)
            if self._playground and media_type == HTML:
                response = self._playground.response()
            else:
                response = await self._respond(request, media_type)
        except RequestError as error:
            content = encode_error(error)
            response = _response(media_type, error.status, content, error.headers)
        except ClientDisconnect:
            return
        except Exception as error:
            content = orjson.dumps({"errors": [mask_error(error, "outside of any field")]})
            response = _response(media_type, 500, content)
        response.headers["Vary"] = caching.VARY if is_get else "Accept"
        await response(scope, receive, send)

    async def _respond(self, request: HTTPRequest, media_type: str) -> Response:
        by_post = request.method == "POST"
        self._check_sender(request)
        # Checked before the body is read, which is not needed without a place. A client that sends
        # its body slowly takes no place.
        self._service.require_place()
        graphql = await read_body(request, self._settings) if by_post else read_query(request)
        served = await self._service.serve(graphql, request, BY_POST if by_post else BY_GET)
        assert isinstance(served, ServedResponse)  # which only a subscription is not
        result, content, viewer = served
        headers = {"Allow": "POST"} if result.status == 405 else {}
        if result.is_retryable:
            headers["Retry-After"] = RETRY_AFTER
        keeps_status = media_type == GRAPHQL or result.status in COMMON_STATUSES
        response = _response(media_type, result.status if keeps_status else 200, content, headers)
        if not by_post and result.is_complete:
            # A viewer is identified by something in the request.
            response = await caching.allow_caching(
                response, request.headers, self._settings.cache_time, personal=viewer is not None
            )
        return response

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


def _response(
    media_type: str, status: int, content: bytes, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response that no cache may keep."""
    response = Response(
        content,
        status,
        headers,
        f"{GRAPHQL}; charset=utf-8" if media_type == GRAPHQL else JSON,
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
