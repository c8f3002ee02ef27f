"""The types of reactions: a ReactionKind, a ReactionGroup and a Reactor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import strawberry
from strawberry import UNSET

from ...errors import BadUserInput
from ...execution.context import Context
from ...execution.field_declarations import LoadedField
from ...host.access import HostRules
from ...resolvers.reaction_queries import read_reaction_groups, read_reactors
from ...resolvers.validation import find_unstorable
from ..arguments import unset_to_none
from ..scalars import SafeInt
from .author import Author
from .author_counts import read_disclosed

DEFAULT_REACTORS = 10

FirstReactors = Annotated[
    int,
    strawberry.argument(description="Return at most this number of reactions of each kind."),
]
KindOfReactors = Annotated[
    str | None,
    strawberry.argument(description="The only kind of reactions. Null or left out: all kinds."),
]


@strawberry.type(description="A kind of reactions to comments.")
class ReactionKind:
    name: str = strawberry.field(description="The name, for addReaction and removeReaction.")
    emoji: str = strawberry.field(description="The emoji that stands for the kind.")
    label: str = strawberry.field(description="The name that is shown to people.")

    @classmethod
    def of_rules(cls, rules: HostRules) -> list[ReactionKind]:
        """Return the kinds of the settings, in their order."""
        return [cls(**kind._asdict()) for kind in rules.reaction_kinds.values()]


@strawberry.type(description="The reactions of one kind to a comment: at least one.")
class ReactionGroup:
    kind: str = strawberry.field(description="The name of the kind.")
    emoji: str | None = strawberry.field(
        description="The emoji of the kind. Null for a kind that the server no longer offers."
    )
    label: str | None = strawberry.field(
        description="The name that is shown to people. Null for a kind that the server no longer "
        "offers."
    )
    count: SafeInt = strawberry.field(description="The number of people who have reacted with it.")
    viewer_has_reacted: bool = strawberry.field(
        description="Whether the viewer is one of these people. False for a guest."
    )


@strawberry.type(description="A reaction to a comment.")
class Reactor:
    kind: str = strawberry.field(description="The name of the kind.")
    reacted_at: datetime = strawberry.field(description="When the reaction was added.")
    author: Author = strawberry.field(description="The person who has reacted.")


async def _load_groups(
    context: Context, ids: Sequence[UUID], _: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[ReactionGroup]]:
    groups = await context.read_rows(
        lambda reader: read_reaction_groups(reader, context.rules, context.viewer, ids)
    )
    return cast("Mapping[UUID, Sequence[ReactionGroup]]", groups)


def _read_arguments(
    context: Context, first: int = DEFAULT_REACTORS, kind: str | None = UNSET
) -> tuple[int, str | None]:
    limit = context.settings.page_size
    if not 1 <= first <= limit:
        raise BadUserInput(f"first must be from 1 to {limit}, not {first}.", field="first")
    return first, unset_to_none(kind)


async def _load_reactors(
    context: Context, ids: Sequence[UUID], arguments: tuple[int, str | None], names: frozenset[str]
) -> Mapping[UUID, Sequence[Reactor]]:
    size, kind = arguments
    if kind is not None and find_unstorable(kind):
        return {}
    rows = await context.read_rows(lambda reader: read_reactors(reader, ids, size, kind))
    records = (author for of_comment in rows.values() for _, _, author in of_comment)
    authors = await read_disclosed(context, records, names, "author")
    return {
        id: [
            Reactor(kind=name, reacted_at=time, author=Author.from_record(authors[author["id"]]))
            for name, time, author in of_comment
        ]
        for id, of_comment in rows.items()
    }


REACTION_GROUPS = LoadedField(_load_groups, takes_stored=True)
REACTORS = LoadedField(_load_reactors, _read_arguments)
