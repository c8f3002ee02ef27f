"""The executor of GraphQL requests, from the text of a document to a response.

graphql-core is called directly, with Strawberry's schema and executor. Strawberry's own
``Schema.execute`` runs the first of several operations if none is named, does not distinguish
request errors from others, and takes 50 µs more than the 24 of a trivial query.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
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
"""The status if the database could not be used for any part of the operation."""

PARTIAL_SUCCESS = 294
"""The status of a response with data and errors, by the GraphQL over HTTP draft."""

_is_awaitable = cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)


class Request(NamedTuple):
    """A GraphQL-over-HTTP request, with a document, a document's id, or both."""

    query: str | None
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    document_id: str | None = None


class GraphQLResponse(NamedTuple):
    """A response of the specification, section 7.1, with its status."""

    body: dict[str, Any]
    status: int = 200
    """The HTTP status, by the GraphQL over HTTP draft for its own media type. With 2xx, the
    body has data."""

    @property
    def is_retryable(self) -> bool:
        """Whether nothing was changed, and the same request may succeed in a moment."""
        return self.status == NO_DATABASE and _are_outages(self.body["errors"])

    @property
    def is_complete(self) -> bool:
        """Whether the response has no errors."""
        return "errors" not in self.body


class PreparedOperation(NamedTuple):
    """An operation of a valid document and within the limits."""

    document: Document
    node: OperationDefinitionNode
    name: str | None
    kind: OperationType
    variables: dict[str, Any] | None
    nodes: int

    @property
    def document_node(self) -> DocumentNode:
        """The document as graphql-core has it."""
        assert self.document.node is not None
        return self.document.node


BY_GET: Collection[OperationType] = (OperationType.QUERY,)
BY_POST: Collection[OperationType] = (OperationType.QUERY, OperationType.MUTATION)
BY_SOCKET: Collection[OperationType] = tuple(OperationType)
"""The kinds of operations that each transport accepts."""


class Executor:
    """Executes the requests of one schema.

    :raises ConfigurationError: for a list of persisted documents that cannot be used.
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
        self._costs = CostEstimator(core, settings.reply_depth)
        self._settings = settings
        self._schema = core
        self._hide_suggestions = not settings.introspection
        self.check_listed()

    def check_listed(self) -> None:
        """Reject a list with a document that could never be executed.

        :raises ConfigurationError: for the first document with an error, or beyond a limit. The
            sizes of pages in variables are checked with each request.
        """
        for id, text in self.persisted.listed.items():
            message = self._find_error(text)
            if message is not None:
                raise ConfigurationError(
                    f"{SETTINGS['persisted_documents']}: {self._settings.persisted_documents}: the "
                    f"document {id!r} can never be executed: {' '.join(message.split())}"
                )

    def _find_error(self, text: str) -> str | None:
        """Return the first reason for which a document can never be executed, or None."""
        document = self.documents.read(text)
        if document.errors:
            return str(document.errors[0]["message"])
        for operation in document.operations:
            cost = self._cost(document, operation)
            variables = [node.variable.name.value for node in operation.variable_definitions or ()]
            sizes = dict.fromkeys(variables, 0)
            nodes = cost.nodes({**sizes, **cost.defaults}, self._settings.page_size)
            error = self._costs.check_cost(cost, nodes, self._settings)
            if error is not None:
                return error.message
        return None

    async def prepare(
        self, request: Request, kinds: Collection[OperationType] = BY_POST
    ) -> PreparedOperation | GraphQLResponse:
        """Return the operation of a request, or the response if it is not to be executed.

        :param kinds: the kinds of operations that the transport accepts.
        """
        text = request.query
        if text is None or request.document_id is not None or self._settings.only_persisted:
            text_or_error = self._text(request)
            if isinstance(text_or_error, GraphQLResponse):
                return text_or_error
            text = text_or_error
        document = self.documents.find(text) or await self.documents.load(text)
        if document.node is None or document.errors:
            log_client_error(document.errors[0])
            return GraphQLResponse({"errors": document.errors}, document.status)
        if request.document_id and request.query:
            self.persisted.store(text)
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
        error = self._costs.check_cost(cost, nodes, self._settings)
        if error is not None:
            return GraphQLResponse({"errors": [report_error(error)]}, 422)
        return PreparedOperation(
            document,
            operation,
            request.operation_name,
            operation.operation,
            request.variables,
            nodes,
        )

    def _text(self, request: Request) -> str | GraphQLResponse:
        """Return the text of the document to execute, or an error."""
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
        """Execute an operation, and return the response, with all errors.

        :param event: the event of a subscription.
        :raises ResponseTooLarge: if the response has become too large.
        """
        result = execute(
            self._schema,
            operation.document_node,
            event,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            is_awaitable=_is_awaitable,
            executor_class=FairExecutor,
            operation_extensions=None,
            hide_suggestions=self._hide_suggestions,
        )
        extensions = self.extensions(operation)
        of_mutation = operation.kind is OperationType.MUTATION
        if isawaitable(result):
            result = await result
        context.size.require_room()
        is_changed = bool(context.changes) or context.is_outcome_unknown
        return await _build_response(result, extensions, of_mutation, is_changed)

    def extensions(
        self, operation: PreparedOperation, *, is_compiled: bool = False
    ) -> dict[str, Any]:
        """Return the extensions of the response to an operation that was executed.

        In development, they tell whether a plan of :mod:`tallied.operations` has executed it.
        """
        cost = {"nodes": operation.nodes, "limit": self._settings.operation_cost}
        if self._settings.environment == "development":
            return {"cost": cost, "compiled": is_compiled}
        return {"cost": cost}

    async def subscribe(
        self, operation: PreparedOperation, context: Context
    ) -> AsyncIterator[Any] | GraphQLResponse:
        """Return the events of a subscription, each of which is to be executed, or an error."""
        built = FairExecutor.build(
            self._schema,
            operation.document_node,
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
        """Return the cost of an operation, which is measured once a document."""
        name = operation.name.value if operation.name else None
        if name not in document.costs:
            assert document.node is not None
            document.costs[name] = self._costs.measure(document.node, operation)
        return document.costs[name]


async def _build_response(
    result: ExecutionResult, extensions: dict[str, Any], of_mutation: bool, is_changed: bool
) -> GraphQLResponse:
    errors = result.errors or []
    payload = {"errors": await report_errors(errors, of_mutation=of_mutation)} if errors else {}
    # A request error has no path, and the error of a field has one (section 7.1.2).
    if result.data is None and not any(error.path for error in errors):
        return _response_without_data(payload)
    is_answered = any(value is not None for value in (result.data or {}).values())
    is_changed = is_changed or (of_mutation and _is_partial(errors))
    if errors and not (is_answered or is_changed) and _are_outages(payload["errors"]):
        return GraphQLResponse({**payload, "data": None, "extensions": extensions}, NO_DATABASE)
    status = PARTIAL_SUCCESS if errors else 200
    return GraphQLResponse({**payload, "data": result.data, "extensions": extensions}, status)


def _are_outages(errors: Sequence[Mapping[str, Any]]) -> bool:
    return all(error["extensions"]["code"] in OUTAGES for error in errors)


def _is_partial(errors: Sequence[GraphQLError]) -> bool:
    """Return whether a mutation succeeded, and a part of its payload could not be read."""
    return any(len(error.path or ()) > 1 for error in errors)


async def _request_error_response(errors: Sequence[GraphQLError]) -> GraphQLResponse:
    """Return the response to a request that was not executed."""
    return _response_without_data({"errors": await report_errors(errors, of_mutation=False)})


def _response_without_data(payload: dict[str, Any]) -> GraphQLResponse:
    codes = {error["extensions"]["code"] for error in payload["errors"]}
    return GraphQLResponse(payload, 500 if INTERNAL in codes else 422)


def _wrong_transport(kind: OperationType) -> GraphQLResponse:
    """Return the response to an operation that needs another transport."""
    if kind is OperationType.SUBSCRIPTION:
        sentence = (
            "Subscriptions are sent over WebSocket, in the sub-protocol graphql-transport-ws."
        )
        return error_response(422, BAD_REQUEST, sentence)
    return error_response(
        405, METHOD_NOT_ALLOWED, "Only queries can be sent by GET; send this by POST."
    )


def error_response(status: int, code: str, message: str) -> GraphQLResponse:
    """Return the response to a request that is not executed, or not completely."""
    return GraphQLResponse({"errors": [client_error(code, message)]}, status)


def _unknown_document(takes_new: bool) -> GraphQLResponse:
    """Return the error by which Apollo's clients send the document, or no hashes any more."""
    if takes_new:
        return error_response(404, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    return error_response(404, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
