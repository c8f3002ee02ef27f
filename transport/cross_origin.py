"""The pages of other origins that may use the API, over HTTP (CORS) and over WebSocket.

One setting, ``origins``, is for both. A browser sends a preflight before it lets a page of another
origin send JSON or a token, and read the response (Fetch standard, section 3.3 "CORS protocol").
There is no preflight for a WebSocket, so the ``Origin`` of its handshake is compared instead.

The ``Origin`` of a POST is compared as well if the request could change something in the name of
the page's visitor: if guests may write, or if a cookie comes along. JSON's preflight stops such a
page already, unless a host's own CORS middleware lets every page in. A page whose name has been
rebound to this server's address sends an ``Origin`` that equals ``Host``: :mod:`.allowed_hosts`
rejects it. A client other than a browser sends no ``Origin``.
"""

from __future__ import annotations

import orjson
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin

from ..execution.errors import BAD_REQUEST, client_error
from ..setting_checks import is_origin
from ..settings import ANY_ORIGIN, SETTINGS, Settings, split_list
from .media_types import JSON
from .request_errors import RequestError

ORIGIN_NOT_ALLOWED = "ORIGIN_NOT_ALLOWED"

FOREIGN_SITES = ("cross-site", "same-site")
"""The values of ``Sec-Fetch-Site`` for another origin (W3C Fetch Metadata, section 2.3)."""

METHODS = ("GET", "HEAD", "POST")

REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Apollo-Require-Preflight",
    "ApolloGraphQL-Client-Name",
    "ApolloGraphQL-Client-Version",
    "X-Apollo-Operation-Id",
    "X-Apollo-Operation-Name",
    "Baggage",
    "Sentry-Trace",
    "Traceparent",
    "Tracestate",
    "X-Request-Id",
)
"""The headers that pages may send: the API's, Apollo's, and those of tracing (W3C Trace Context).
urql and Relay send only the API's."""

RESPONSE_HEADERS = ("ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id")
"""The headers of a response that pages may read, in addition to those that any page may."""

MAX_AGE = 7200
"""Seconds for which a browser may keep the result of a preflight; Chromium accepts no more."""


class AllowedOrigins:
    """The origins that the settings allow.

    >>> AllowedOrigins(Settings(origins="https://forum.example")).allows("https://forum.example")
    True
    """

    def __init__(self, settings: Settings) -> None:
        self.names = frozenset(split_list(settings.origins))

    def allows(self, origin: str) -> bool:
        """Return whether pages of `origin` may use the API."""
        return ANY_ORIGIN in self.names or origin in self.names

    def require_allowed(self, headers: Headers, action: str) -> None:
        """Reject a request that a browser sends for a page of an origin that is not allowed.

        No page can set ``Origin``, ``Host`` or ``Sec-Fetch-Site``. Only host and port are compared,
        because the server does not see whether a proxy in front of it uses TLS.

        :param action: the action of the page, for the error's sentence.
        :raises RequestError: in that case.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None:
            is_allowed = site not in FOREIGN_SITES or ANY_ORIGIN in self.names
        else:
            is_allowed = (
                is_same_origin(origin, headers.get("host"))
                or site == "same-origin"  # where a proxy has changed Host
                or self.allows(origin)
            )
        if not is_allowed:
            raise RequestError(403, ORIGIN_NOT_ALLOWED, origin_sentence(origin, action))


class CrossOrigin(CORSMiddleware):
    """The CORS middleware of a server on its own, around every response, errors included.

    Cookies and HTTP authentication are allowed for the origins that the setting lists. Without any
    origin, the middleware only rejects preflights.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._allowed = AllowedOrigins(settings)
        super().__init__(
            app,
            allow_origins=self._allowed.names,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            allow_credentials=ANY_ORIGIN not in self._allowed.names,
            expose_headers=RESPONSE_HEADERS,
            max_age=MAX_AGE,
        )

    def is_allowed_origin(self, origin: str) -> bool:
        """Return whether pages of `origin` may read responses."""
        return self._allowed.allows(origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Respond to a preflight; a rejection is JSON with a code, like all errors of the API."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        if self.is_allowed_origin(request_headers["origin"]):
            status, code = 400, BAD_REQUEST
            sentence = (
                f"Pages of other origins may use the methods {', '.join(METHODS)} and the headers"
                f" {', '.join(self.allow_headers)}."
            )
        else:
            status, code = 403, ORIGIN_NOT_ALLOWED
            sentence = origin_sentence(request_headers["origin"], "use this API")
        content = orjson.dumps({"errors": [client_error(code, sentence)]})
        del response.headers["content-length"], response.headers["content-type"]
        return Response(content, status, response.headers, JSON)

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        """Serve a request; without allowed origins, the response does not depend on the origin."""
        if self._allowed.names:
            await super().simple_response(scope, receive, send, request_headers)
        else:
            await self.app(scope, receive, send)


def origin_sentence(origin: str | None, action: str) -> str:
    """Return the error's sentence for a page of an origin that is not allowed, if it is known."""
    pages = f"the origin {origin}" if origin and is_origin(origin) else "this origin"
    setting = SETTINGS["origins"]
    return f"Pages of {pages} may not {action}; the server's setting {setting} may name it."
