"""The variables of a request, and the arguments of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import (
    BooleanValueNode,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    StringValueNode,
    Undefined,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    type_from_ast,
    value_from_ast,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from .errors import Guard, Unsupported
from .inputs import PLAIN, Read, converter, node_reader, value_reader

_MISSING = object()


class Variables:
    """The variables of an operation.

    Plain ones are read here; where there is another type among them, graphql-core coerces all.
    """

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        plain = [_plain_variable(schema, definition) for definition in self._definitions]
        self._plain: list[_PlainVariable] | None = None
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
        for name, read_value, required, default in self._plain:
            if name in values:
                coerced[name] = read_value(values[name])
            elif default is not _MISSING:
                coerced[name] = default
            elif required:
                raise Guard("variables")
        return VariableValues({}, coerced)


class _PlainVariable(NamedTuple):
    name: str
    read: Read
    is_required: bool
    default: Any


def _plain_variable(
    schema: GraphQLSchema, definition: VariableDefinitionNode
) -> _PlainVariable | None:
    """Return a variable that is read here, or None for another one."""
    type_: Any = type_from_ast(schema, definition.type)
    read = value_reader(type_)
    if read is None or definition.directives:
        return None
    default: Any = _MISSING
    scalar = PLAIN.get(get_named_type(type_).name)
    match definition.default_value:
        case None:
            pass
        case IntValueNode(value=text) if scalar is int:
            default = int(text)
        case StringValueNode(value=text) if scalar is str:
            default = text
        case BooleanValueNode(value=flag) if scalar is bool:
            default = flag
        case _:
            return None
    required = isinstance(definition.type, NonNullTypeNode)
    return _PlainVariable(definition.variable.name.value, read, required, default)


class _DirectArgument(NamedTuple):
    python_name: str
    read: Read
    convert: Read


class Arguments:
    """The arguments of one field, as its resolver gets them, by their names in Python."""

    def __init__(self, schema: Schema, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        self._definition = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        self._schema = schema
        self.constant: Mapping[str, Any] | None = None
        """The arguments, if they depend on no variable."""
        self._direct: list[_DirectArgument] | None = None
        if not any(map(variable_names, node.arguments or ())):
            try:
                self.constant = self._convert(get_argument_values(field, node))
            except GraphQLError as error:
                raise Unsupported("an invalid argument") from error
        else:
            self._prepare_direct()

    def _prepare_direct(self) -> None:
        """Prepare the common case, in which each variable is a plain part of an argument."""
        definitions = {
            self._schema.config.name_converter.from_argument(argument): argument
            for argument in self._definition.arguments
        }
        direct, constants = [], {}
        for argument in self._node.arguments or ():
            name, value = argument.name.value, argument.value
            type_ = self._field.args[name].type
            if not variable_names(value):
                constants[name] = value_from_ast(value, type_)
                continue
            read = node_reader(type_, value)
            convert = converter(definitions[name].type, self._schema)
            has_default = self._field.args[name].default_value is not Undefined
            if read is None or convert is None or has_default:
                return
            direct.append(_DirectArgument(definitions[name].python_name, read, convert))
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
        for python_name, read, convert in self._direct:
            value = read(values)
            if value is not Undefined:
                arguments[python_name] = convert(value)
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
