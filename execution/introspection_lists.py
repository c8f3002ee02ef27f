"""The lengths of the lists that an introspection of a schema returns."""

from __future__ import annotations

from typing import NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
)


class ListLengths(NamedTuple):
    """The lengths of the lists of the introspection system, by type and field."""

    maximum: dict[tuple[str, str], float]
    mean: dict[tuple[str, str], float]
    """The mean lengths, for fields below the list of all types."""


def measure_lists(schema: GraphQLSchema) -> ListLengths:
    """Return the lengths of a schema's lists."""
    types = list(schema.type_map.values())
    with_fields = [
        type_ for type_ in types if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
    ]
    lengths = {
        ("__Type", "fields"): [len(type_.fields) for type_ in with_fields],
        ("__Type", "interfaces"): [len(type_.interfaces) for type_ in with_fields],
        ("__Type", "inputFields"): [
            len(type_.fields) for type_ in types if isinstance(type_, GraphQLInputObjectType)
        ],
        ("__Type", "enumValues"): [
            len(type_.values) for type_ in types if isinstance(type_, GraphQLEnumType)
        ],
        ("__Type", "possibleTypes"): [
            len(schema.get_possible_types(type_))
            for type_ in types
            if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType)
        ],
    }
    arguments = [len(field.args) for type_ in with_fields for field in type_.fields.values()]
    of_directives = [len(directive.args) for directive in schema.directives]
    fixed = {
        ("__Schema", "types"): float(len(types)),
        ("__Schema", "directives"): float(len(schema.directives)),
        ("__Directive", "args"): float(max(of_directives)),
    }
    maximum: dict[tuple[str, str], float] = {
        key: max(values, default=0) for key, values in lengths.items()
    }
    mean = {key: sum(values) / len(types) for key, values in lengths.items()}
    return ListLengths(
        maximum | fixed | {("__Field", "args"): max(arguments)},
        mean | fixed | {("__Field", "args"): sum(arguments) / len(arguments)},
    )
