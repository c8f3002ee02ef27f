"""Values of inputs whose parts are plain, which are read without graphql-core's coercion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
    ObjectValueNode,
    Undefined,
    VariableNode,
    value_from_ast,
)
from graphql.type import get_nullable_type
from strawberry import ID, Schema
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryOptional

from .errors import Guard

PLAIN: Mapping[str, type] = {
    GraphQLInt.name: int,
    GraphQLString.name: str,
    GraphQLID.name: str,
    GraphQLBoolean.name: bool,
}
"""The scalars whose plain values need no coercion, with the type of those in Python."""

MAX_DEPTH = 3
"""How deep the inputs may be nested that are read here."""

_INT = range(-(2**31), 2**31)

Read = Callable[[Any], Any]


def value_reader(type_: Any, depth: int = MAX_DEPTH) -> Read | None:
    """Return the coercion of a variable's value, which raises :class:`.Guard` for any other.

    Its results are those of graphql-core.

    :returns: None for a type of which a part is not plain.
    """
    nullable = get_nullable_type(type_)
    read: Read | None = None
    if isinstance(nullable, GraphQLScalarType) and nullable.name in PLAIN:
        read = _scalar_reader(PLAIN[nullable.name])
    elif _is_plain_object(nullable) and depth:
        read = _object_reader(nullable, depth)
    return _optional(read) if read is not None and nullable is type_ else read


def _optional(read: Read) -> Read:
    return lambda value: None if value is None else read(value)


def _scalar_reader(scalar: type) -> Read:
    def read(value: Any) -> Any:
        if type(value) is not scalar or (scalar is int and value not in _INT):
            raise Guard("variables")
        return value

    return read


def _is_plain_object(type_: Any) -> bool:
    return isinstance(type_, GraphQLInputObjectType) and not type_.is_one_of


def _object_reader(type_: GraphQLInputObjectType, depth: int) -> Read | None:
    fields = []
    for name, field in type_.fields.items():
        read_field = value_reader(field.type, depth - 1)
        if read_field is None or field.default_value is not Undefined or field.out_name:
            return None
        fields.append((name, read_field, get_nullable_type(field.type) is not field.type))

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Guard("variables")
        coerced = {}
        for name, read_field, is_required in fields:
            if name in value:
                coerced[name] = read_field(value[name])
            elif is_required:
                raise Guard("variables")
        if len(coerced) != len(value):
            raise Guard("variables")
        return coerced

    return read


def node_reader(type_: Any, node: Any) -> Read | None:
    """Return the function from the coerced variables to an argument's value.

    The value is ``Undefined`` where a variable is left out; the function raises :class:`.Guard` for
    a value that graphql-core rejects.

    :param node: the value in the document, with a variable in it.
    :returns: None for a type of which a part is not plain.
    """
    nullable = get_nullable_type(type_)
    is_required = nullable is not type_
    if isinstance(node, VariableNode):
        return _variable_reader(node.name.value, is_required) if value_reader(type_) else None
    if isinstance(node, ObjectValueNode) and _is_plain_object(nullable):
        return _literal_reader(nullable, node)
    return None


def _variable_reader(name: str, is_required: bool) -> Read:
    def read(variables: Mapping[str, Any]) -> Any:
        value = variables.get(name, Undefined)
        if is_required and (value is None or value is Undefined):
            raise Guard("arguments")
        return value

    return read


def _literal_reader(type_: GraphQLInputObjectType, node: ObjectValueNode) -> Read | None:
    nodes = {field.name.value: field.value for field in node.fields}
    readers: dict[str, Read] = {}
    constants: dict[str, Any] = {}
    for name, field in type_.fields.items():
        if field.default_value is not Undefined or field.out_name:
            return None
        if name not in nodes:
            continue
        reader = node_reader(field.type, nodes[name])
        if reader is not None:
            readers[name] = reader
            continue
        constant = value_from_ast(nodes[name], field.type)
        if constant is Undefined or value_reader(field.type) is None:
            return None
        constants[name] = constant

    def read(variables: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(constants)
        for name, reader in readers.items():
            value = reader(variables)
            if value is not Undefined:
                values[name] = value
        return values

    return read


def converter(type_: Any, schema: Schema) -> Read | None:
    """Return Strawberry's conversion of a coerced value to an object of Python.

    :param type_: the type as Strawberry has it.
    :returns: None for a type of which a part is not plain.
    """
    if isinstance(type_, StrawberryOptional):
        convert = converter(type_.of_type, schema)
        return None if convert is None else _optional(convert)
    if type_ in (str, int, bool, ID):
        return lambda value: value
    definition = get_object_definition(type_)
    if definition is None or not definition.is_input or definition.from_input is not None:
        return None
    fields, unset = [], dict[str, Any]()
    for field in definition.fields:
        convert = converter(field.resolve_type(type_definition=definition), schema)
        if convert is None:
            return None
        fields.append((schema.config.name_converter.from_field(field), field.python_name, convert))
        if field.default_value is MISSING and field.default_factory is MISSING:
            unset[field.python_name] = None

    def build(value: Mapping[str, Any]) -> Any:
        values: dict[str, Any] = dict(unset)
        for name, python_name, convert in fields:
            if name in value:
                values[python_name] = convert(value[name])
        return type_(**values)

    return build
