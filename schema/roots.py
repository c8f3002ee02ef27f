"""Merging of the root types of a host's schema and Tallied's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy

import strawberry
from strawberry.schema.name_converter import NameConverter
from strawberry.types import get_object_definition, has_object_definition
from strawberry.types.base import StrawberryObjectDefinition

from ..errors import ConfigurationError

RELAY_FIELDS = frozenset({"node", "nodes"})
"""The fields whose names Relay's compiler and runtime require."""


def merge_roots(argument: str, host: type | None, tallied: type, rename: Mapping[str, str]) -> type:
    """Return one root type with the fields of both.

    :param argument: what :func:`~tallied.schema.build.merge_schemas` calls the host's.
    :param rename: other names for Tallied's fields, by the names that they have.
    :raises ConfigurationError: for a field that both have.
    """
    if host is None and not rename:
        return tallied
    if host is not None and not has_object_definition(host):
        raise ConfigurationError(
            f"{argument} must be a class under @strawberry.type, not {host!r}."
        )
    if host is not None and issubclass(host, tallied):
        if rename:
            raise ConfigurationError(
                f"rename cannot be used where the host's {argument} derives from Tallied's; name"
                " the fields there."
            )
    elif host is not None:
        _check_fields(argument, host, tallied, rename)
    bases: tuple[type, ...] = (_rename_fields(tallied, rename) if rename else tallied,)
    if host is not None:
        bases = (host, *bases)
    name = argument.title()
    return strawberry.type(
        type(name, bases, {"__module__": (host or tallied).__module__}),
        description=_definition(tallied).description,
    )


def check_rename(rename: Mapping[str, str], *roots: type) -> None:
    """Reject names that no field can have, that Relay requires, or that two fields would have.

    :raises ConfigurationError: naming the field.
    """
    for old, new in rename.items():
        if old in RELAY_FIELDS:
            raise ConfigurationError(f"{old} cannot be renamed: Relay asks for it by this name.")
        if not re.fullmatch("[_A-Za-z][_A-Za-z0-9]*", new) or new.startswith("__"):
            raise ConfigurationError(
                f"rename gives {old} the name {new!r}, which no field can have."
            )
    names = [field_names(root) for root in roots]
    unknown = sorted(rename.keys() - set().union(*names))
    if unknown:
        raise ConfigurationError(
            f"rename names {unknown[0]}, which is not a root field of Tallied's; write it as in"
            " schema.graphql, like addComment."
        )
    for fields in names:
        renamed = [rename.get(name, name) for name in sorted(fields)]
        twice = sorted(name for name in set(renamed) if renamed.count(name) > 1)
        if twice:
            raise ConfigurationError(f"rename gives two fields of Tallied's the name {twice[0]}.")


def _check_fields(argument: str, host: type, tallied: type, rename: Mapping[str, str]) -> None:
    """Reject a host's field that would replace one of Tallied's."""
    both = sorted(field_names(host) & {rename.get(name, name) for name in field_names(tallied)})
    if both:
        remedy = f"pass rename={{{both[0]!r}: ...}} to merge_schemas(), or rename the host's"
        if RELAY_FIELDS & {*both}:
            remedy = (
                "leave it to Tallied's, which serves the host's types, too, that implement"
                " tallied.schema.nodes.Node"
            )
        sentence = f"The host's {argument} has a field {' and '.join(both)}, and so has Tallied's"
        raise ConfigurationError(f"{sentence}; {remedy}.")


def _rename_fields(tallied: type, rename: Mapping[str, str]) -> type:
    """Return the root type with new names, also in Python, where a host's would replace them."""
    converter, fields = NameConverter(), {}
    for field in _definition(tallied).fields:
        own = copy(field)
        own.graphql_name = converter.from_field(field)
        own.graphql_name = rename.get(own.graphql_name, own.graphql_name)
        fields[f"tallied_{field.python_name}"] = own
    return strawberry.type(type(tallied.__name__, (), {"__module__": tallied.__module__, **fields}))


def field_names(root: type) -> set[str]:
    """Return the names in GraphQL of a root type's fields."""
    converter = NameConverter()
    return {converter.from_field(field) for field in _definition(root).fields}


def _definition(root: type) -> StrawberryObjectDefinition:
    return get_object_definition(root, strict=True)
