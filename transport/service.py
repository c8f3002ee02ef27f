"""Serving an operation over any transport: its viewer, its place, its time and its size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from inspect import isawaitable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson
from graphql import OperationType
from starlette.requests import HTTPConnection
from strawberry import Schema

from ..auth.viewer import Viewer
from ..concurrency.deadlines import Deadline, Overdue, within
from ..concurrency.places import Places
from ..concurrency.scheduler import begin_operation
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
from ..execution.response_size import TIMES_IN_UTC, ResponseTooLarge
from ..host.access import HostRules
from ..operations.plans import Plans
from ..settings import Settings
from .request_errors import RequestError

T = TypeVar("T")

GetViewer: TypeAlias = Callable[[HTTPConnection], Viewer | Awaitable[Viewer | None] | None]
"""A function that returns the viewer of a request, over HTTP or WebSocket; None for a guest. It
raises :class:`~tallied.errors.Unauthenticated` for an invalid proof, such as an expired token."""

RETRY_AFTER = "1"
"""Seconds after which a client that was turned away may try again."""


async def load_viewer(get_viewer: GetViewer, request: HTTPConnection) -> Viewer | None:
    """Return the viewer of a request.

    :raises Unauthenticated: for a request that does not prove who makes it.
    :raises Busy: or :class:`~tallied.errors.Unavailable`, if the host's function queries a
        database that cannot be used.
    :raises ConfigurationError: if the host's function returns something else.
    """
    viewer = find_viewer(get_viewer, request)
    if viewer is None or isinstance(viewer, Viewer):
        return viewer
    return await _await_viewer(viewer)


def find_viewer(
    get_viewer: GetViewer, request: HTTPConnection
) -> Viewer | Awaitable[Viewer | None] | None:
    """Return the same, or what is to be awaited for it.

    :raises Unauthenticated: and the others, as :func:`load_viewer` does.
    """
    try:
        viewer = get_viewer(request)
    except Exception as error:
        if failure := classify(error):
            raise translate(failure, error) from error
        raise
    if viewer is None or isinstance(viewer, Viewer):
        return viewer
    return viewer if isawaitable(viewer) else _require_viewer(viewer)


async def _await_viewer(awaitable: Awaitable[Viewer | None]) -> Viewer | None:
    try:
        return _require_viewer(await awaitable)
    except Exception as error:
        if failure := classify(error):
            raise translate(failure, error) from error
        raise


def _require_viewer(viewer: Any) -> Viewer | None:
    if viewer is not None and not isinstance(viewer, Viewer):
        # Nobody must be taken for someone else, or a viewer for a guest, by mistake.
        raise ConfigurationError(
            f"get_viewer must return a Viewer or None, not a {type(viewer).__name__}."
        )
    return viewer


class ServedResponse(NamedTuple):
    """The response to a request, and the viewer whom it is for."""

    response: GraphQLResponse
    content: bytes
    """The response as JSON."""

    viewer: Viewer | None


class SubscriptionStream(NamedTuple):
    """A subscription that has begun."""

    operation: PreparedOperation
    source: AsyncIterator[Any]
    context: Context


class Service:
    """Serves the operations of one schema. All transports share its places.

    :raises ConfigurationError: for a list of persisted documents that cannot be used.
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
        self.plans = Plans(schema, database, settings.page_size)
        self._database = database
        self._rules = rules
        self._get_viewer = get_viewer
        self._places = Places(settings.concurrent_requests)

    def context(
        self, viewer: Viewer | None = None, request: HTTPConnection | None = None
    ) -> Context:
        """Return the context of one operation of that viewer."""
        return Context(self._database, self.settings, self._rules, viewer, request)

    def require_place(self) -> None:
        """Turn a request away if the server executes as many as it may.

        :raises RequestError: in that case.
        """
        if not self._places.free:
            raise RequestError(
                503,
                "OVERLOADED",
                "The server executes as many requests as it may; send the same request again.",
                {"Retry-After": RETRY_AFTER},
            )

    async def viewer(self, request: HTTPConnection) -> Viewer | None:
        """Return the viewer of a request, within the time that its execution may take.

        :raises RequestError: for a request without a valid proof, and after that time.
        """
        seconds = self.settings.execution_time
        try:
            viewer = find_viewer(self._get_viewer, request)
            if viewer is None or isinstance(viewer, Viewer):
                return viewer
            return await within(seconds, _await_viewer(viewer))
        except Overdue as error:
            sentence = (
                f"It took longer than {seconds} seconds to find out who asks; try again later."
            )
            raise RequestError(503, "TIMEOUT", sentence) from error
        except (Busy, Unavailable) as error:
            headers = {"Retry-After": RETRY_AFTER}
            raise RequestError(503, error.code, error.message, headers) from error
        except Unauthenticated as error:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise RequestError(401, error.code, error.message, challenge) from error

    async def authenticate(self, request: HTTPConnection) -> None:
        """Check the viewer of a connection, which takes the place of a request meanwhile.

        :raises RequestError: as :meth:`viewer` does, and if there is no place.
        """
        self.require_place()
        async with self._places.wait():
            await self.viewer(request)

    async def serve(
        self,
        request: Request,
        connection: HTTPConnection,
        kinds: Collection[OperationType] = BY_POST,
    ) -> ServedResponse | SubscriptionStream:
        """Execute a query or a mutation, or begin a subscription.

        :param kinds: the kinds of operations that the transport accepts.
        :raises RequestError: if the request is turned away.
        """
        self.require_place()
        self._places.take()
        try:
            viewer = await self.viewer(connection)
            context = self.context(viewer, connection)
            result = await self._limit(context, self._run(request, context, kinds))
        finally:
            self._places.leave()
        if isinstance(result, SubscriptionStream):
            return result
        return ServedResponse(*result, viewer)

    async def serve_event(
        self, stream: SubscriptionStream, event: Any, connection: HTTPConnection
    ) -> ServedResponse:
        """Execute a subscription for one of its events, and for its client's present viewer.

        It waits for a place, because the client has not chosen the time.

        :raises RequestError: if the client has no valid proof any more.
        """
        async with self._places.wait():
            viewer = await self.viewer(connection)
            context = self.context(viewer, connection)
            execution = self._execute(stream.operation, context, event)
            return ServedResponse(*await self._limit(context, execution), viewer)

    async def _run(
        self, request: Request, context: Context, kinds: Collection[OperationType]
    ) -> tuple[GraphQLResponse, bytes] | SubscriptionStream:
        operation = await self.executor.prepare(request, kinds)
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
        data = await self.plans.execute(
            operation.document, operation.node, context, operation.variables
        )
        if data is not None:  # Otherwise graphql-core executes it.
            extensions = self.executor.extensions(operation, is_compiled=True)
            response = GraphQLResponse({"data": data, "extensions": extensions})
            return response, await context.size.dump(response.body, TIMES_IN_UTC)
        response = await self.executor.execute(operation, context, event)
        return response, await context.size.dump(response.body)

    async def _limit(
        self, context: Context, execution: Coroutine[Any, Any, T]
    ) -> T | tuple[GraphQLResponse, bytes]:
        """Await an execution, but return an error after its time, or for too large a response."""
        begin_operation()
        size, seconds = context.size, self.settings.execution_time
        deadline = Deadline(seconds)
        size.when_exceeded, context.deadline = deadline.expire_soon, deadline
        is_overdue = False
        try:
            try:
                return await execution
            finally:
                is_overdue = deadline.end()
        except (asyncio.CancelledError, TimeoutError, ResponseTooLarge) as error:
            if size.is_exceeded and (is_overdue or isinstance(error, ResponseTooLarge)):
                response = _too_large_response(size.maximum, context)
            elif is_overdue:
                response = _timeout_response(seconds, context)
            else:
                raise
            return response, orjson.dumps(response.body)
        finally:
            size.when_exceeded = context.deadline = None
            if context.is_busy:
                await context.stop()


def _timeout_response(seconds: int, context: Context) -> GraphQLResponse:
    sentence = f"The request took longer than {seconds} seconds, and was stopped; "
    if warning := _repeat_warning(context):  # Not a 503, after which a client would send it again.
        return error_response(500, "TIMEOUT", sentence + warning)
    return error_response(503, "TIMEOUT", f"{sentence}ask for less.")


def _too_large_response(maximum: int, context: Context) -> GraphQLResponse:
    sentence = f"The answer would have more than {maximum} bytes; "
    warning = _repeat_warning(context)
    sentence += warning or "ask for smaller pages or fewer fields."
    error = limits.limit_error("answer_size", maximum, sentence)
    return GraphQLResponse({"errors": [report_error(error)]}, 500 if warning else 422)


def _repeat_warning(context: Context) -> str:
    """Return a warning against sending changes again, or an empty text if nothing was changed."""
    if context.is_outcome_unknown:
        changes = f"changes made before: {context.changes}, and one that may have been made."
        return f"{changes} Look before you send those again."
    if context.changes:
        return f"changes made before: {context.changes}. Do not send those again."
    return ""
