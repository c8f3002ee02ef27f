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

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import isawaitable
from typing import TypeAlias

import orjson
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry import Schema

from ..database import Database
from ..errors import ConfigurationError, Unauthenticated
from ..resolvers.turns import new_pace
from ..rules import Rules
from ..settings import Settings
from ..viewer import Viewer
from . import caching, limits
from .build import schema
from .context import Context
from .execution import Answer, Executor, Request, refusal
from .negotiation import GRAPHQL, HTML, JSON, choose
from .page import Playground
from .reporting import METHOD_NOT_ALLOWED, mask, mistake, report
from .requests import Refused, from_body, from_query
from .size import AnswerTooLarge

GetViewer: TypeAlias = Callable[[HTTPConnection], Viewer | Awaitable[Viewer | None] | None]
"""Who makes a request, over HTTP and WebSocket alike; None for a guest. It raises
:class:`~tallied.errors.Unauthenticated` for what proves nothing, such as an expired token."""


def _guest(_: HTTPConnection) -> None:
    return None


async def viewer_of(get_viewer: GetViewer, request: HTTPConnection) -> Viewer | None:
    """Who makes the request.

    :raises Unauthenticated: for a request that does not prove who makes it.
    :raises ConfigurationError: where the host's function returns something else.
    """
    viewer = get_viewer(request)
    if isawaitable(viewer):
        viewer = await viewer
    if viewer is not None and not isinstance(viewer, Viewer):
        # Nobody is to be taken for someone, nor someone for a guest, by mistake.
        raise ConfigurationError(
            f"get_viewer must return a Viewer or None, not a {type(viewer).__name__}."
        )
    return viewer


RETRY_AFTER = "1"
"""Seconds after which a client that was turned away may try again."""

TOLD_TO_ALL = frozenset({405, 500, 503})
"""The statuses, other than 200, that an answer in application/json can have, too."""


class GraphQLEndpoint:
    """The ASGI application of one path: queries by GET, everything by POST.

    :raises ConfigurationError: for a list of documents that cannot be used.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        playground: Playground | None = None,
        *,
        rules: Rules | None = None,
        get_viewer: GetViewer = _guest,
        schema: Schema = schema,
    ) -> None:
        self._database = database
        self._settings = settings
        self._playground = playground
        self._rules = rules or Rules(guests=settings.guests)
        self._get_viewer = get_viewer
        self._running = 0
        self.executor = Executor(schema, settings)

    def context(
        self, viewer: Viewer | None = None, request: HTTPConnection | None = None
    ) -> Context:
        """What one operation of that viewer works with."""
        return Context(self._database, self._settings, self._rules, viewer, request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPRequest(scope, receive)
        media_type = JSON
        is_get = request.method in ("GET", "HEAD")
        try:
            media_type = _media_type(request, self._playground is not None)
            if self._playground and media_type == HTML:
                response = self._playground.response()
            else:
                response = await self._respond(request, media_type)
        except Refused as refused:
            told = orjson.dumps({"errors": [mistake(refused.code, refused.message)]})
            response = _response(media_type, refused.status, told, refused.headers)
        except ClientDisconnect:
            return
        except Exception as error:
            told = orjson.dumps({"errors": [mask(error, "outside of any field")]})
            response = _response(media_type, 500, told)
        response.headers["Vary"] = caching.VARY if is_get else "Accept"
        await response(scope, receive, send)

    async def _respond(self, request: HTTPRequest, media_type: str) -> Response:
        self._check_room()
        by_post = request.method == "POST"
        asked = await from_body(request, self._settings) if by_post else from_query(request)
        self._check_room()
        self._running += 1
        try:
            viewer = await self._viewer(request)
            context = self.context(viewer, request)
            answer, content = await self._answer(asked, context, only_queries=not by_post)
        finally:
            self._running -= 1
        headers = {"Allow": "POST"} if answer.status == 405 else {}
        as_told = media_type == GRAPHQL or answer.status in TOLD_TO_ALL
        response = _response(media_type, answer.status if as_told else 200, content, headers)
        if not by_post and answer.is_whole:
            # Whoever is known is so by something that this request has brought.
            response = await caching.allow(
                response, request.headers, self._settings.cache_time, personal=viewer is not None
            )
        return response

    async def _viewer(self, request: HTTPRequest) -> Viewer | None:
        seconds = self._settings.execution_time
        try:
            async with asyncio.timeout(seconds) as time:
                return await viewer_of(self._get_viewer, request)
        except TimeoutError as error:
            if not time.expired():
                raise
            says = f"It took longer than {seconds} seconds to find out who asks; try again later."
            raise Refused(503, "TIMEOUT", says) from error
        except Unauthenticated as error:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise Refused(401, error.code, error.message, challenge) from error

    def _check_room(self) -> None:
        """Before a body is read, so that it need not be, and after, as others have come.

        A client that is slow to send its body takes nobody's place.
        """
        if self._running >= self._settings.concurrent_requests:
            raise Refused(
                503,
                "OVERLOADED",
                "The server executes as many requests as it may; send the same request again.",
                {"Retry-After": RETRY_AFTER},
            )

    async def _answer(
        self, asked: Request, context: Context, *, only_queries: bool
    ) -> tuple[Answer, bytes]:
        """The answer to a request, and its JSON."""
        new_pace()
        size, seconds = context.size, self._settings.execution_time
        try:
            async with asyncio.timeout(seconds) as time:
                size.when_exceeded = partial(_stop, time)
                answer = await self.executor.execute(asked, context, only_queries=only_queries)
                return answer, await size.dump(answer.body)
        except (TimeoutError, AnswerTooLarge):
            if size.is_exceeded:
                answer = _too_large(size.maximum, context.changes)
            elif time.expired():
                answer = _too_long(seconds, context.changes)
            else:
                raise
            return answer, orjson.dumps(answer.body)
        finally:
            size.when_exceeded = None
            await context.stop()


def _stop(time: asyncio.Timeout) -> None:
    """Stop what is executed, as when its time is over."""
    if not time.expired():
        time.reschedule(asyncio.get_running_loop().time())


def _too_long(seconds: int, changes: int) -> Answer:
    says = f"The request took longer than {seconds} seconds, and was stopped; "
    if changes:  # Not a 503: after that, a client would send it again.
        return refusal(500, "TIMEOUT", says + _DO_NOT_REPEAT.format(changes))
    return refusal(503, "TIMEOUT", f"{says}ask for less.")


def _too_large(maximum: int, changes: int) -> Answer:
    says = f"The answer would have more than {maximum} bytes; "
    says += _DO_NOT_REPEAT.format(changes) if changes else "ask for smaller pages or fewer fields."
    fault = limits.exceeded("answer_size", maximum, says)
    return Answer({"errors": [report(fault)]}, 500 if changes else 422)


_DO_NOT_REPEAT = "changes made before: {}. Do not send those again."


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
