"""Building the schema, alone or merged with a host's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import strawberry
from strawberry.exceptions import ScalarAlreadyRegisteredError
from strawberry.exceptions.duplicated_type_name import DuplicatedTypeName
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.enum import StrawberryEnumDefinition

from ..errors import ConfigurationError
from ..execution.requested_fields import PREFIX, Info, with_prefix
from .mutations import Mutation
from .nodes import HOST_NODES, Node, is_of_tallied
from .query import Query
from .roots import check_rename, field_names, merge_roots
from .scalars import SCALARS
from .types import Author, Comment, Thread

DESCRIPTION = """\
A discussion API: threads, their comments, and exact counters of both.

Lists are Relay connections: pass `first` and `after`, or `last` and `before`, with the cursors of \
`pageInfo`. Every object with an `id` is a `Node`: `node` returns it by that id.

A mutation reports what it rejects in `userErrors` of its payload. All other errors are in \
`errors`, with a stable code in `extensions.code`.

The documentation is `docs/reference/api.md` in Tallied's repository.\
"""
"""The description of the schema, which clients' tools show on their first page."""

RELAY_TYPES = {"Node": f"{Node.__module__}.Node", "PageInfo": "strawberry.relay.PageInfo"}
"""The types that both schemas share, because Relay requires their names."""


class PrefixConverter(NameConverter):
    """Converts names to GraphQL, with a prefix for Tallied's own types."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def from_object(self, object_type: StrawberryObjectDefinition) -> str:
        name = super().from_object(object_type)
        return self._add_prefix(name, (object_type.concrete_of or object_type).origin)

    def from_enum(self, enum: StrawberryEnumDefinition) -> str:
        return self._add_prefix(super().from_enum(enum), enum.wrapped_cls)

    def _add_prefix(self, name: str, origin: type) -> str:
        return with_prefix(self.prefix, name) if is_of_tallied(origin) else name


def merge_schemas(
    query: type | None = None,
    mutation: type | None = None,
    subscription: type | None = None,
    *,
    types: Iterable[type] = (),
    prefix: str = "",
    rename: Mapping[str, str] | None = None,
    scalars: Mapping[object, Any] | None = None,
) -> strawberry.Schema:
    """Return Tallied's schema, merged with the types and root fields of a host.

    The context of every resolver is Tallied's :class:`~tallied.execution.context.Context`, which
    has the request.

    :param query: the host's root fields to read, a :func:`strawberry.type`.
    :param mutation: the host's root fields to change something.
    :param subscription: the host's root fields to subscribe to, which are served over WebSocket;
        Tallied has none.
    :param types: types of the host that no field names.
    :param prefix: what the names of Tallied's types begin with, such as ``Forum``; it is needed
        where the host has types called Thread, Comment, Author and so on. Node and PageInfo keep
        their names, which Relay needs; the host's types may implement
        :class:`~tallied.schema.nodes.Node`, too, and ``node(id:)`` serves them then.
    :param rename: other names for Tallied's root fields, such as
        ``{"viewer": "forumViewer"}``, where the host has fields of those names.
    :param scalars: Strawberry's ``scalar_map`` for the host's own scalars.
    :raises ConfigurationError: for a prefix that no name can begin with, and for a root field, a
        type or a scalar that both have.
    """
    rename = rename or {}
    if prefix and not re.fullmatch("[A-Z][A-Za-z0-9]*", prefix):
        raise ConfigurationError(
            "prefix must begin with a capital letter, and be letters and digits like Forum, not"
            f" {prefix!r}."
        )
    check_rename(rename, Query, Mutation)
    try:
        merged = strawberry.Schema(
            query=merge_roots("query", query, Query, _part(rename, Query)),
            mutation=merge_roots("mutation", mutation, Mutation, _part(rename, Mutation)),
            subscription=subscription,
            types=[Thread, Comment, Author, *types],
            config=StrawberryConfig(
                info_class=Info,
                scalar_map={**SCALARS, **(scalars or {})},
                name_converter=PrefixConverter(prefix),
            ),
        )
    except DuplicatedTypeName as error:
        name = re.sub(r".*\bType (\w+) .*", r"\1", str(error))
        if name not in RELAY_TYPES and not any(
            map(is_of_tallied, (error.first_cls, error.second_cls))
        ):
            raise
        raise ConfigurationError(_clash(name, prefix)) from error
    except ScalarAlreadyRegisteredError as error:
        name = re.sub(r".*\bScalar `?(\w+)`? .*", r"\1", str(error))
        raise ConfigurationError(
            f"The host has a scalar {name}, and Tallied has one, too; use Tallied's, of"
            " tallied.schema.scalars, or give the host's another name."
        ) from error
    merged._schema.description = DESCRIPTION  # Strawberry has no argument for it.
    merged._schema.extensions[PREFIX] = prefix
    merged._schema.extensions[HOST_NODES] = _host_nodes(merged)
    return merged


def _clash(name: str, prefix: str) -> str:
    """Return the error's sentence for a type that both schemas have."""
    sentence = f"The host has a type {name}, and Tallied has one, too"
    if name not in RELAY_TYPES:
        another = "a different" if prefix else "a"
        return f"{sentence}; pass merge_schemas() {another} prefix, such as prefix='Forum'."
    return (
        f"{sentence}, which keeps its name, since Relay needs it; use {RELAY_TYPES[name]} for the"
        " host's types, or rename the host's."
    )


def _host_nodes(schema: strawberry.Schema) -> dict[str, type[Node]]:
    """Return the types of the host that implement Node, by name.

    :raises ConfigurationError: for one that cannot be loaded, or whose ids would be Tallied's.
    """
    types: dict[str, type[Node]] = {}
    for name, entry in schema.schema_converter.type_map.items():
        origin = getattr(entry.definition, "origin", None)
        if not isinstance(origin, type) or not issubclass(origin, Node) or is_of_tallied(origin):
            continue
        if getattr(entry.definition, "is_interface", False):
            continue
        if name in (Thread.__name__, Comment.__name__, Author.__name__):
            raise ConfigurationError(
                f"The host's {name} implements Node, and so its ids would be those of Tallied's;"
                " give it another name."
            )
        if origin.load_nodes.__func__ is Node.load_nodes.__func__:  # type: ignore[attr-defined]
            raise ConfigurationError(
                f"The host's {name} implements Node, and node(id:) cannot load it; define"
                " load_nodes(cls, info, keys) on it."
            )
        types[name] = origin
    return types


def _part(rename: Mapping[str, str], root: type) -> dict[str, str]:
    """Return the part of `rename` for one root type."""
    return {old: new for old, new in rename.items() if old in field_names(root)}


def validate_schema(schema: strawberry.Schema) -> strawberry.Schema:
    """Return a schema that a discussion can serve.

    :raises ConfigurationError: for one that :func:`merge_schemas` has not built.
    """
    if not isinstance(schema, strawberry.Schema):
        actual = getattr(schema, "__name__", type(schema).__name__)
        raise ConfigurationError(f"schema must be what merge_schemas() returns, not {actual}.")
    if PREFIX not in schema._schema.extensions:
        raise ConfigurationError(
            "schema has nothing of Tallied's in it; make it by merge_schemas(Query, Mutation) of"
            " tallied.schema.build in place of strawberry.Schema(Query, Mutation)."
        )
    return schema


schema = merge_schemas()
