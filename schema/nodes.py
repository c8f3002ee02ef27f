"""The interface Node, which the types of a host may implement, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import strawberry
from graphql import GraphQLResolveInfo, GraphQLSchema
from strawberry.types import get_object_definition

from ..execution.field_declarations import DECLARATION, ColumnField
from ..execution.requested_fields import Info, prefixed
from .ids import encode_id, split_id

PACKAGE = __package__


@strawberry.interface(
    description="An object with a global id, by which node and nodes return it, as in Relay's "
    "specification."
)
class Node:
    """An object that ``node(id:)`` and ``nodes(ids:)`` return, by ids unique in a schema."""

    id: strawberry.ID = strawberry.field(
        description="The object's global id. It is an opaque string, and is never reused.",
        metadata={DECLARATION: ColumnField()},
    )

    @classmethod
    def global_id(cls, key: object) -> strawberry.ID:
        """Return the id of the object of this type whose key is `key`."""
        return encode_id(get_object_definition(cls, strict=True).name, key)

    @classmethod
    async def load_nodes(cls, info: Info, keys: Sequence[str]) -> Sequence[Self | None]:
        """Load objects of a host by their keys, which are the texts of :meth:`global_id`'s.

        :returns: the objects in the order of `keys`, with None for those that do not exist or that
            the viewer may not read.
        """
        raise NotImplementedError

    @classmethod
    def resolve_type(cls, node: Node, info: GraphQLResolveInfo[Any], _: object) -> str:
        """Return the name of the object's type in this schema, which may have a prefix."""
        if is_of_tallied(type(node)):
            return prefixed(info.schema, type(node).__name__)
        return get_object_definition(type(node), strict=True).name


HOST_NODES = "tallied.host_nodes"
"""The key in a schema's extensions of the host's types that implement :class:`Node`, by name."""


def is_of_tallied(cls: type | None) -> bool:
    """Return whether a type of the schema is Tallied's own."""
    return cls is not None and cls.__module__.startswith(f"{PACKAGE}.")


def host_nodes(schema: GraphQLSchema) -> Mapping[str, type[Node]]:
    """Return the host's types that implement :class:`Node`, by the names in their ids."""
    types: Mapping[str, type[Node]] = schema.extensions.get(HOST_NODES, {})
    return types


async def load_host_nodes(info: Info, ids: Sequence[str]) -> dict[str, Node | None]:
    """Load the objects of the host among `ids`, by one call of each type's loader."""
    types = host_nodes(info.schema._schema)
    keys: dict[str, dict[str, str]] = {}
    for id in ids if types else ():
        type_name, key = split_id(id)
        if type_name in types:
            keys.setdefault(type_name, {})[id] = key
    nodes: dict[str, Node | None] = {}
    for type_name, by_id in keys.items():
        loaded = await types[type_name].load_nodes(info, list(by_id.values()))
        nodes |= zip(by_id, loaded, strict=True)
    return nodes
