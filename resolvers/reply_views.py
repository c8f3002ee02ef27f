"""Views of replies: pages, trees, and a comment with its surroundings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from ..errors import BadUserInput
from ..host.access import Access
from ..host.policy import ThreadContext
from ..models import Comment, Thread
from .pagination.arguments import MAX_TREE, PageArguments
from .pagination.orders import COMMENTS
from .pagination.surroundings import DEFAULT_SIBLINGS, Place
from .queries import read_comment_pages, read_one
from .rows import thread_context
from .surroundings import read_surroundings
from .validation import expect_type
from .view_building import (
    COMMENT_VIEW_COLUMNS,
    COMMENT_VIEW_FIELDS,
    MAX_PAGE_SIZE,
    THREAD_VIEW_COLUMNS,
    ReadConnection,
    begin,
    comment_view,
    read_names,
    thread_view,
    view_page,
)
from .view_types import CommentSurroundings, CommentView, ViewPage


async def read_replies(
    connection: ReadConnection,
    access: Access,
    comment_id: UUID,
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    descending: bool = False,
) -> ViewPage[CommentView] | None:
    """Return a page of the replies to a comment, or None if the viewer may read no such comment.

    :param descending: whether the latest comes first.
    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    expect_type(UUID, comment_id=comment_id)
    order, arguments = COMMENTS["CREATED_AT", descending], PageArguments(first, last, after, before)
    window = arguments.window(order, MAX_PAGE_SIZE, of_replies=True)
    reader, access = await begin(connection, access)
    condition = access.read_condition()
    comment = await read_one(reader, Comment, comment_id, ("thread_id",), condition)
    if comment is None:
        return None
    thread = await read_one(reader, Thread, comment["thread_id"], ThreadContext._fields, condition)
    pages = await read_comment_pages(reader, [comment_id], window, COMMENT_VIEW_FIELDS)
    page = pages.get(comment_id)
    if thread is None or page is None:
        return None  # One of them was deleted meanwhile.
    names = await read_names(reader, page.rows)
    return await view_page(access, page, thread_context(thread), names)


async def read_around(
    connection: ReadConnection,
    access: Access,
    comment_id: UUID,
    *,
    siblings: int = DEFAULT_SIBLINGS,
    descending: bool = False,
) -> CommentSurroundings | None:
    """Return a comment with those above it and its neighbours, as for a link to it.

    None if the viewer may read no such comment. The cursors are those of :func:`read_replies`, or
    of :func:`read_comments` for a comment at the top level.

    :param siblings: how many neighbours on each side, at most.
    :param descending: whether the latest comes first.
    :raises BadUserInput: for a number of siblings that is none from 0 to 499.
    """
    expect_type(UUID, comment_id=comment_id)
    limit = (MAX_PAGE_SIZE - 1) // 2
    if not isinstance(siblings, int) or not 0 <= siblings <= limit:
        message = f"siblings must be a number from 0 to {limit}, not {siblings!r}."
        raise BadUserInput(message, field="siblings")
    reader, access = await begin(connection, access)
    condition = access.read_condition()
    row = await read_one(reader, Comment, comment_id, ("thread_id",), condition)
    if row is None:
        return None
    thread = await read_one(reader, Thread, row["thread_id"], THREAD_VIEW_COLUMNS, condition)
    place = Place(comment_id, siblings, COMMENTS["CREATED_AT", descending])
    ids = [row["thread_id"]]
    around = await read_surroundings(reader, ids, place, COMMENT_VIEW_COLUMNS)
    if thread is None or around is None:
        return None  # One of them was deleted meanwhile.
    page, context = around.siblings, thread_context(thread)
    names = await read_names(reader, [thread, *around.ancestors, *page.rows])
    siblings_page = await view_page(access, page, context, names)
    return CommentSurroundings(
        thread=thread_view(access, thread, names),
        comment=next(node for node in siblings_page.nodes if node.id == comment_id),
        ancestors=[await comment_view(access, row, context, names) for row in around.ancestors],
        siblings=siblings_page,
    )


async def read_trees(
    connection: ReadConnection,
    access: Access,
    thread_id: UUID,
    comment_ids: Collection[UUID],
    *,
    levels: int = 2,
    first: int = 3,
    descending: bool = False,
) -> Mapping[UUID, ViewPage[CommentView]]:
    """Return the replies to comments of a thread, and those to them, by the comment they reply to.

    A comment without replies is left out. All levels are read by one statement.
    :func:`read_replies` goes on from the cursors of a page.
    Nothing is returned for a thread that the viewer may not read.

    :param levels: how many levels of replies are read.
    :param first: how many replies to a comment are read on each level.
    :param descending: whether the latest comes first.
    :raises BadUserInput: for more than 2,500 rows below a comment, with one more for each page.
    """
    expect_type(UUID, thread_id=thread_id)
    arguments = PageArguments(first)
    order = COMMENTS["CREATED_AT", descending]
    window = arguments.window(order, MAX_PAGE_SIZE, of_replies=True)
    if not isinstance(levels, int) or levels < 1 or not window.may_read_levels(levels):
        message = f"levels must be a number from 1, and below a comment at most {MAX_TREE:,} rows."
        raise BadUserInput(message, field="levels")
    reader, access = await begin(connection, access)
    columns = ThreadContext._fields
    thread = await read_one(reader, Thread, thread_id, columns, access.read_condition())
    if thread is None or not comment_ids:
        return {}
    pages = await read_comment_pages(reader, comment_ids, window, COMMENT_VIEW_FIELDS, levels)
    pages = {
        id: page
        for id, page in pages.items()
        # An empty page would tell that a hidden comment is there.
        if page.rows and all(row["thread_id"] == thread_id for row in page.rows)
    }
    rows = [row for page in pages.values() for row in page.rows]
    names, context = await read_names(reader, rows), thread_context(thread)
    return {id: await view_page(access, page, context, names) for id, page in pages.items()}
