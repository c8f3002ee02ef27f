"""Documents: parsed and validated once, and kept by their text.

The validation rules are made here once for all requests: a rule class made for each
request, as Strawberry's own limiters are, makes a cache of validations useless
(strawberry-graphql/strawberry#4635).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VisitorAction,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.specified_rules import recommended_rules

from .cost import OperationCost
from .errors import BAD_USER_INPUT, PARSE_FAILED, VALIDATION_FAILED, format_error
from .limits import limit_error

MAX_ERRORS = 10
"""How many faults of a document are told at once."""

MAX_CACHED_CHARACTERS = 500_000
"""How much text the cache holds; a parsed document takes about 50 to 100 times its text."""

MAX_INLINE_CHARACTERS = 1000
"""A document of so many characters is read at once, in about a millisecond; a longer one in
a thread, so that nobody else waits for it."""


class NamedValuesOfCorrectTypeRule(ValuesOfCorrectTypeRule):
    """The specified rule, whose errors name the argument, and are errors of the input."""

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        """Called with each literal; which one it is, a scalar's own errors do not say."""
        self._literal = node
        return super().is_valid_value_node(node, input_type)

    def report_error(self, error: GraphQLError) -> None:
        """Called with each literal that has the wrong type."""
        if not error.nodes:
            error = GraphQLError(error.message, self._literal, original_error=error.original_error)
        argument, parent = self.context.get_argument(), self.context.get_field_def()
        names = [
            name for name, known in (parent.args if parent else {}).items() if known is argument
        ]
        error.extensions = {"code": BAD_USER_INPUT}
        if names:
            error.extensions["field"] = names[0]
            error.message = f"Argument '{names[0]}' has invalid value: {error.message}"
        super().report_error(error)


TOO_MANY_TOKENS = "Syntax Error: Document contains more than "
"""How graphql-core's parser says that it has stopped at the limit."""

RULES = tuple(
    NamedValuesOfCorrectTypeRule if rule is ValuesOfCorrectTypeRule else rule
    for rule in (*specified_rules, *recommended_rules)
)


@dataclass(frozen=True)
class Document:
    """A document, and what is wrong with it."""

    node: DocumentNode | None
    errors: list[dict[str, Any]] = field(default_factory=list)
    costs: dict[str | None, OperationCost] = field(default_factory=dict)
    """What its operations cost, by name, as far as they have been asked for."""

    @property
    def status(self) -> int:
        """The HTTP status of a faulty document, by the GraphQL over HTTP draft."""
        codes = {error["extensions"]["code"] for error in self.errors}
        return 400 if PARSE_FAILED in codes else 422

    @property
    def operations(self) -> list[OperationDefinitionNode]:
        """The operations, as they stand in the document."""
        return [
            node
            for node in (self.node.definitions if self.node else ())
            if isinstance(node, OperationDefinitionNode)
        ]

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation to execute: GetOperation() of the specification, section 6.1."""
        operations = self.operations
        if name:
            operations = [node for node in operations if node.name and node.name.value == name]
        return operations[0] if len(operations) == 1 else None


class DocumentCache:
    """The documents of a schema, of which the latest used are kept.

    :param max_tokens: how many lexical tokens a document may have.
    :param introspection: whether a document may ask for the schema; without it, no fault is
        told with a guess at what was meant either.
    :param max_characters: how many characters a document may have.
    :param check: finds fault with a document that must not be validated, being too large.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        max_tokens: int,
        *,
        introspection: bool = True,
        max_characters: int = 100_000,
        check: Callable[[DocumentNode], GraphQLError | None] = lambda _: None,
    ) -> None:
        self.hits = 0
        self._introspection = introspection
        self._rules = RULES if introspection else (*RULES, NoSchemaIntrospectionCustomRule)
        self._check = check
        self._schema = schema
        self._max_tokens = max_tokens
        self._max_characters = max_characters
        # One thread: who sends many long documents waits for them one after the other.
        self._thread = ThreadPoolExecutor(1, "tallied-documents")
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._room = MAX_CACHED_CHARACTERS

    def get(self, text: str) -> Document:
        """The document with that text, parsed and validated."""
        return self._known(text) or self._keep(text, self._read(text))

    async def load(self, text: str) -> Document:
        """What :meth:`get` gives, without keeping the event loop for long."""
        document = self._known(text)
        if document is not None:
            return document
        if len(text) <= MAX_INLINE_CHARACTERS:
            return self._keep(text, self._read(text))
        loop = asyncio.get_running_loop()
        read = await loop.run_in_executor(self._thread, self._read_once, text)
        return self._keep(text, read)

    def read(self, text: str) -> Document:
        """What :meth:`get` gives, without keeping it."""
        return self._read(text)

    def _known(self, text: str) -> Document | None:
        document = self._kept.get(text)
        if document is not None:
            self.hits += 1
            self._kept.move_to_end(text)
        return document

    def _keep(self, text: str, document: Document) -> Document:
        if len(text) <= MAX_CACHED_CHARACTERS // 10 and text not in self._kept:
            self._kept[text] = document
            self._room -= len(text)
            while self._room < 0:
                self._room += len(self._kept.popitem(last=False)[0])
        return document

    def _read_once(self, text: str) -> Document:
        """Read a document, unless others were waiting for the same one before."""
        return self._kept.get(text) or self._read(text)

    def _read(self, text: str) -> Document:
        if len(text) > self._max_characters:
            says = f"The document must have at most {self._max_characters} characters."
            fault = limit_error("document_size", self._max_characters, says)
            return Document(None, [format_error(fault, VALIDATION_FAILED)])
        try:
            node = parse(text, max_lexical_tokens=self._max_tokens)
        except GraphQLError as error:
            if error.message.startswith(TOO_MANY_TOKENS):
                says = f"The document must have at most {self._max_tokens} tokens."
                error = limit_error("document_tokens", self._max_tokens, says)
            return Document(None, [format_error(error, PARSE_FAILED)])
        too_large = self._check(node)
        if too_large is not None:
            return Document(node, [format_error(too_large, VALIDATION_FAILED)])
        faults = validate(
            self._schema,
            node,
            self._rules,
            max_errors=MAX_ERRORS,
            hide_suggestions=not self._introspection,
        )
        return Document(node, [format_error(error, VALIDATION_FAILED) for error in faults])
