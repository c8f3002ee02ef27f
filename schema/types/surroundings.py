"""The type CommentSurroundings."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from ...errors import BadUserInput
from ...execution import comment_loaders
from ...execution.context import Context
from ...execution.field_declarations import DECLARATION, SurroundingsField
from ...execution.requested_fields import Info
from ...resolvers.pagination.arguments import Record
from ...resolvers.pagination.orders import COMMENTS
from ...resolvers.pagination.surroundings import DEFAULT_SIBLINGS, Place
from ..arguments import DEFAULT_COMMENT_ORDER, CommentOrder, read_order, unset_to_none
from ..connections import Connection
from ..ids import decode_id
from .comment import ANCESTORS, Comment

Siblings = Annotated[
    int | None,
    strawberry.argument(
        description="Return at most this number of comments on each side of the comment: 0 or "
        "more. Both sides and the comment together must fit into a page. The default is "
        f"{DEFAULT_SIBLINGS}, or what fits into a page if that is less."
    ),
]


@strawberry.type(description="A comment with those above it, and its neighbours.")
class CommentSurroundings:
    comment: Comment = strawberry.field(description="The comment.")
    ancestors: list[Comment] = strawberry.field(
        metadata={DECLARATION: ANCESTORS},
        description="The comments above it, the one at the top level first, and its parent last. "
        "Empty at the top level.",
    )
    siblings: Connection[Comment] = strawberry.field(
        description="The comment between its neighbours: a page of Thread.comments if it is at the "
        "top level, otherwise of its parent's replies. The cursors continue that connection in the "
        "same order."
    )


def _read_place(
    context: Context,
    comment_id: str,
    siblings: int | None = UNSET,
    order_by: CommentOrder | None = DEFAULT_COMMENT_ORDER,
) -> Place:
    limit = (context.settings.page_size - 1) // 2
    size = unset_to_none(siblings)
    if size is None:
        size = min(DEFAULT_SIBLINGS, limit)
    if not 0 <= size <= limit:
        raise BadUserInput(f"siblings must be from 0 to {limit}, not {size}.", field="siblings")
    _, key = decode_id(comment_id, "commentId", "Comment")
    return Place(key, size, read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER))


SURROUNDINGS = SurroundingsField(_read_place, "top_level_count", "listed_reply_count")


async def load_surroundings(thread: Record, info: Info, place: Place) -> CommentSurroundings | None:
    """Return the surroundings of a comment, if it is in that thread."""
    columns = info.columns("Comment", info.surroundings()) | {SURROUNDINGS.total_below}
    surroundings = await comment_loaders.load_surroundings(
        info.context, thread["id"], place, columns
    )
    if surroundings is None:
        return None
    _, comment, ancestors, page = surroundings
    total = ancestors[-1][SURROUNDINGS.total_below] if ancestors else thread[SURROUNDINGS.total]
    related = {"thread": thread}

    def wrap(record: Record) -> Comment:
        return Comment.from_record(record, related)

    return CommentSurroundings(
        comment=wrap(comment),
        ancestors=[wrap(record) for record in ancestors],
        siblings=Connection.from_page(page, total, wrap),
    )
