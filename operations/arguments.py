"""The variables of a request, and the arguments of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    IntValueNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    StringValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_list_type,
    value_from_ast,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.type import get_nullable_type
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from .errors import Guard, Unsupported

PLAIN: Mapping[str, type] = {
    GraphQLInt.name: int,
    GraphQLString.name: str,
    GraphQLID.name: str,
    GraphQLBoolean.name: bool,
}
"""The scalars whose plain values need no coercion, with the type of those in Python."""

_INT = range(-(2**31), 2**31)

_MISSING = object()


class Variables:
    """The variables of an operation.

    Plain scalars are checked here; where there is another type among them, graphql-core coerces
    all.
    """

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        self._plain: list[tuple[str, type, bool, Any]] | None = None
        plain = [_plain_variable(definition) for definition in self._definitions]
        if None not in plain:
            self._plain = [variable for variable in plain if variable]

    def read(self, values: Mapping[str, Any] | None) -> VariableValues:
        """Return the values of a request, with the defaults.

        :raises Guard: for a value that graphql-core coerces or rejects.
        """
        values = values or {}
        if self._plain is None:
            read = get_variable_values(self._schema, self._definitions, dict(values))
            if isinstance(read, list):
                raise Guard("variables")
            return read
        coerced = {}
        for name, type_, required, default in self._plain:
            value = values.get(name, default)
            if value is _MISSING:
                if required:
                    raise Guard("variables")
                continue
            if value is None:
                if required:
                    raise Guard("variables")
            elif type(value) is not type_ or (type_ is int and value not in _INT):
                raise Guard("variables")
            coerced[name] = value
        return VariableValues({}, coerced)


def _plain_variable(definition: VariableDefinitionNode) -> tuple[str, type, bool, Any] | None:
    """Return name, type, whether it is required, and default, or None for another type."""
    required = isinstance(definition.type, NonNullTypeNode)
    named: Any = definition.type.type if required else definition.type  # type: ignore[attr-defined]
    type_ = PLAIN.get(named.name.value) if hasattr(named, "name") else None
    if type_ is None or definition.directives:
        return None
    default: Any = _MISSING
    match definition.default_value:
        case None:
            pass
        case IntValueNode(value=text) if type_ is int:
            default = int(text)
        case StringValueNode(value=text) if type_ is str:
            default = text
        case BooleanValueNode(value=flag) if type_ is bool:
            default = flag
        case _:
            return None
    return definition.variable.name.value, type_, required, default


class Arguments:
    """The arguments of one field, as its resolver gets them, by their names in Python."""

    def __init__(self, schema: Schema, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        self._definition = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        self._schema = schema
        self.constant: Mapping[str, Any] | None = None
        """The arguments, if they depend on no variable."""
        self._direct: list[tuple[str, str, bool]] | None = None
        if not any(map(variable_names, node.arguments or ())):
            try:
                self.constant = self._convert(get_argument_values(field, node))
            except GraphQLError as error:
                raise Unsupported("an invalid argument") from error
        else:
            self._prepare_direct()

    def _prepare_direct(self) -> None:
        """Prepare the common case, in which each variable is the whole of a scalar argument."""
        python_names = {
            name: argument.python_name
            for argument in self._definition.arguments
            for name in [self._schema.config.name_converter.from_argument(argument)]
        }
        direct, constants = [], {}
        for argument in self._node.arguments or ():
            name, value = argument.name.value, argument.value
            type_ = self._field.args[name].type
            if isinstance(value, VariableNode):
                nullable = get_nullable_type(type_)
                if is_list_type(nullable) or get_named_type(type_).name not in PLAIN:
                    return
                direct.append((python_names[name], value.name.value, nullable is not type_))
            elif variable_names(value):
                return
            else:
                constants[name] = value_from_ast(value, type_)
        self._direct = direct
        self._constants = self._convert(constants)

    def read(self, variables: VariableValues) -> Mapping[str, Any]:
        """Return the arguments of a request.

        :raises Guard: for a value that graphql-core rejects.
        """
        if self.constant is not None:
            return self.constant
        if self._direct is None:
            try:
                return self._convert(get_argument_values(self._field, self._node, variables))
            except GraphQLError as error:
                raise Guard("arguments") from error
        values, arguments = variables.coerced, {**self._constants}
        for name, variable, required in self._direct:
            value = values.get(variable, _MISSING)
            if required and (value is None or value is _MISSING):
                raise Guard("arguments")
            if value is not _MISSING:
                arguments[name] = value
        return arguments

    def _convert(self, values: dict[str, Any]) -> dict[str, Any]:
        return convert_arguments(
            values,
            self._definition.arguments,
            self._schema.schema_converter.scalar_registry,
            self._schema.config,
        )


def variable_names(node: Any) -> list[str]:
    """Return the names of the variables within a value or an argument."""
    names: list[str] = []

    class Finder(Visitor):
        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            names.append(variable.name.value)

    visit(node, Finder())
    return names
