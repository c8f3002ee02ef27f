"""What a client asked for below a field: which fields, and so which columns.

graphql-core's own field collection does the walking, so fragments, aliases, ``@skip``
and ``@include`` count here exactly as they do when the answer is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import strawberry
from graphql import FieldNode, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields
from graphql.execution.values import VariableValues

from ..resolvers.paging import Asked
from .context import Context, Fields

T = TypeVar("T")

THREAD_COLUMNS = {
    "id": "id",
    "title": "title",
    "wordCount": "word_count",
    "commentCount": "comment_count",
    "lastCommentAt": "last_comment_at",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "comments": "id",
}
COMMENT_COLUMNS = {
    "id": "id",
    "message": "message",
    "wordCount": "word_count",
    "authorName": "author_name",
    "createdAt": "created_at",
    "editedAt": "edited_at",
    "thread": "thread_id",
}


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

    def once(self, make: Callable[[], T]) -> T:
        """What `make` makes of this field's arguments, which are the same for every parent."""
        key = ("once", *map(id, self._raw_info.field_nodes))
        if key not in self.context.made:
            self.context.made[key] = make()
        made: T = self.context.made[key]
        return made

    def _collect(self, type_name: str, nodes: Sequence[FieldNode]) -> Fields:
        raw = self._raw_info
        collected = collect_subfields(
            raw.schema,
            {name: FragmentDetails(fragment) for name, fragment in raw.fragments.items()},
            VariableValues({}, cast("dict[str, Any]", raw.variable_values)),
            raw.operation,
            cast("GraphQLObjectType", raw.schema.type_map[type_name]),
            [FieldDetails(node, None) for node in nodes],
        )
        fields: Fields = {}
        for same_key in collected.grouped_field_set.values():
            for details in same_key:
                fields.setdefault(details.node.name.value, []).append(details.node)
        return fields

    def thread_columns(self, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """The columns of a thread that are needed for what is asked of it."""
        fields = self.fields("Thread", nodes)
        columns = {THREAD_COLUMNS[name] for name in fields if name in THREAD_COLUMNS}
        if "totalCount" in self.fields("CommentConnection", fields.get("comments", ())):
            columns.add("comment_count")
        return frozenset(columns)

    def comment_columns(self, nodes: Sequence[FieldNode] | None = None) -> frozenset[str]:
        """The columns of a comment that are needed for what is asked of it."""
        fields = self.fields("Comment", nodes)
        return frozenset(COMMENT_COLUMNS[name] for name in fields if name in COMMENT_COLUMNS)

    def page(self, type_name: str) -> Asked | None:
        """What is asked of this field's connection of `type_name`; None where no page is."""
        fields = self.fields(f"{type_name}Connection")
        edges = self.fields(f"{type_name}Edge", fields.get("edges", ()))
        info = self.fields("PageInfo", fields.get("pageInfo", ()))
        if not (fields.keys() & {"edges", "nodes", "pageInfo"}):
            return None
        nodes = [*fields.get("nodes", ()), *edges.get("node", ())]
        columns = self.thread_columns if type_name == "Thread" else self.comment_columns
        return Asked(
            columns(nodes),
            cursors="cursor" in edges or bool(info.keys() & {"startCursor", "endCursor"}),
            has_previous="hasPreviousPage" in info,
            has_next="hasNextPage" in info,
        )
