"""The schema, put together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import strawberry
from strawberry.exceptions.duplicated_type_name import DuplicatedTypeName
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types import get_object_definition, has_object_definition
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.enum import StrawberryEnumDefinition

from ..errors import ConfigurationError
from .mutation import Mutation
from .query import Query
from .scalars import SCALARS
from .selection import PREFIX, Info
from .types import Author, Comment, Thread


class Prefixed(NameConverter):
    """Names of GraphQL, where Tallied's own types begin with a prefix."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def from_object(self, object_type: StrawberryObjectDefinition) -> str:
        name = super().from_object(object_type)
        return self._prefixed(name, (object_type.concrete_of or object_type).origin)

    def from_enum(self, enum: StrawberryEnumDefinition) -> str:
        return self._prefixed(super().from_enum(enum), enum.wrapped_cls)

    def _prefixed(self, name: str, origin: type) -> str:
        return (
            f"{self.prefix}{name}" if _is_ours(origin) and origin not in (Query, Mutation) else name
        )


def merged(
    query: type | None = None,
    mutation: type | None = None,
    subscription: type | None = None,
    *,
    types: Iterable[type] = (),
    prefix: str = "",
    scalars: Mapping[object, Any] | None = None,
) -> strawberry.Schema:
    """Tallied's schema, with what a host adds to it.

    The context of every resolver is Tallied's :class:`~tallied.schema.context.Context`, which
    has the request.

    :param query: the host's root fields to read, a :func:`strawberry.type`.
    :param mutation: the host's root fields to change something.
    :param subscription: the host's root fields to subscribe to, which are served over WebSocket;
        Tallied has none.
    :param types: types of the host that no field names.
    :param prefix: what the names of Tallied's types begin with, such as ``Forum``; it is needed
        where the host has types called Thread, Comment, Author, Node and so on.
    :param scalars: Strawberry's ``scalar_map`` for the host's own scalars.
    :raises ConfigurationError: for a prefix that no name can begin with, and for a root field or
        a type that both have.
    """
    if prefix and not re.fullmatch("[A-Z][A-Za-z0-9]*", prefix):
        raise ConfigurationError(
            "prefix must begin with a capital letter, and be letters and digits like Forum, not"
            f" {prefix!r}."
        )
    try:
        made = strawberry.Schema(
            query=_both("query", query, Query),
            mutation=_both("mutation", mutation, Mutation),
            subscription=subscription,
            types=[Thread, Comment, Author, *types],
            config=StrawberryConfig(
                info_class=Info,
                scalar_map={**SCALARS, **(scalars or {})},
                name_converter=Prefixed(prefix),
            ),
        )
    except DuplicatedTypeName as error:
        if not any(map(_is_ours, (error.first_cls, error.second_cls))):
            raise
        name = re.sub(r".*\bType (\w+) .*", r"\1", str(error))
        raise ConfigurationError(
            f"The host has a type {name}, and Tallied has one, too; pass merged() a"
            f" {'different ' if prefix else ''}prefix, such as prefix='Forum'."
        ) from error
    made._schema.extensions[PREFIX] = prefix
    return made


def accept_schema(schema: strawberry.Schema) -> strawberry.Schema:
    """A schema that a discussion can serve.

    :raises ConfigurationError: for one that :func:`merged` has not made.
    """
    if not isinstance(schema, strawberry.Schema):
        shown = getattr(schema, "__name__", type(schema).__name__)
        raise ConfigurationError(f"schema must be what merged() returns, not {shown}.")
    if PREFIX not in schema._schema.extensions:
        raise ConfigurationError(
            "schema has nothing of Tallied's in it; make it by merged(Query, Mutation) of"
            " tallied.schema.build in place of strawberry.Schema(Query, Mutation)."
        )
    return schema


def _is_ours(cls: type | None) -> bool:
    return cls is not None and cls.__module__.startswith(f"{__package__}.")


def _check_fields(argument: str, theirs: type, ours: type) -> None:
    """Refuse to replace what clients of Tallied ask for, but by a class that derives from it."""
    if not has_object_definition(theirs):
        raise ConfigurationError(
            f"{argument} must be a class under @strawberry.type, not {theirs!r}."
        )
    if issubclass(theirs, ours):
        return
    converter, (host, mine) = NameConverter(), map(get_object_definition, (theirs, ours))
    assert host is not None
    assert mine is not None
    found = {converter.from_field(field) for field in mine.fields}
    found &= {converter.from_field(field) for field in host.fields}
    if found:
        raise ConfigurationError(
            f"The host's {argument} has a field {' and '.join(sorted(found))}, and so has"
            " Tallied's; rename the host's."
        )


def _both(argument: str, theirs: type | None, ours: type) -> type:
    if theirs is None:
        return ours
    _check_fields(argument, theirs, ours)
    name = argument.title()
    return strawberry.type(
        type(name, (theirs, ours), {"__module__": theirs.__module__}),
        description=get_object_definition(ours, strict=True).description,
    )


schema = merged()
