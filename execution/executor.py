"""Executing one GraphQL request, from its text to the response that tells of it.

graphql-core is called directly, with Strawberry's schema and executor: Strawberry's own
``Schema.execute`` runs the first of several operations when none is named, tells request
errors from others nowhere, and costs 50 µs more than the 24 of a trivial query.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, NamedTuple, TypeGuard, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)
from graphql.execution import create_source_event_stream, execute
from strawberry import Schema
from strawberry.execution import optimized_is_awaitable

from ..errors import ConfigurationError
from ..settings import SETTINGS, Settings
from . import limits
from .context import Context
from .cost import CostEstimator, OperationCost
from .documents import Document, DocumentCache
from .errors import (
    BAD_REQUEST,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    OUTAGES,
    client_error,
    log_client_error,
    report_error,
    report_errors,
)
from .fair_executor import FairExecutor
from .persisted_documents import PersistedDocuments, sha256

NO_DATABASE = 503
"""Executed, and the database could be used for none of it."""

PARTIAL_SUCCESS = 294
"""Executed, with errors: "294 Partial Success" of the GraphQL over HTTP draft."""

_is_awaitable = cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)


@dataclass(frozen=True)
class Request:
    """A GraphQL-over-HTTP request; it has a document, or a document's id, or both."""

    query: str | None
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    document_id: str | None = None


class GraphQLResponse(NamedTuple):
    """A response as the specification has it, section 7.1, and how it came about."""

    body: dict[str, Any]
    status: int = 200
    """The HTTP status, by the GraphQL over HTTP draft for its own media type. With 2xx, the
    body has data."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed in a moment, and nothing of it was done."""
        return self.status == NO_DATABASE and _are_outages(self.body["errors"])

    @property
    def is_complete(self) -> bool:
        """Whether it is an answer without any error."""
        return "errors" not in self.body


class PreparedOperation(NamedTuple):
    """An operation that may be executed: its document is valid, and it is within the limits."""

    document: DocumentNode
    name: str | None
    kind: OperationType
    variables: dict[str, Any] | None
    nodes: int


BY_GET: Collection[OperationType] = (OperationType.QUERY,)
BY_POST: Collection[OperationType] = (OperationType.QUERY, OperationType.MUTATION)
BY_SOCKET: Collection[OperationType] = tuple(OperationType)
"""What may be asked for in which way."""


class Executor:
    """Executes requests on one schema.

    :param schema: the Strawberry schema.
    :raises ConfigurationError: for a list of documents that cannot be used.
    """

    def __init__(self, schema: Schema, settings: Settings) -> None:
        core: GraphQLSchema = schema._schema
        self.documents = DocumentCache(
            core,
            settings.document_tokens,
            introspection=settings.introspection,
            max_characters=settings.document_size,
            check=partial(limits.check_limits, settings=settings),
        )
        self.persisted = PersistedDocuments.of(settings)
        self._costs = CostEstimator(core)
        self._settings = settings
        self._schema = core
        self._hide_suggestions = not settings.introspection
        self.check_listed()

    def check_listed(self) -> None:
        """Refuse a list with a document that could never be executed.

        :raises ConfigurationError: for the first document with a fault of its own, or past a
            limit. Sizes of pages that only variables tell are left to the requests.
        """
        for id, text in self.persisted.listed.items():
            fault = self._fault(text)
            if fault is not None:
                raise ConfigurationError(
                    f"{SETTINGS['persisted_documents']}: {self._settings.persisted_documents}: the "
                    f"document {id!r} can never be executed: {' '.join(fault.split())}"
                )

    def _fault(self, text: str) -> str | None:
        """The first reason for which a document is never executed."""
        document = self.documents.read(text)
        if document.errors:
            return str(document.errors[0]["message"])
        for operation in document.operations:
            cost = self._cost(document, operation)
            sizes = {each.variable.name.value: 0 for each in operation.variable_definitions or ()}
            nodes = cost.nodes({**sizes, **cost.defaults}, self._settings.page_size)
            error = self._costs.check(cost, nodes, self._settings)
            if error is not None:
                return error.message
        return None

    async def prepare(
        self, request: Request, kinds: Collection[OperationType] = BY_POST
    ) -> PreparedOperation | GraphQLResponse:
        """The operation that a request asks for; or the answer, if it is not to be executed.

        :param kinds: what may be asked for in the way that the request came.
        """
        text = self._text(request)
        if isinstance(text, GraphQLResponse):
            return text
        document = await self.documents.load(text)
        if document.node is None or document.errors:
            log_client_error(document.errors[0])
            return GraphQLResponse({"errors": document.errors}, document.status)
        if request.document_id and request.query:
            self.persisted.keep(text)
        operation = document.operation(request.operation_name)
        if operation is None:
            message = (
                f"The document has no operation named {request.operation_name!r}."
                if request.operation_name
                else "The document has not exactly one operation; pass operationName to choose one."
            )
            return error_response(422, BAD_REQUEST, message)
        if operation.operation not in kinds:
            return _wrong_transport(operation.operation)
        cost = self._cost(document, operation)
        nodes = cost.nodes(request.variables, self._settings.page_size)
        fault = self._costs.check(cost, nodes, self._settings)
        if fault is not None:
            return GraphQLResponse({"errors": [report_error(fault)]}, 422)
        return PreparedOperation(
            document.node, request.operation_name, operation.operation, request.variables, nodes
        )

    def _text(self, request: Request) -> str | GraphQLResponse:
        """The text of the document to execute, whichever way it is given."""
        text, id = request.query, request.document_id
        if text is None:
            assert id is not None
            text = self.persisted.find(id)
            if text is None:
                return _unknown_document(
                    self.persisted.accepts_new or self._settings.only_persisted
                )
        elif id is not None and id.removeprefix("sha256:") != sha256(text).removeprefix("sha256:"):
            return error_response(
                400, BAD_REQUEST, "The document's id is not its sha256: send one only."
            )
        if self._settings.only_persisted and not self.persisted.is_listed(text):
            return error_response(
                403,
                "DOCUMENT_NOT_ALLOWED",
                "This server executes only the documents that it has a list of.",
            )
        return text

    async def execute(
        self, operation: PreparedOperation, context: Context, event: Any = None
    ) -> GraphQLResponse:
        """Execute an operation; whatever goes wrong is told in the answer.

        :param event: of a subscription, what it has come to.
        :raises AnswerTooLarge: when the answer has come to too much.
        """
        result = execute(
            self._schema,
            operation.document,
            event,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            is_awaitable=_is_awaitable,
            executor_class=FairExecutor,
            operation_extensions=None,
            hide_suggestions=self._hide_suggestions,
        )
        limit = self._settings.operation_cost
        extensions = {"cost": {"nodes": operation.nodes, "limit": limit}}
        of_mutation = operation.kind is OperationType.MUTATION
        if isawaitable(result):
            result = await result
        context.size.check()
        is_changed = bool(context.changes) or context.is_outcome_unknown
        return await _build_response(result, extensions, of_mutation, is_changed)

    async def subscribe(
        self, operation: PreparedOperation, context: Context
    ) -> AsyncIterator[Any] | GraphQLResponse:
        """The events of a subscription, each to be executed; or why there are none."""
        built = FairExecutor.build(
            self._schema,
            operation.document,
            context_value=context,
            raw_variable_values=operation.variables,
            operation_name=operation.name,
            is_awaitable=_is_awaitable,
            operation_extensions=None,
            hide_suggestions=self._hide_suggestions,
        )
        if isinstance(built, list):
            return await _request_error_response(built)
        events = create_source_event_stream(built)
        if isawaitable(events):
            events = await events
        if isinstance(events, ExecutionResult):
            # GraphQL specification, section 6.2.3.1: without a source stream, there is no data.
            return await _request_error_response(events.errors or [])
        return aiter(events)

    def _cost(self, document: Document, operation: OperationDefinitionNode) -> OperationCost:
        """The cost of an operation, measured once a document."""
        name = operation.name.value if operation.name else None
        if name not in document.costs:
            assert document.node is not None
            document.costs[name] = self._costs.of(document.node, operation)
        return document.costs[name]


async def _build_response(
    result: ExecutionResult, extensions: dict[str, Any], of_mutation: bool, is_changed: bool
) -> GraphQLResponse:
    errors = result.errors or []
    told = {"errors": await report_errors(errors, of_mutation=of_mutation)} if errors else {}
    # A request error has no path, the error of a field has one (section 7.1.2).
    if result.data is None and not any(error.path for error in errors):
        return _response_without_data(told)
    is_answered = any(value is not None for value in (result.data or {}).values())
    is_changed = is_changed or (of_mutation and _is_partial(errors))
    if errors and not (is_answered or is_changed) and _are_outages(told["errors"]):
        return GraphQLResponse({**told, "data": None, "extensions": extensions}, NO_DATABASE)
    status = PARTIAL_SUCCESS if errors else 200
    return GraphQLResponse({**told, "data": result.data, "extensions": extensions}, status)


def _are_outages(errors: Sequence[Mapping[str, Any]]) -> bool:
    return all(error["extensions"]["code"] in OUTAGES for error in errors)


def _is_partial(errors: Sequence[GraphQLError]) -> bool:
    """Return whether a mutation was made, and only a part of its payload could not be read."""
    return any(len(error.path or ()) > 1 for error in errors)


async def _request_error_response(errors: Sequence[GraphQLError]) -> GraphQLResponse:
    """The answer to what has not come to be executed."""
    return _response_without_data({"errors": await report_errors(errors, of_mutation=False)})


def _response_without_data(told: dict[str, Any]) -> GraphQLResponse:
    codes = {error["extensions"]["code"] for error in told["errors"]}
    return GraphQLResponse(told, 500 if INTERNAL in codes else 422)


def _wrong_transport(kind: OperationType) -> GraphQLResponse:
    """The answer to what has to be sent in another way."""
    if kind is OperationType.SUBSCRIPTION:
        says = "Subscriptions are sent over WebSocket, in the sub-protocol graphql-transport-ws."
        return error_response(422, BAD_REQUEST, says)
    return error_response(
        405, METHOD_NOT_ALLOWED, "Only queries can be sent by GET; send this by POST."
    )


def error_response(status: int, code: str, message: str) -> GraphQLResponse:
    """The answer to a request that is not executed, or not to its end."""
    return GraphQLResponse({"errors": [client_error(code, message)]}, status)


def _unknown_document(takes_new: bool) -> GraphQLResponse:
    """What Apollo's clients wait for: they send the document along, or no more hashes."""
    if takes_new:
        return error_response(404, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    return error_response(404, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
