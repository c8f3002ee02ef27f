"""Random documents that are valid for a schema, and whether an answer has its types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
    parse,
)
from hypothesis import strategies as st

DEPTH = 4
"""How many objects deep a document goes."""


@dataclass
class Operation:
    """A document with one operation, and the values of its variables."""

    keyword: str
    selections: str = ""
    fragments: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """Its text."""
        declared = f"({', '.join(self.declared)})" if self.declared else ""
        return " ".join([self.keyword, declared, self.selections, *self.fragments])


class Maker:
    """Draws an operation.

    :param values: what to take for scalars, by the type's name or the argument's.
    """

    def __init__(
        self, draw: Any, schema: GraphQLSchema, values: Mapping[str, Sequence[Any]]
    ) -> None:
        self.draw = draw
        self.schema = schema
        self.values = values
        self.names = 0

    def operation(self, keyword: str) -> Operation:
        """Return a query or a mutation."""
        self.made = Operation(keyword)
        root = self.schema.type_map["Query" if keyword == "query" else "Mutation"]
        assert isinstance(root, GraphQLObjectType)
        self.made.selections = self._selections(root, DEPTH)
        return self.made

    def _selections(self, type_: GraphQLNamedType, depth: int) -> str:
        assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        names = [
            name
            for name, field_ in type_.fields.items()
            if depth > 1 or is_leaf_type(get_named_type(field_.type))
        ]
        chosen = (
            self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5)) if names else []
        )
        parts = [self._field(type_, name, depth) for name in chosen]
        if isinstance(type_, GraphQLInterfaceType):
            for possible in self.schema.get_possible_types(type_):
                parts.append(f"... on {possible.name} {self._selections(possible, depth)}")
        if not parts or self.draw(st.booleans()):
            parts.append("__typename")
        return self._wrapped(type_, f"{{ {' '.join(parts)} }}")

    def _wrapped(self, type_: GraphQLNamedType, selections: str) -> str:
        """Return the same selections, perhaps by way of a fragment."""
        way = self.draw(st.sampled_from(("plain", "plain", "inline", "named", "skipped")))
        if way == "inline":
            return f"{{ ... on {type_.name} {selections} }}"
        if way == "skipped":
            return f"{{ __typename ... @skip(if: true) {selections} }}"
        if way == "named":
            self.names += 1
            name = f"F{self.names}"
            self.made.fragments.append(f"fragment {name} on {type_.name} {selections}")
            return f"{{ ...{name} }}"
        return selections

    def _field(
        self, parent: GraphQLObjectType | GraphQLInterfaceType, name: str, depth: int
    ) -> str:
        field_ = parent.fields[name]
        self.names += 1
        arguments = [
            f"{argument}: {self._argument(argument, field_.args[argument])}"
            for argument in self._chosen(field_.args)
        ]
        given = f"({', '.join(arguments)})" if arguments else ""
        named = get_named_type(field_.type)
        below = "" if is_leaf_type(named) else self._selections(named, depth - 1)
        # An alias of its own, so that no two fields of a place conflict.
        return f"a{self.names}: {name}{given} {below}"

    def _chosen(self, arguments: Mapping[str, GraphQLArgument]) -> list[str]:
        """Return the arguments that are given: of first and last, mostly one."""
        chosen = [
            name
            for name, definition in arguments.items()
            if isinstance(definition.type, GraphQLNonNull) or self.draw(st.integers(0, 3)) == 0
        ]
        if "first" in arguments and not {"first", "last"} & set(chosen):
            chosen.append(self.draw(st.sampled_from(("first", "last"))))
        return chosen

    def _argument(self, name: str, definition: GraphQLArgument) -> str:
        value = self._value(name, definition.type)
        if self.draw(st.booleans()):
            return _literal(value, get_named_type(definition.type))
        self.names += 1
        self.made.declared.append(f"$v{self.names}: {definition.type}")
        self.made.variables[f"v{self.names}"] = value
        return f"$v{self.names}"

    def _value(self, name: str, type_: Any) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._value(name, type_.of_type)
        if isinstance(type_, GraphQLList):
            return [self._value(name, type_.of_type) for _ in range(self.draw(st.integers(0, 3)))]
        if isinstance(type_, GraphQLEnumType):
            return self.draw(st.sampled_from(sorted(type_.values)))
        if isinstance(type_, GraphQLInputObjectType):
            return {
                item: self._value(item, definition.type)
                for item, definition in type_.fields.items()
                if isinstance(definition.type, GraphQLNonNull) or self.draw(st.booleans())
            }
        return self.draw(st.sampled_from(self.values.get(name) or self.values[type_.name]))


def _literal(value: Any, type_: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, type_) for item in value)}]"
    if isinstance(value, dict):
        fields: dict[str, GraphQLInputField] = type_.fields
        inner = (
            f"{name}: {_literal(item, get_named_type(fields[name].type))}"
            for name, item in value.items()
        )
        return f"{{{', '.join(inner)}}}"
    if isinstance(type_, GraphQLEnumType):
        return str(value)
    return _json(value)


def _json(value: Any) -> str:
    if isinstance(value, str):
        escaped = (c if c.isalnum() or c in " =-_:.+" else f"\\u{{{ord(c):x}}}" for c in value)
        return f'"{"".join(escaped)}"'
    return str(value).lower()


class Checker:
    """Holds the data of an answer against the types of the schema."""

    def __init__(self, schema: GraphQLSchema, document: str) -> None:
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

    def _collect(
        self, type_: GraphQLObjectType, sets: list[SelectionSetNode]
    ) -> dict[str, list[FieldNode]]:
        fields: dict[str, list[FieldNode]] = {}
        for item in sets:
            for node in item.selections:
                if isinstance(node, FieldNode):
                    key = (node.alias or node.name).value
                    fields.setdefault(key, []).append(node)
                    continue
                if node.directives:  # Only @skip(if: true) is made here.
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
