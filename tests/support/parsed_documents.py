"""GraphQL documents that are parsed and validated once in a process.

Every Api has a cache of its own, so that each test would validate its documents anew.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, Node

from tallied.execution import documents

MAX_CHARACTERS = 5000
"""The most characters of a document that is kept, since parsed documents are large."""


class Key:
    """A node by its identity: documents that differ in their spaces are equal."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __hash__(self) -> int:
        return id(self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.node is other.node


def keep_parsed_documents() -> None:
    """Let all caches of this process share their parsed documents, and the errors of them."""
    parse, validate = documents.parse, documents.validate
    parse_once = lru_cache(512)(parse)

    @lru_cache(512)
    def validate_once(schema: GraphQLSchema, key: Key, *args: Any, **options: Any) -> Any:
        return validate(schema, key.node, *args, **options)

    def parse_document(text: str, **options: Any) -> DocumentNode:
        return (parse if len(text) > MAX_CHARACTERS else parse_once)(text, **options)

    def validate_document(
        schema: GraphQLSchema, node: DocumentNode, *args: Any, **options: Any
    ) -> list[GraphQLError]:
        if node.loc is None or len(node.loc.source.body) > MAX_CHARACTERS:
            return validate(schema, node, *args, **options)
        return list(validate_once(schema, Key(node), *args, **options))

    for name, function in {"parse": parse_document, "validate": validate_document}.items():
        setattr(documents, name, function)
