"""The selected fields of an operation, as graphql-core collects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.collect_fields import (
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import get_object_definition

from ..schema.types import ROWS
from .errors import Unsupported

Fields = Mapping[str, list[FieldDetails]]
"""The selected fields by response key, each with all its nodes."""


class SelectedFields:
    """The fields of one operation, for one combination of the flags of ``@skip`` and ``@include``.

    Fragments, aliases and directives have the same effect as in graphql-core's own execution.
    """

    def __init__(
        self,
        schema: Schema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        flags: Mapping[str, bool],
    ) -> None:
        self._core = schema._schema
        self._converter = schema.config.name_converter
        self._operation = operation
        self._values = VariableValues({}, dict(flags))
        self._fragments = {
            node.name.value: FragmentDetails(node)
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }

    def of_root(self) -> tuple[GraphQLObjectType, Fields]:
        """Return the root type, and the root fields."""
        type_ = self._core.get_root_type(self._operation.operation)
        assert type_ is not None
        collected = collect_fields(
            self._core, self._fragments, self._values, type_, self._operation
        )
        return type_, collected.grouped_field_set

    def below(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> Fields:
        """Return the fields of an object below a field."""
        collected = collect_subfields(
            self._core, self._fragments, self._values, self._operation, type_, details
        )
        return collected.grouped_field_set

    def parts(
        self,
        type_: GraphQLObjectType,
        details: list[FieldDetails],
        expression: Callable[[str, list[FieldDetails]], str],
    ) -> list[tuple[str, str]]:
        """Return the response keys and the expressions of the fields of an object below a field.

        :param expression: returns that of a field, but for ``__typename``, by its name.
        """
        parts = []
        for key, same_key in self.below(type_, details).items():
            name = same_key[0].node.name.value
            is_type = name == "__typename"
            parts.append((key, repr(type_.name) if is_type else expression(name, same_key)))
        return parts

    def object_type(self, field: GraphQLField) -> GraphQLObjectType:
        """Return the type of the objects of a field."""
        type_ = get_named_type(field.type)
        assert isinstance(type_, GraphQLObjectType)
        return type_

    def accepted(self, parent: GraphQLObjectType, name: str) -> GraphQLField:
        """Return a field that is resolved as it is declared, without anything around it.

        :raises Unsupported: for any other.
        """
        field = parent.fields.get(name)
        definition = field and field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if field is None or definition is None or definition.extensions:
            raise Unsupported(f"{parent.name}.{name}")
        if definition.permission_classes or definition.directives:
            raise Unsupported(f"{parent.name}.{name}")
        accepted: GraphQLField = field
        return accepted

    def row_type(self, type_name: str) -> GraphQLObjectType:
        """Return the schema's type of a row, which may have a prefix."""
        definition = get_object_definition(ROWS[type_name], strict=True)
        return self.type(self._converter.from_type(definition))

    def type(self, name: str) -> GraphQLObjectType:
        """Return the object type with that name."""
        type_ = self._core.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        return type_
