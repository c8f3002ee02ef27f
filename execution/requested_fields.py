"""The requested fields below a field, and the columns that they read.

graphql-core's own field collection finds them, so fragments, aliases, ``@skip`` and ``@include``
have the same effect as in the execution.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import strawberry
from graphql import FieldNode, GraphQLObjectType, GraphQLSchema
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields
from graphql.execution.values import VariableValues

from ..resolvers.pagination.arguments import RequestedFields
from .context import Context, Fields
from .field_declarations import (
    DECLARATION,
    columns_of,
    declaration_of,
    python_name,
    related_columns_of,
)

T = TypeVar("T")

PREFIX = "tallied.prefix"
"""The key of a schema's extensions for the prefix of Tallied's types."""

UNPREFIXED = frozenset({"Query", "Mutation", "Node", "PageInfo"})
"""The types without the prefix: the roots, and those whose names Relay requires."""


def prefixed(schema: GraphQLSchema, type_name: str) -> str:
    """Return the name of one of Tallied's types in that schema."""
    return with_prefix(schema.extensions.get(PREFIX, ""), type_name)


def with_prefix(prefix: str, type_name: str) -> str:
    """Return the name of one of Tallied's types with the prefix, if it has one."""
    return type_name if type_name in UNPREFIXED else f"{prefix}{type_name}"


class Info(strawberry.Info[Context, None]):
    """Strawberry's Info, with the requested fields below its field."""

    def fields(self, type_name: str, nodes: Sequence[FieldNode] | None = None) -> Fields:
        """Return the requested fields of an object type below `nodes`, by default this field."""
        raw = self._raw_info
        nodes = raw.field_nodes if nodes is None else nodes
        # Every item of a list has the same nodes, which live as long as the operation.
        key = (type_name, *map(id, nodes))
        fields = self.context.selections.get(key)
        if fields is None:
            fields = self.context.selections[key] = self._collect(type_name, nodes)
        return fields

    def cached(self, compute: Callable[[], T]) -> T:
        """Return a result that depends on this field's arguments only, and not on its parent."""
        return self.context.cached(("field", *map(id, self._raw_info.field_nodes)), compute)

    def _collect(self, type_name: str, nodes: Sequence[FieldNode]) -> Fields:
        raw = self._raw_info
        collected = collect_subfields(
            raw.schema,
            {name: FragmentDetails(fragment) for name, fragment in raw.fragments.items()},
            VariableValues({}, cast("dict[str, Any]", raw.variable_values)),
            raw.operation,
            cast("GraphQLObjectType", raw.schema.type_map[prefixed(raw.schema, type_name)]),
            [FieldDetails(node, None) for node in nodes],
        )
        fields: Fields = {}
        for same_key in collected.grouped_field_set.values():
            for details in same_key:
                fields.setdefault(details.node.name.value, []).append(details.node)
        return fields

    def columns(self, type_name: str, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """Return the columns that the requested fields of a Thread, Comment or Author read.

        :param nodes: the fields above them; by default, this field.
        """
        fields = self.fields(type_name, nodes)
        columns = self._declared_columns(type_name, fields)
        for name, total in (("comments", "top_level_count"), ("replies", "listed_reply_count")):
            # A connection is built from its parent's own columns.
            connection = self.fields("CommentConnection", fields.get(name, ()))
            columns |= {total} if "totalCount" in connection else set()
        # The permissions of a thread's comments are built from the thread's.
        return columns | self._columns_for_comments(fields.get("comments", ()))

    def _columns_for_comments(self, connections: Sequence[FieldNode]) -> frozenset[str]:
        """Return the columns of a thread that its comments read, with the replies to them."""
        columns: frozenset[str] = frozenset()
        while connections:
            connection = self.fields("CommentConnection", connections)
            fields = self.fields("Comment", self._nodes("Comment", connection))
            columns |= self._declared_columns("Comment", fields, "thread")
            connections = fields.get("replies", ())
        return columns

    def _declared_columns(
        self, type_name: str, fields: Fields, relation: str = ""
    ) -> frozenset[str]:
        """Return the columns that fields read of their own row, or of a related one."""
        schema = self._raw_info.schema
        type_ = cast("GraphQLObjectType", schema.type_map[prefixed(schema, type_name)])
        table = _column_table(type_, relation)
        return frozenset(column for name in fields for column in table.get(name, ()))

    def _nodes(self, type_name: str, connection: Fields) -> list[FieldNode]:
        edges = self.fields(f"{type_name}Edge", connection.get("edges", ()))
        return [*connection.get("nodes", ()), *edges.get("node", ())]

    def page(self, type_name: str) -> RequestedFields | None:
        """Return the requested parts of this field's connection, or None without a page."""
        fields = self.fields(f"{type_name}Connection")
        edges = self.fields(f"{type_name}Edge", fields.get("edges", ()))
        info = self.fields("PageInfo", fields.get("pageInfo", ()))
        if not (fields.keys() & {"edges", "nodes", "pageInfo"}):
            return None
        nodes = self._nodes(type_name, fields)
        return RequestedFields(
            self.columns(type_name, nodes),
            cursors="cursor" in edges or bool(info.keys() & {"startCursor", "endCursor"}),
            has_previous="hasPreviousPage" in info,
            has_next="hasNextPage" in info,
        )


def _column_table(type_: GraphQLObjectType, relation: str) -> Mapping[str, Collection[str]]:
    """Return the columns that the fields of a type read of their own row, or of a related one.

    The table is kept in the extensions of the type, and so lives as long as its schema.
    """
    key = f"{DECLARATION}.{relation}"
    table: dict[str, Collection[str]] | None = type_.extensions.get(key)
    if table is None:
        table = type_.extensions[key] = {
            name: frozenset(
                related_columns_of(declaration_of(field), relation)
                if relation
                else columns_of(python_name(field), declaration_of(field))
            )
            for name, field in type_.fields.items()
        }
    return table
