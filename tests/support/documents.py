"""Whether the data of an answer has the types of its document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    parse,
)


class Checker:
    """Holds the data of an answer against the types of the schema."""

    def __init__(self, schema: GraphQLSchema, document: str, variables: Mapping[str, Any]) -> None:
        self.schema = schema
        definitions = parse(document).definitions
        self.fragments = {
            node.name.value: node
            for node in definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        (self.operation,) = (
            node for node in definitions if isinstance(node, OperationDefinitionNode)
        )
        defaults = {
            item.variable.name.value: getattr(item.default_value, "value", None)
            for item in self.operation.variable_definitions or ()
        }
        self.variables = defaults | dict(variables)

    def check(self, data: dict[str, Any] | None) -> int:
        """Return how many values are of their types; one that is not fails."""
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None
        return self._object(root, [self.operation.selection_set], data) if data is not None else 0

    def _object(
        self, type_: GraphQLObjectType, sets: list[SelectionSetNode], data: dict[str, Any]
    ) -> int:
        fields = self._collect(type_, sets)
        assert list(data) == list(fields), (list(data), list(fields))
        observed = 0
        for key, nodes in fields.items():
            name = nodes[0].name.value
            definition = self.schema.get_field(type_, name)
            assert definition is not None
            if name == "__typename":
                assert data[key] == type_.name
            below = [node.selection_set for node in nodes if node.selection_set]
            observed += self._of_type(definition.type, below, data[key])
        return observed

    def _of_type(self, type_: Any, sets: list[SelectionSetNode], value: Any) -> int:
        if isinstance(type_, GraphQLNonNull):
            assert value is not None
            return self._of_type(type_.of_type, sets, value)
        if value is None:
            return 1
        if isinstance(type_, GraphQLList):
            assert isinstance(value, list)
            return 1 + sum(self._of_type(type_.of_type, sets, item) for item in value)
        if isinstance(type_, GraphQLScalarType):
            assert _is_scalar(type_.name, value), (type_.name, value)
            return 1
        if isinstance(type_, GraphQLEnumType):
            assert value in type_.values
            return 1
        if isinstance(type_, GraphQLInterfaceType):
            result = [
                item
                for item in self.schema.get_possible_types(type_)
                if self._is(item, self._collect(item, sets), value)
            ]
            return self._object(result[0], sets, value)
        assert isinstance(type_, GraphQLObjectType)
        return self._object(type_, sets, value)

    @staticmethod
    def _is(
        type_: GraphQLObjectType, fields: dict[str, list[FieldNode]], value: dict[str, Any]
    ) -> bool:
        """Return whether a value fits a type, by its fields and its typename."""
        return list(fields) == list(value) and all(
            value[key] == type_.name
            for key, nodes in fields.items()
            if nodes[0].name.value == "__typename"
        )

    def _is_included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            value: Any = directive.arguments[0].value
            if isinstance(value, VariableNode):
                flag = self.variables[value.name.value]
            else:
                assert isinstance(value, BooleanValueNode)
                flag = value.value
            if flag is not (directive.name.value == "include"):
                return False
        return True

    def _collect(
        self, type_: GraphQLObjectType, sets: list[SelectionSetNode]
    ) -> dict[str, list[FieldNode]]:
        fields: dict[str, list[FieldNode]] = {}
        for item in sets:
            for node in filter(self._is_included, item.selections):
                if isinstance(node, FieldNode):
                    key = (node.alias or node.name).value
                    fields.setdefault(key, []).append(node)
                    continue
                assert isinstance(node, InlineFragmentNode | FragmentSpreadNode)
                inner = (
                    self.fragments[node.name.value]
                    if isinstance(node, FragmentSpreadNode)
                    else node
                )
                condition = inner.type_condition
                if condition and condition.name.value not in _names(type_):
                    continue
                for key, nodes in self._collect(type_, [inner.selection_set]).items():
                    fields.setdefault(key, []).extend(nodes)
        return fields


def _names(type_: GraphQLObjectType) -> set[str]:
    return {type_.name, *(interface.name for interface in type_.interfaces)}


def _is_scalar(name: str, value: Any) -> bool:
    if name == "DateTime":
        return value.endswith("Z") and datetime.fromisoformat(value) is not None
    kinds: dict[str, type] = {"Int": int, "SafeInt": int, "String": str, "ID": str, "Boolean": bool}
    return type(value) is kinds[name]
