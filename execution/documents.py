"""Documents, which are parsed and validated once, and cached by their text.

The validation rules are the same for all requests. A rule class that is created for each request,
as Strawberry's own limiters are, would make a cache of validations useless
(strawberry-graphql/strawberry#4635).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
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
    specified_rules,
    validate,
)
from graphql.validation.specified_rules import recommended_rules

from .cost import OperationCost
from .errors import BAD_USER_INPUT, PARSE_FAILED, VALIDATION_FAILED, format_error
from .limits import limit_error
from .parser import parse

MAX_ERRORS = 10
"""The most errors of a document that are reported at once."""

MAX_CACHED_CHARACTERS = 500_000
"""The size of the cache's texts; a parsed document takes about 40 to 70 times its text."""

MAX_INLINE_CHARACTERS = 1000
"""The most characters of a document that is parsed at once, in about a millisecond. A longer one is
parsed in a thread, so that other requests do not wait for it."""


class NamedValuesOfCorrectTypeRule(ValuesOfCorrectTypeRule):
    """The specified rule, with the argument and the code of an input error in its errors."""

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        """Remember the literal, which the errors of a scalar do not name."""
        self._literal = node
        return super().is_valid_value_node(node, input_type)

    def report_error(self, error: GraphQLError) -> None:
        """Report an error of a literal, with its argument."""
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
"""The beginning of the error by which graphql-core's parser stops at the limit."""

RULES = tuple(
    NamedValuesOfCorrectTypeRule if rule is ValuesOfCorrectTypeRule else rule
    for rule in (*specified_rules, *recommended_rules)
)


@dataclass(frozen=True)
class Document:
    """A document, with its errors."""

    node: DocumentNode | None
    errors: list[dict[str, Any]] = field(default_factory=list)
    costs: dict[str | None, OperationCost] = field(default_factory=dict)
    """The costs of its operations by name, as far as they have been measured."""
    plans: dict[str | None, Any] = field(default_factory=dict)
    """The plans of its operations by name, as :mod:`tallied.operations` has them."""

    @property
    def status(self) -> int:
        """The HTTP status of a document with errors, by the GraphQL over HTTP draft."""
        codes = {error["extensions"]["code"] for error in self.errors}
        return 400 if PARSE_FAILED in codes else 422

    @property
    def operations(self) -> list[OperationDefinitionNode]:
        """The operations in the order of the document."""
        return [
            node
            for node in (self.node.definitions if self.node else ())
            if isinstance(node, OperationDefinitionNode)
        ]

    @cached_property
    def _only_operation(self) -> OperationDefinitionNode | None:
        return self.operations[0] if len(self.operations) == 1 else None

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """Return the operation to execute: GetOperation() of the specification, section 6.1."""
        if not name:
            return self._only_operation
        operations = self.operations
        operations = [node for node in operations if node.name and node.name.value == name]
        return operations[0] if len(operations) == 1 else None


class DocumentCache:
    """A cache of a schema's documents, which keeps the last used ones.

    :param max_tokens: the most lexical tokens of a document.
    :param introspection: whether a document may query the schema. If not, errors suggest no other
        names either.
    :param max_characters: the most characters of a document.
    :param check: returns an error for a document that is too large to be validated.
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
        # In one thread, a client that sends many long documents waits for one after the other.
        self._thread = ThreadPoolExecutor(1, "tallied-documents")
        self._cache: OrderedDict[str, Document] = OrderedDict()
        self._free_characters = MAX_CACHED_CHARACTERS

    def get(self, text: str) -> Document:
        """Return the document with that text, parsed and validated."""
        return self.find(text) or self._store(text, self.read(text))

    async def load(self, text: str) -> Document:
        """Return the same as :meth:`get`, without blocking the event loop for long."""
        document = self.find(text)
        if document is not None:
            return document
        if len(text) <= MAX_INLINE_CHARACTERS:
            return self._store(text, self.read(text))
        loop = asyncio.get_running_loop()
        document = await loop.run_in_executor(self._thread, self._read_once, text)
        return self._store(text, document)

    def find(self, text: str) -> Document | None:
        """Return the document with that text if it is in the cache."""
        document = self._cache.get(text)
        if document is not None:
            self.hits += 1
            self._cache.move_to_end(text)
        return document

    def _store(self, text: str, document: Document) -> Document:
        if len(text) <= MAX_CACHED_CHARACTERS // 10 and text not in self._cache:
            self._cache[text] = document
            self._free_characters -= len(text)
            while self._free_characters < 0:
                self._free_characters += len(self._cache.popitem(last=False)[0])
        return document

    def _read_once(self, text: str) -> Document:
        """Read a document, unless another task has read the same one meanwhile."""
        return self._cache.get(text) or self.read(text)

    def read(self, text: str) -> Document:
        """Return the same as :meth:`get`, without caching it."""
        if len(text) > self._max_characters:
            sentence = f"The document must have at most {self._max_characters} characters."
            too_long = limit_error("document_size", self._max_characters, sentence)
            return Document(None, [format_error(too_long, VALIDATION_FAILED)])
        try:
            node = parse(text, max_tokens=self._max_tokens)
        except GraphQLError as error:
            if error.message.startswith(TOO_MANY_TOKENS):
                sentence = f"The document must have at most {self._max_tokens} tokens."
                error = limit_error("document_tokens", self._max_tokens, sentence)
            return Document(None, [format_error(error, PARSE_FAILED)])
        too_large = self._check(node)
        if too_large is not None:
            return Document(node, [format_error(too_large, VALIDATION_FAILED)])
        errors = validate(
            self._schema,
            node,
            self._rules,
            max_errors=MAX_ERRORS,
            hide_suggestions=not self._introspection,
        )
        return Document(node, [format_error(error, VALIDATION_FAILED) for error in errors])
