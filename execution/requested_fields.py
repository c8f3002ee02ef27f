"""What a client asked for below a field: which fields, and so which columns.

graphql-core's own field collection does the walking, so fragments, aliases, ``@skip``
and ``@include`` count here exactly as they do when the answer is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import strawberry
from graphql import FieldNode, GraphQLObjectType, GraphQLSchema
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields
from graphql.execution.values import VariableValues

from ..host.policy import COMMENT_COLUMNS as COMMENT_FACTS
from ..host.policy import ThreadContext
from ..resolvers.pagination.arguments import RequestedFields
from .context import Context, Fields

T = TypeVar("T")

THREAD_COLUMNS = {
    "id": ("id",),
    "title": ("title",),
    "wordCount": ("word_count",),
    "commentCount": ("comment_count",),
    "lastCommentAt": ("last_comment_at",),
    "createdAt": ("created_at",),
    "updatedAt": ("updated_at",),
    "lockedAt": ("locked_at",),
    "author": ("author_id",),
    "target": ("target_type", "target_id"),
    "comments": ("id",),
    "viewerCanComment": ThreadContext._fields,
    "viewerCanRename": ThreadContext._fields,
    "viewerCanLock": ThreadContext._fields,
    "viewerCanDelete": ThreadContext._fields,
}
COMMENT_COLUMNS = {
    "id": ("id",),
    "message": ("message",),
    "messageHtml": ("message",),
    "wordCount": ("word_count",),
    "author": ("author_id",),
    "authorName": ("author_name", "author_id"),
    "createdAt": ("created_at",),
    "editedAt": ("edited_at",),
    "thread": ("thread_id",),
    "viewerCanEdit": COMMENT_FACTS,
    "viewerCanMove": COMMENT_FACTS,
    "viewerCanDelete": COMMENT_FACTS,
}
COMMENT_ACTIONS = frozenset(name for name in COMMENT_COLUMNS if name.startswith("viewerCan"))
"""What is told by the facts of the thread, too."""

AUTHOR_COLUMNS = {
    "id": ("id",),
    "name": ("name",),
    "commentCount": ("comment_count",),
    "wordCount": ("word_count",),
    "createdAt": ("created_at",),
    "viewerCanDelete": ("id",),
}
_COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Thread": THREAD_COLUMNS,
    "Comment": COMMENT_COLUMNS,
    "Author": AUTHOR_COLUMNS,
}
"""Which columns each field needs."""


PREFIX = "tallied.prefix"
"""Where a schema says what the names of Tallied's types begin with."""

UNPREFIXED = frozenset({"Query", "Mutation", "Node", "PageInfo"})
"""The types that keep their names: the roots, and what Relay asks for by these very names."""


def prefixed(schema: GraphQLSchema, type_name: str) -> str:
    """The name of a type of Tallied in that schema."""
    return with_prefix(schema.extensions.get(PREFIX, ""), type_name)


def with_prefix(prefix: str, type_name: str) -> str:
    """Return the name of a type of Tallied where most begin with `prefix`."""
    return type_name if type_name in UNPREFIXED else f"{prefix}{type_name}"


class Info(strawberry.Info[Context, None]):
    """Strawberry's Info, which knows what is asked for below its field."""

    def fields(self, type_name: str, nodes: Sequence[FieldNode] | None = None) -> Fields:
        """The fields asked of an object type below `nodes` (by default, below this field)."""
        raw = self._raw_info
        nodes = raw.field_nodes if nodes is None else nodes
        # Every item of a list has the same nodes, which live as long as the operation.
        key = (type_name, *map(id, nodes))
        known = self.context.selections.get(key)
        if known is None:
            known = self.context.selections[key] = self._collect(type_name, nodes)
        return known

    def cached(self, make: Callable[[], T]) -> T:
        """What `make` makes of this field's arguments, which are the same for every parent."""
        return self.context.cached(("once", *map(id, self._raw_info.field_nodes)), make)

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

    def thread_columns(self, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """The columns of a thread that are needed for what is asked of it."""
        comments = self.fields("Thread", nodes).get("comments", ())
        columns = self._columns("Thread", nodes)
        connection = self.fields("CommentConnection", comments)
        if "totalCount" in connection:
            columns |= {"comment_count"}
        if COMMENT_ACTIONS & self.fields("Comment", self._nodes("Comment", connection)).keys():
            columns |= frozenset(ThreadContext._fields)
        return columns

    def _nodes(self, type_name: str, connection: Fields) -> list[FieldNode]:
        edges = self.fields(f"{type_name}Edge", connection.get("edges", ()))
        return [*connection.get("nodes", ()), *edges.get("node", ())]

    def comment_columns(self, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """The columns of a comment that are needed for what is asked of it."""
        return self._columns("Comment", nodes)

    def author_columns(self, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """The columns of an author that are needed for what is asked of them."""
        return self._columns("Author", nodes)

    def _columns(self, type_name: str, nodes: Sequence[FieldNode] | None) -> frozenset[str]:
        known = _COLUMNS[type_name]
        fields = self.fields(type_name, nodes)
        return frozenset(column for name in fields for column in known.get(name, ()))

    def page(self, type_name: str) -> RequestedFields | None:
        """What is asked of this field's connection of `type_name`; None where no page is."""
        fields = self.fields(f"{type_name}Connection")
        edges = self.fields(f"{type_name}Edge", fields.get("edges", ()))
        info = self.fields("PageInfo", fields.get("pageInfo", ()))
        if not (fields.keys() & {"edges", "nodes", "pageInfo"}):
            return None
        nodes = self._nodes(type_name, fields)
        columns = self.thread_columns if type_name == "Thread" else self.comment_columns
        return RequestedFields(
            columns(nodes),
            cursors="cursor" in edges or bool(info.keys() & {"startCursor", "endCursor"}),
            has_previous="hasPreviousPage" in info,
            has_next="hasNextPage" in info,
        )
