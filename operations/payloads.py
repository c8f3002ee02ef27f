"""The compiler of a change's payload."""

from __future__ import annotations

from functools import partial

from graphql import GraphQLField, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails

from ..execution.field_declarations import (
    ChangedEdgeField,
    ChangedRowField,
    ChangedValueField,
    ChangeField,
    ClientMutationIdField,
    ObjectField,
    UserErrorsField,
    declaration_of,
)
from ..schema.types import ROWS
from .arguments import Arguments
from .changes import ChangedLevel, ChangeRoot
from .errors import Unsupported
from .roots import ObjectRoot
from .row_compiler import RowCompiler


class PayloadCompiler:
    """Compiles the payload of one change."""

    def __init__(self, compiler: RowCompiler) -> None:
        self._compiler = compiler
        self._fields = compiler.fields
        self._levels: list[ChangedLevel] = []
        self._edges: list[tuple[ChangedEdgeField, Arguments]] = []
        self._objects: list[ObjectRoot] = []

    def root(
        self, declaration: ChangeField, field: GraphQLField, details: list[FieldDetails]
    ) -> ChangeRoot:
        """Return the root field of the change."""
        type_ = self._fields.object_type(field)
        parts = self._fields.parts(type_, details, partial(self._field, type_))
        return ChangeRoot(
            self._compiler.arguments(field, details),
            declaration,
            self._levels,
            self._edges,
            self._objects,
            self._compiler.source.payload_function(parts),
        )

    def _field(self, type_: GraphQLObjectType, name: str, details: list[FieldDetails]) -> str:
        field = self._fields.accepted(type_, name)
        match declaration_of(field):
            case ChangedRowField() as declaration:
                return self._row(declaration, details)
            case ChangedEdgeField() as declaration:
                return self._edge(declaration, field, details)
            case ObjectField() as declaration:
                self._objects.append(self._compiler.object_root(declaration, field, details))
                return f"objects[{len(self._objects) - 1}]"
            case ChangedValueField(compute):
                return f"{self._compiler.source.constant(compute)}(change)"
            case UserErrorsField():
                return "[]"  # With one of them, graphql-core builds the payload.
            case ClientMutationIdField():
                return "id"
        raise Unsupported(f"{type_.name}.{name}")

    def _row(self, declaration: ChangedRowField, details: list[FieldDetails]) -> str:
        place, node = self._node(declaration, details)
        return f"(None if rows[{place}] is None else {node})"

    def _node(self, declaration: ChangedRowField, details: list[FieldDetails]) -> tuple[int, str]:
        """Return the place of a row's level, and the expression of the row where it is there."""
        place = self._place(declaration)
        level = self._levels[place]
        row_type = self._fields.row_type(declaration.type_name)
        level.lists.append(self._compiler.row(level, row_type, (), details))
        return place, f"rows[{place}][{len(level.lists) - 1}][0]"

    def _place(self, declaration: ChangedRowField) -> int:
        """Return the place of the level of a row, which is new for the row's first field."""
        for place, level in enumerate(self._levels):
            if level.declaration is declaration:
                return place
        model = ROWS[declaration.type_name].model
        number = len(self._compiler.levels)
        new = ChangedLevel(number, model, self._compiler.database, declaration=declaration)
        self._compiler.levels.append(new)
        self._levels.append(new)
        return len(self._levels) - 1

    def _edge(
        self, declaration: ChangedEdgeField, field: GraphQLField, details: list[FieldDetails]
    ) -> str:
        type_ = self._fields.object_type(field)
        self._edges.append((declaration, self._compiler.arguments(field, details)))
        cursor = f"cursors[{len(self._edges) - 1}]"

        def expression(name: str, same_key: list[FieldDetails]) -> str:
            if name == "cursor":
                return cursor
            if name != "node":
                raise Unsupported(f"{type_.name}.{name}")
            return self._node(declaration.node, same_key)[1]

        parts = self._fields.parts(type_, details, expression)
        return f"(None if {cursor} is None else {self._compiler.source.object(parts)})"
