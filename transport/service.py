"""Serving an operation, over whichever transport it came: who asks, room, time and size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from functools import partial
from inspect import isawaitable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson
from graphql import OperationType
from starlette.requests import HTTPConnection
from strawberry import Schema

from ..auth.viewer import Viewer
from ..concurrency.scheduler import new_scheduler
from ..database import Database
from ..database.failures import classify, translate
from ..errors import Busy, ConfigurationError, Unauthenticated, Unavailable
from ..execution import limits
from ..execution.context import Context
from ..execution.errors import report_error
from ..execution.executor import (
    BY_POST,
    Executor,
    GraphQLResponse,
    PreparedOperation,
    Request,
    error_response,
)
from ..execution.response_size import ResponseTooLarge
from ..host.access import HostRules
from ..settings import Settings
from .refusals import RequestError

T = TypeVar("T")

GetViewer: TypeAlias = Callable[[HTTPConnection], Viewer | Awaitable[Viewer | None] | None]
"""Who makes a request, over HTTP and WebSocket alike; None for a guest. It raises
:class:`~tallied.errors.Unauthenticated` for what proves nothing, such as an expired token."""

RETRY_AFTER = "1"
"""Seconds after which a client that was turned away may try again."""


async def load_viewer(get_viewer: GetViewer, request: HTTPConnection) -> Viewer | None:
    """Who makes the request.

    :raises Unauthenticated: for a request that does not prove who makes it.
    :raises Busy: or :class:`~tallied.errors.Unavailable`, where the host's function asks a
        database that cannot be used.
    :raises ConfigurationError: where the host's function returns something else.
    """
    try:
        viewer = get_viewer(request)
        if isawaitable(viewer):
            viewer = await viewer
    except Exception as error:
        if failure := classify(error):
            raise translate(failure, error) from error
        raise
    if viewer is not None and not isinstance(viewer, Viewer):
        # Nobody is to be taken for someone, nor someone for a guest, by mistake.
        raise ConfigurationError(
            f"get_viewer must return a Viewer or None, not a {type(viewer).__name__}."
        )
    return viewer


class ServedResponse(NamedTuple):
    """What came of a request."""

    answer: GraphQLResponse
    content: bytes
    """The answer's JSON."""

    viewer: Viewer | None


class SubscriptionStream(NamedTuple):
    """A subscription that has begun."""

    operation: PreparedOperation
    source: AsyncIterator[Any]
    context: Context


class Service:
    """Serves the operations of one schema; those of all transports share its room.

    :raises ConfigurationError: for a list of documents that cannot be used.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        rules: HostRules,
        get_viewer: GetViewer,
        schema: Schema,
    ) -> None:
        self.settings = settings
        self.schema = schema
        self.executor = Executor(schema, settings)
        self._database = database
        self._rules = rules
        self._get_viewer = get_viewer
        self._places = asyncio.Semaphore(settings.concurrent_requests)

    def context(
        self, viewer: Viewer | None = None, request: HTTPConnection | None = None
    ) -> Context:
        """What one operation of that viewer works with."""
        return Context(self._database, self.settings, self._rules, viewer, request)

    def check_room(self) -> None:
        """Turn a request away while as many are executed as may be.

        :raises Refused: then.
        """
        if self._places.locked():
            raise RequestError(
                503,
                "OVERLOADED",
                "The server executes as many requests as it may; send the same request again.",
                {"Retry-After": RETRY_AFTER},
            )

    async def viewer(self, request: HTTPConnection) -> Viewer | None:
        """Who makes the request, found out within the time that it may be executed for.

        :raises Refused: for a request that proves nothing, and after that time.
        """
        seconds = self.settings.execution_time
        try:
            async with asyncio.timeout(seconds) as time:
                return await load_viewer(self._get_viewer, request)
        except TimeoutError as error:
            if not time.expired():
                raise
            says = f"It took longer than {seconds} seconds to find out who asks; try again later."
            raise RequestError(503, "TIMEOUT", says) from error
        except (Busy, Unavailable) as error:
            raise RequestError(
                503, error.code, error.message, {"Retry-After": RETRY_AFTER}
            ) from error
        except Unauthenticated as error:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise RequestError(401, error.code, error.message, challenge) from error

    async def authenticate(self, request: HTTPConnection) -> None:
        """Find out who opens a connection, in the room of a request.

        :raises Refused: as :meth:`viewer` does, and where there is no room.
        """
        self.check_room()
        async with self._places:
            await self.viewer(request)

    async def serve(
        self, asked: Request, request: HTTPConnection, kinds: Collection[OperationType] = BY_POST
    ) -> ServedResponse | SubscriptionStream:
        """Execute a query or a mutation, or begin a subscription.

        :param kinds: what may be asked for in the way that the request came.
        :raises Refused: where it is not even looked at.
        """
        self.check_room()
        async with self._places:
            viewer = await self.viewer(request)
            context = self.context(viewer, request)
            done = await self._bounded(context, self._work(asked, context, kinds))
        return done if isinstance(done, SubscriptionStream) else ServedResponse(*done, viewer)

    async def serve_event(
        self, events: SubscriptionStream, event: Any, request: HTTPConnection
    ) -> ServedResponse:
        """Execute what a subscription asks of an event, for whom its client is by now.

        It waits for room: it is not the client that has chosen the time.

        :raises Refused: where it cannot be told who that is.
        """
        async with self._places:
            viewer = await self.viewer(request)
            context = self.context(viewer, request)
            work = self._execute(events.operation, context, event)
            return ServedResponse(*await self._bounded(context, work), viewer)

    async def _work(
        self, asked: Request, context: Context, kinds: Collection[OperationType]
    ) -> tuple[GraphQLResponse, bytes] | SubscriptionStream:
        operation = await self.executor.prepare(asked, kinds)
        if isinstance(operation, GraphQLResponse):
            return operation, await context.size.dump(operation.body)
        if operation.kind is not OperationType.SUBSCRIPTION:
            return await self._execute(operation, context)
        source = await self.executor.subscribe(operation, context)
        if isinstance(source, GraphQLResponse):
            return source, await context.size.dump(source.body)
        return SubscriptionStream(operation, source, context)

    async def _execute(
        self, operation: PreparedOperation, context: Context, event: Any = None
    ) -> tuple[GraphQLResponse, bytes]:
        answer = await self.executor.execute(operation, context, event)
        return answer, await context.size.dump(answer.body)

    async def _bounded(
        self, context: Context, work: Coroutine[Any, Any, T]
    ) -> T | tuple[GraphQLResponse, bytes]:
        """What is worked out in time and not too large; or the answer that tells why not."""
        new_scheduler()
        size, seconds = context.size, self.settings.execution_time
        try:
            async with asyncio.timeout(seconds) as time:
                size.when_exceeded, context.time = partial(_stop, time), time
                return await work
        except (TimeoutError, ResponseTooLarge):
            if size.is_exceeded:
                answer = _too_large_response(size.maximum, context)
            elif time.expired():
                answer = _timeout_response(seconds, context)
            else:
                raise
            return answer, orjson.dumps(answer.body)
        finally:
            size.when_exceeded = context.time = None
            await context.stop()


def _stop(time: asyncio.Timeout) -> None:
    """Stop what is executed, as when its time is over."""
    if not time.expired():
        time.reschedule(asyncio.get_running_loop().time())


def _timeout_response(seconds: int, context: Context) -> GraphQLResponse:
    says = f"The request took longer than {seconds} seconds, and was stopped; "
    if warning := _repeat_warning(context):  # Not a 503: after that, a client would send it again.
        return error_response(500, "TIMEOUT", says + warning)
    return error_response(503, "TIMEOUT", f"{says}ask for less.")


def _too_large_response(maximum: int, context: Context) -> GraphQLResponse:
    says = f"The answer would have more than {maximum} bytes; "
    warning = _repeat_warning(context)
    says += warning or "ask for smaller pages or fewer fields."
    fault = limits.limit_error("answer_size", maximum, says)
    return GraphQLResponse({"errors": [report_error(fault)]}, 500 if warning else 422)


def _repeat_warning(context: Context) -> str:
    """Return what warns of sending changes again; an empty text where nothing was changed."""
    if context.is_outcome_unknown:
        made = f"changes made before: {context.changes}, and one that may have been made."
        return f"{made} Look before you send those again."
    if context.changes:
        return f"changes made before: {context.changes}. Do not send those again."
    return ""
