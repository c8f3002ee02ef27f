"""Arguments and orders that several fields share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, TypeVar

import strawberry
from strawberry import UNSET

from ..resolvers.pagination.arguments import DEFAULT_SIZE, SIZE_METADATA
from ..resolvers.pagination.cursors import Order
from ..resolvers.pagination.filters import (
    CommentFilter,
    Filter,
    ThreadFilter,
    comment_filter,
    thread_filter,
)
from ..resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from ..settings import Settings
from .ids import decode_id

_UP_TO = f"{Settings.page_size}, unless the server is set otherwise"

T = TypeVar("T")

ThreadID = Annotated[strawberry.ID, strawberry.argument(description="The id of the thread.")]
CommentID = Annotated[strawberry.ID, strawberry.argument(description="The id of the comment.")]
NodeID = Annotated[strawberry.ID, strawberry.argument(description="The id of the object.")]
AuthorID = Annotated[strawberry.ID, strawberry.argument(description="The id of the author.")]

NodeIDs = Annotated[
    list[strawberry.ID],
    strawberry.argument(description=f"The ids of the objects: up to {_UP_TO}."),
]
First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many to take from the start: 1 to {_UP_TO}. Give either first or last; "
        f"without both, it is {DEFAULT_SIZE}, or as many as the server allows.",
        metadata={SIZE_METADATA: DEFAULT_SIZE},
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many to take from the end: 1 to {_UP_TO}. They still come in the order "
        "asked for."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(description="Take only what comes after this cursor of the same orderBy."),
]
Before = Annotated[
    str | None,
    strawberry.argument(description="Take only what comes before this cursor of the same orderBy."),
]


@strawberry.input(name="TargetInput", description="An object of the host.")
class TargetInput:
    type: str = strawberry.field(description="Its kind, as the host has registered it.")
    key: str = strawberry.field(description="Its id within its kind, as the host spells it.")


TargetBy = Annotated[
    TargetInput, strawberry.argument(description="The object that the thread is about.")
]


@strawberry.enum(description="Which end of an order comes first.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="The smallest, or oldest, comes first.")
    DESC = strawberry.enum_value("DESC", description="The largest, or newest, comes first.")


@strawberry.enum(description="What threads can be ordered by; the id breaks ties.")
class ThreadOrderField(Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="When the thread was begun.")
    LAST_COMMENT_AT = strawberry.enum_value(
        "LAST_COMMENT_AT",
        description="When the thread's latest comment was made, or the thread was begun "
        "where it has no comment.",
    )
    COMMENT_COUNT = strawberry.enum_value("COMMENT_COUNT", description="How many comments it has.")
    WORD_COUNT = strawberry.enum_value("WORD_COUNT", description="How many words they have.")


@strawberry.enum(description="What comments can be ordered by; the id breaks ties.")
class CommentOrderField(Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="When the comment was made.")


@strawberry.input(description="The order of threads.")
class ThreadOrder:
    field: ThreadOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(description="Which end comes first.")


@strawberry.input(description="The order of comments.")
class CommentOrder:
    field: CommentOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(description="Which end comes first.")


DEFAULT_THREAD_ORDER = ThreadOrder(
    field=ThreadOrderField.LAST_COMMENT_AT, direction=OrderDirection.DESC
)
DEFAULT_COMMENT_ORDER = CommentOrder(
    field=CommentOrderField.CREATED_AT, direction=OrderDirection.ASC
)

ThreadOrderBy = Annotated[
    ThreadOrder | None, strawberry.argument(description="The order; the most recent first.")
]
CommentOrderBy = Annotated[
    CommentOrder | None, strawberry.argument(description="The order; the oldest first.")
]


@strawberry.input(
    name="ThreadFilter", description="Which threads; those that meet every condition given."
)
class ThreadFilterInput:
    title_contains: str | None = strawberry.field(
        default=UNSET,
        description="What the title contains, in upper or lower case; up to "
        f"{TITLE_LENGTH} characters. An empty text filters nothing.",
    )
    active_since: datetime | None = strawberry.field(
        default=UNSET,
        description="When the thread was last commented on at the earliest, or begun where it has "
        "no comment.",
    )
    min_comment_count: int | None = strawberry.field(
        default=UNSET, description="How many comments it has at least; 0 or more."
    )

    def read(self) -> ThreadFilter:
        """The filter, checked."""
        return thread_filter(
            unset_to_none(self.title_contains),
            unset_to_none(self.active_since),
            unset_to_none(self.min_comment_count),
        )


@strawberry.input(
    name="CommentFilter", description="Which comments; those that meet every condition given."
)
class CommentFilterInput:
    author_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The id of the author who wrote it."
    )
    author_name: str | None = strawberry.field(
        default=UNSET,
        description="The whole name of the guest who wrote it, in the same case; up to "
        f"{AUTHOR_NAME_LENGTH} characters. Those that nobody sees, such as joiners, make no other "
        "name. An empty text filters nothing.",
    )
    since: datetime | None = strawberry.field(
        default=UNSET, description="When it was made at the earliest."
    )

    def read(self) -> CommentFilter:
        """The filter, checked."""
        author = unset_to_none(self.author_id)
        return comment_filter(
            unset_to_none(self.author_name),
            unset_to_none(self.since),
            decode_id(author, "filterBy.authorId", "Author")[1] if author else None,
        )


ThreadFilterBy = Annotated[
    ThreadFilterInput | None, strawberry.argument(description="Which threads; all of them.")
]
CommentFilterBy = Annotated[
    CommentFilterInput | None, strawberry.argument(description="Which comments; all of them.")
]


def read_filter(filter_by: ThreadFilterInput | CommentFilterInput | None) -> Filter | None:
    """The filter that a filterBy argument describes.

    :raises BadUserInput: naming the condition that cannot be used.
    """
    described = unset_to_none(filter_by)
    filter = described.read() if described else None
    return filter if filter and filter.conditions() else None


def unset_to_none(value: T) -> T | None:
    """The value of an argument, which may be left out."""
    return None if value is UNSET else value


def read_order(
    orders: Mapping[tuple[str, bool], Order], order_by: ThreadOrder | CommentOrder
) -> Order:
    """The order that an orderBy argument names."""
    return orders[order_by.field.value, order_by.direction is OrderDirection.DESC]
