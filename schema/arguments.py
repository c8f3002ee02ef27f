"""Arguments and orders that several fields share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, TypeVar, cast

import strawberry
from strawberry import UNSET

from ..execution.field_declarations import ConnectionField
from ..resolvers.pagination.arguments import DEFAULT_SIZE, SIZE_METADATA, PageArguments, Window
from ..resolvers.pagination.cursors import Order
from ..resolvers.pagination.filters import (
    CommentFilter,
    Filter,
    Queue,
    ThreadFilter,
    comment_filter,
    comments_since,
    thread_filter,
)
from ..resolvers.pagination.statements import MAX_SEARCHED
from ..resolvers.target_counts import MAX_TARGETS, TargetKey
from ..resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from ..settings import Settings
from .enumerations import CommentStatus, QueuePart
from .ids import decode_id
from .scalars import SafeInt

_UP_TO = f"{Settings.page_size}, unless the server has another limit"

T = TypeVar("T")

ThreadID = Annotated[strawberry.ID, strawberry.argument(description="The id of the thread.")]
CommentID = Annotated[strawberry.ID, strawberry.argument(description="The id of the comment.")]
NodeID = Annotated[strawberry.ID, strawberry.argument(description="The id of the object.")]
AuthorID = Annotated[strawberry.ID, strawberry.argument(description="The id of the author.")]

NodeIDs = Annotated[
    list[strawberry.ID],
    strawberry.argument(description=f"The global ids: at most {_UP_TO}."),
]
First = Annotated[
    int | None,
    strawberry.argument(
        description=f"Return this number of items from the start: 1 to {_UP_TO}. Give either first "
        f"or last. Without both, first is {DEFAULT_SIZE}, or the server's limit if that is lower.",
        metadata={SIZE_METADATA: DEFAULT_SIZE},
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description=f"Return this number of items from the end: 1 to {_UP_TO}. The items keep the "
        "order of orderBy."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(
        description="Return only items after this cursor, which must come from the same orderBy."
    ),
]
SinceSeq = Annotated[
    SafeInt,
    strawberry.argument(
        description="Return only comments with a greater Comment.seq: the last one that the client "
        "has, or 0 for all."
    ),
]
FirstNew = Annotated[
    int | None,
    strawberry.argument(
        description=f"Return this number of comments: 1 to {_UP_TO}. The default is "
        f"{DEFAULT_SIZE}, or the server's limit if that is lower.",
        metadata={SIZE_METADATA: DEFAULT_SIZE},
    ),
]
AfterNew = Annotated[
    str | None,
    strawberry.argument(
        description="Return only comments after this cursor, which must come from commentsSince."
    ),
]
Before = Annotated[
    str | None,
    strawberry.argument(
        description="Return only items before this cursor, which must come from the same orderBy."
    ),
]


@strawberry.input(
    name="TargetInput", description="An object of the host application, such as an article."
)
class TargetInput:
    type: str = strawberry.field(description="The kind of the object, as registered by the host.")
    key: str = strawberry.field(
        description="The object's id within its kind, in the host's spelling."
    )

    def read(self) -> TargetKey:
        """Return the type and the id of the object."""
        return TargetKey(self.type, self.key)


TargetBy = Annotated[
    TargetInput, strawberry.argument(description="The object that the thread is about.")
]


CountedTargets = Annotated[
    list[TargetInput],
    strawberry.argument(
        description=f"The objects whose comments are counted: at most {MAX_TARGETS}."
    ),
]


@strawberry.enum(description="The direction of an order.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="Smallest or oldest first.")
    DESC = strawberry.enum_value("DESC", description="Largest or newest first.")


@strawberry.enum(description="The values by which threads can be ordered. The id breaks ties.")
class ThreadOrderField(Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="When the thread was created.")
    LAST_COMMENT_AT = strawberry.enum_value(
        "LAST_COMMENT_AT",
        description="When the thread's latest comment was created, or the thread itself if it "
        "has no comments.",
    )
    COMMENT_COUNT = strawberry.enum_value(
        "COMMENT_COUNT", description="The number of comments in the thread."
    )
    WORD_COUNT = strawberry.enum_value(
        "WORD_COUNT", description="The number of words in the thread's comments."
    )


@strawberry.enum(description="The values by which comments can be ordered. The id breaks ties.")
class CommentOrderField(Enum):
    CREATED_AT = strawberry.enum_value("CREATED_AT", description="When the comment was created.")


@strawberry.input(description="An order of threads.")
class ThreadOrder:
    field: ThreadOrderField = strawberry.field(description="The value to order by.")
    direction: OrderDirection = strawberry.field(description="Which end comes first.")


@strawberry.input(description="An order of comments.")
class CommentOrder:
    field: CommentOrderField = strawberry.field(description="The value to order by.")
    direction: OrderDirection = strawberry.field(description="Which end comes first.")


DEFAULT_THREAD_ORDER = ThreadOrder(
    field=ThreadOrderField.LAST_COMMENT_AT, direction=OrderDirection.DESC
)
DEFAULT_COMMENT_ORDER = CommentOrder(
    field=CommentOrderField.CREATED_AT, direction=OrderDirection.ASC
)

ThreadOrderBy = Annotated[
    ThreadOrder | None,
    strawberry.argument(
        description="The order of the threads. The default is the most recent activity first."
    ),
]
CommentOrderBy = Annotated[
    CommentOrder | None,
    strawberry.argument(description="The order of the comments. The default is oldest first."),
]


@strawberry.input(
    name="ThreadFilter", description="Conditions on threads. A thread must meet all that are given."
)
class ThreadFilterInput:
    title_contains: str | None = strawberry.field(
        default=UNSET,
        description="Threads whose title contains this text, of at most "
        f"{TITLE_LENGTH} characters. Case does not matter. An empty text is ignored. "
        "A text without three letters or digits in a row is looked for in the next "
        f"{MAX_SEARCHED} threads of the order.",
    )
    active_since: datetime | None = strawberry.field(
        default=UNSET,
        description="Threads whose latest comment was created at this time or later. A thread "
        "without comments counts from its own creation.",
    )
    min_comment_count: int | None = strawberry.field(
        default=UNSET,
        description="Threads with at least this number of comments. Must be 0 or more.",
    )

    def read(self) -> ThreadFilter:
        """Return the filter, after checking its conditions."""
        return thread_filter(
            unset_to_none(self.title_contains),
            unset_to_none(self.active_since),
            unset_to_none(self.min_comment_count),
        )


@strawberry.input(
    name="CommentFilter",
    description="Conditions on comments. A comment must meet all that are given.",
)
class CommentFilterInput:
    author_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="Comments by the author with this id."
    )
    author_name: str | None = strawberry.field(
        default=UNSET,
        description="Comments by guests with exactly this name, of at most "
        f"{AUTHOR_NAME_LENGTH} characters. Case matters, invisible characters do not. An empty "
        "text is ignored.",
    )
    since: datetime | None = strawberry.field(
        default=UNSET, description="Comments created at this time or later."
    )
    top_level_only: bool = strawberry.field(
        default=True,
        description="Whether to leave out replies. Comment.replies has them.",
    )

    status: list[CommentStatus] | None = strawberry.field(
        default=UNSET,
        description="Comments with one of these statuses, also hidden ones; for viewers who may "
        "moderate every thread. For others it is the error NOT_ALLOWED or SIGN_IN_REQUIRED.",
    )

    def read(self) -> CommentFilter:
        """Return the filter, after checking its conditions."""
        author = unset_to_none(self.author_id)
        return comment_filter(
            unset_to_none(self.author_name),
            unset_to_none(self.since),
            decode_id(author, "filterBy.authorId", "Author")[1] if author else None,
            top_level_only=self.top_level_only,
            statuses=[status.name.lower() for status in unset_to_none(self.status) or ()],
        )


@strawberry.input(description="Conditions on the comments in the queue of moderation.")
class ModerationFilter:
    part: QueuePart = strawberry.field(default=QueuePart.ALL, description="The part of the queue.")
    thread_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="Comments in the thread with this id."
    )

    def read(self) -> CommentFilter:
        """Return the filter, after checking its conditions."""
        thread = unset_to_none(self.thread_id)
        return CommentFilter(
            top_level_only=False,
            queue=cast("Queue", self.part.name),
            thread_id=decode_id(thread, "filterBy.threadId", "Thread")[1] if thread else None,
        )


ModerationFilterBy = Annotated[
    ModerationFilter,
    strawberry.argument(description="Conditions on the comments. By default, all of the queue."),
]

WHOLE_QUEUE = ModerationFilter()

ThreadFilterBy = Annotated[
    ThreadFilterInput | None,
    strawberry.argument(description="Conditions on the threads. Null or left out: all threads."),
]
CommentFilterBy = Annotated[
    CommentFilterInput | None,
    strawberry.argument(
        description="Conditions on the comments. Null or left out: all at the top level."
    ),
]


def read_window(
    connection: ConnectionField,
    limit: int,
    first: int | None = UNSET,
    last: int | None = UNSET,
    after: str | None = UNSET,
    before: str | None = UNSET,
    order_by: ThreadOrder | CommentOrder | None = UNSET,
    filter_by: ThreadFilterInput | CommentFilterInput | ModerationFilter | None = UNSET,
    seq: int | None = None,
) -> Window:
    """Return the window that the arguments of a connection select, any of which may be left out.

    :param limit: the maximum number of rows on a page.
    :param seq: the number after which all comments of a thread are listed.
    :raises BadUserInput: naming an invalid argument.
    """
    filter = read_filter(filter_by) if seq is None else comments_since(seq)
    if order_by or connection.default_order:
        order = read_order(connection.orders, order_by or connection.default_order)
    else:
        (order,) = connection.orders.values()
    arguments = PageArguments(
        unset_to_none(first), unset_to_none(last), unset_to_none(after), unset_to_none(before)
    )
    relation = connection.relation
    of_replies = relation is not None and relation.foreign_key == "parent_id"
    return arguments.window(order, limit, filter, of_replies=of_replies)


def read_filter(
    filter_by: ThreadFilterInput | CommentFilterInput | ModerationFilter | None,
) -> Filter | None:
    """Return the filter of a filterBy argument, or None if there is none.

    :raises BadUserInput: naming an invalid condition.
    """
    argument = unset_to_none(filter_by)
    return argument.read() if argument else None


def unset_to_none(value: T) -> T | None:
    """Return the value of an argument, or None if it was left out."""
    return None if value is UNSET else value


def read_order(
    orders: Mapping[tuple[str, bool], Order], order_by: ThreadOrder | CommentOrder
) -> Order:
    """Return the order of an orderBy argument."""
    return orders[order_by.field.value, order_by.direction is OrderDirection.DESC]
