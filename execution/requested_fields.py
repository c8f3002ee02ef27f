"""The requested fields below a field, and the columns that they read.

graphql-core's own field collection finds them, so fragments, aliases, ``@skip`` and ``@include``
have the same effect as in the execution.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import strawberry
from graphql import FieldNode, GraphQLObjectType, GraphQLSchema, print_ast
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields
from graphql.execution.values import VariableValues

from ..resolvers.pagination.arguments import RequestedFields
from .context import Context, Fields
from .field_declarations import (
    DECLARATION,
    ConnectionField,
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

    def cached(self, compute: Callable[[], T], kind: str = "field") -> T:
        """Return a result that depends on this field's arguments only, and not on its parent.

        :param kind: what tells several results of one field apart.
        """
        return self.context.cached((kind, *map(id, self._raw_info.field_nodes)), compute)

    def _collect(self, type_name: str, nodes: Sequence[FieldNode]) -> Fields:
        raw = self._raw_info
        collected = collect_subfields(
            raw.schema,
            {name: FragmentDetails(fragment) for name, fragment in raw.fragments.items()},
            VariableValues({}, cast("dict[str, Any]", raw.variable_values)),
            raw.operation,
            self._type(type_name),
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
        declared = self._type(type_name).fields
        for name, nodes_of_field in fields.items():
            declaration = declaration_of(declared[name]) if name in declared else None
            if isinstance(declaration, ConnectionField) and declaration.total:
                connection = self.fields(f"{declaration.type_name}Connection", nodes_of_field)
                columns |= {declaration.total} if "totalCount" in connection else set()
        # The permissions of a thread's comments are built from the thread's.
        return columns | self._columns_for_comments(
            [*self._comments(fields.get("comments", ())), *self.surroundings(fields["around"])]
            if "around" in fields
            else self._comments(fields.get("comments", ()))
        )

    def _columns_for_comments(self, comments: Sequence[FieldNode]) -> frozenset[str]:
        """Return the columns of a thread that its comments read, and those below and above them."""
        columns: frozenset[str] = frozenset()
        while comments:
            fields = self.fields("Comment", comments)
            columns |= self._declared_columns("Comment", fields, "thread")
            comments = [*self._comments(fields.get("replies", ())), *fields.get("ancestors", ())]
        return columns

    def _comments(self, connections: Sequence[FieldNode]) -> list[FieldNode]:
        """Return the nodes of connections of comments."""
        return self._nodes("Comment", self.fields("CommentConnection", connections))

    def surroundings(self, nodes: Sequence[FieldNode] | None = None) -> list[FieldNode]:
        """Return the comments of surroundings; by default, those of this field."""
        fields = self.fields("CommentSurroundings", nodes)
        around = (*fields.get("comment", ()), *fields.get("ancestors", ()))
        return [*around, *self._comments(fields.get("siblings", ()))]

    def _declared_columns(
        self, type_name: str, fields: Fields, relation: str = ""
    ) -> frozenset[str]:
        """Return the columns that fields read of their own row, or of a related one."""
        table = _column_table(self._type(type_name), relation)
        return frozenset(column for name in fields for column in table.get(name, ()))

    def _type(self, type_name: str) -> GraphQLObjectType:
        schema = self._raw_info.schema
        return cast("GraphQLObjectType", schema.type_map[prefixed(schema, type_name)])

    def _nodes(self, type_name: str, connection: Fields) -> list[FieldNode]:
        edges = self.fields(f"{type_name}Edge", connection.get("edges", ()))
        return [*connection.get("nodes", ()), *edges.get("node", ())]

    def page(
        self, type_name: str, connections: Sequence[FieldNode] | None = None
    ) -> RequestedFields | None:
        """Return the requested parts of a connection, or None without a page.

        :param connections: the fields of the connection; by default, this field.
        """
        fields = self.fields(f"{type_name}Connection", connections)
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

    def tree(self, may_read: Callable[[int], bool]) -> tuple[RequestedFields | None, int]:
        """Return the requested parts of this field's pages of replies, and of those below it.

        :param may_read: whether so many levels may be read at once.
        :returns: what all levels request that have the same arguments, and their number.
        """
        requested, levels = self.page("Comment"), 1
        connections: Sequence[FieldNode] = self._raw_info.field_nodes
        while requested is not None and may_read(levels + 1):
            fields = self.fields("CommentConnection", connections)
            nodes = self._nodes("Comment", fields)
            replies = self.fields("Comment", nodes).get("replies", ())
            connections = [node for node in replies if arguments_of(node) == self.arguments]
            below = self.page("Comment", connections) if connections else None
            if below is None:
                break
            requested, levels = requested.union(below), levels + 1
        return requested, levels

    @property
    def arguments(self) -> Mapping[str, str]:
        """The arguments of this field as they are in the document."""
        return self.cached(lambda: arguments_of(self._raw_info.field_nodes[0]), "arguments")


def arguments_of(field: FieldNode) -> Mapping[str, str]:
    """Return the arguments of a field as they are in the document."""
    return {node.name.value: print_ast(node.value) for node in field.arguments or ()}


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
