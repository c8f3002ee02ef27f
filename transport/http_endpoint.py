"""The HTTP endpoint, by the GraphQL over HTTP draft (graphql.github.io/graphql-over-http).

Strawberry's own view answers JSON bodies such as ``null``, and invalid UTF-8, with a
500, tells of other malformed requests in text/plain, and does not know
``application/graphql-response+json``. Every answer of this one is JSON with
``errors[].message`` and ``extensions.code``, but for the playground's page.

The statuses are the draft's, of September 2026. In ``application/json``, which a client
cannot tell from what a proxy says, a well-formed request is answered with 200 whatever
came of it, as the draft had it for legacy clients, unless the server had no room for it.
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
from .refusals import RequestError, encode_error
from .requests import read_body, read_query
from .service import RETRY_AFTER, GetViewer, ServedResponse, Service
from .websocket_handshake import WebSocketEndpoint


def _guest(_: HTTPConnection) -> None:
    return None


COMMON_STATUSES = frozenset({405, 500, 503})
"""The statuses, other than 200, that an answer in application/json can have, too."""


class GraphQLEndpoint:
    """The ASGI application of one path: queries by GET, everything by POST, and WebSocket.

    :raises ConfigurationError: for a list of documents that cannot be used.
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
        # Inside of a host, whose answers are its own.
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
        except RequestError as refused:
            content = encode_error(refused)
            response = _response(media_type, refused.status, content, refused.headers)
        except ClientDisconnect:
            return
        except Exception as error:
            told = orjson.dumps({"errors": [mask_error(error, "outside of any field")]})
            response = _response(media_type, 500, told)
        response.headers["Vary"] = caching.VARY if is_get else "Accept"
        await response(scope, receive, send)

    async def _respond(self, request: HTTPRequest, media_type: str) -> Response:
        by_post = request.method == "POST"
        self._check_sender(request)
        # Before a body is read, so that it need not be; a client that is slow to send it takes
        # nobody's place.
        self._service.check_room()
        asked = await read_body(request, self._settings) if by_post else read_query(request)
        served = await self._service.serve(asked, request, BY_POST if by_post else BY_GET)
        assert isinstance(served, ServedResponse)  # which all is that is not a subscription
        answer, content, viewer = served
        headers = {"Allow": "POST"} if answer.status == 405 else {}
        if answer.is_retryable:
            headers["Retry-After"] = RETRY_AFTER
        as_told = media_type == GRAPHQL or answer.status in COMMON_STATUSES
        response = _response(media_type, answer.status if as_told else 200, content, headers)
        if not by_post and answer.is_complete:
            # Whoever is known is so by something that this request has brought.
            response = await caching.allow_caching(
                response, request.headers, self._settings.cache_time, personal=viewer is not None
            )
        return response

    def _check_sender(self, request: HTTPRequest) -> None:
        """Refuse what a browser sends by another name, or for a page that may not change anything.

        :raises Refused: then.
        """
        self._hosts.check(request.scope)
        acts_for_visitor = self._guests_write or "cookie" in request.headers
        if request.method == "POST" and acts_for_visitor:
            self._origins.check(request.headers, "send requests that may change something")


def _media_type(request: HTTPRequest, has_page: bool) -> str:
    """The media type to answer in.

    :raises Refused: for another method than GET, HEAD and POST, and for an Accept header
        that accepts none.
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
    """A response that nobody may keep."""
    response = Response(
        content,
        status,
        headers,
        f"{GRAPHQL}; charset=utf-8" if media_type == GRAPHQL else JSON,
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
