"""Views: the threads and comments that a page rendered on the server shows to one viewer.

These functions are the counterpart of the changes in :mod:`tallied.resolvers.threads` and
:mod:`tallied.resolvers.comments`. A host passes a connection and the access of the viewer, and gets
what the API would return: threads that the viewer may read, with names, HTML and permissions, in
pages with the API's own cursors. Each function runs a few statements, whatever the page's size.

    async with discussion.database.read() as connection:
        page = await views.read_comments(connection, access, thread_id, last=50)

The connection may also be a host's own, or the session of a unit of work. An argument of another
type than its annotation is a ``TypeError``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

from ..database.row_reader import EngineReader, RowReader
from ..host.access import Access
from ..host.policy import ThreadContext
from ..models import Comment, Thread
from . import unread, withdrawn_texts
from .author_counts import disclose_counts
from .latest_views import read_latest_comments as read_latest_comments
from .latest_views import read_moderation_queue as read_moderation_queue
from .pagination.arguments import PageArguments, Record, RequestedFields, Window
from .pagination.filters import CommentFilter, ThreadFilter, comments_since
from .pagination.keyset import read_page
from .pagination.orders import COMMENTS, NUMBERED_COMMENTS, THREADS
from .queries import read_comment_pages, read_many, read_one, read_target_thread
from .reaction_queries import read_reaction_groups
from .reply_views import read_around as read_around
from .reply_views import read_replies as read_replies
from .reply_views import read_trees as read_trees
from .revisions import ReadRevision as ReadRevision
from .revisions import read_revisions
from .rows import thread_context
from .target_counts import TargetKey, check_targets, read_target_counts
from .validation import expect_type
from .view_building import (
    COMMENT_VIEW_COLUMNS,
    COMMENT_VIEW_FIELDS,
    THREAD_VIEW_COLUMNS,
    begin,
    comment_view,
    read_names,
    thread_view,
    view_page,
)
from .view_building import MAX_PAGE_SIZE as MAX_PAGE_SIZE
from .view_building import ReadConnection as ReadConnection
from .view_types import CommentPage as CommentPage
from .view_types import CommentSurroundings as CommentSurroundings
from .view_types import CommentView as CommentView
from .view_types import MixedPage as MixedPage
from .view_types import QueuedComment as QueuedComment
from .view_types import ReactionGroup as ReactionGroup
from .view_types import TargetCounts as TargetCounts
from .view_types import ThreadView as ThreadView
from .view_types import Unread as Unread
from .view_types import ViewPage as ViewPage
from .view_types import WithdrawnTextView as WithdrawnTextView

ThreadOrder: TypeAlias = Literal["CREATED_AT", "LAST_COMMENT_AT", "COMMENT_COUNT", "WORD_COUNT"]


async def read_thread(connection: ReadConnection, access: Access, id: UUID) -> ThreadView | None:
    """Return a thread, or None if there is none that the viewer may read."""
    expect_type(UUID, id=id)
    reader, access = await begin(connection, access)
    row = await read_one(reader, Thread, id, THREAD_VIEW_COLUMNS, access.read_condition())
    return await _thread(reader, access, row)


async def read_thread_for(
    connection: ReadConnection, access: Access, target_type: str, target_id: str
) -> ThreadView | None:
    """Return the thread about an object of the host, or None if there is none to read.

    :raises UnknownTargetType: for a type that is not registered.
    """
    expect_type(Access, access=access)
    expect_type(str, target_type=target_type, target_id=target_id)
    access.rules.target(target_type)
    reader, access = await begin(connection, access)
    read_condition = access.read_condition()
    row = await read_target_thread(
        reader, target_type, target_id, THREAD_VIEW_COLUMNS, read_condition
    )
    return await _thread(reader, access, row)


async def read_threads(
    connection: ReadConnection,
    access: Access,
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    order_by: ThreadOrder = "LAST_COMMENT_AT",
    descending: bool = True,
    filter_by: ThreadFilter | None = None,
) -> ViewPage[ThreadView]:
    """Return a page of the threads that the viewer may read; the arguments are the API's.

    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    reader, access = await begin(connection, access)
    if (order_by, descending) not in THREADS:
        raise TypeError(f"order_by must be one of {', '.join(get_args(ThreadOrder))}.")
    _expect_filter(ThreadFilter, filter_by)
    order, arguments = THREADS[order_by, descending], PageArguments(first, last, after, before)
    window = arguments.window(order, MAX_PAGE_SIZE, filter_by, access.read_condition())
    page = await read_page(reader, window, RequestedFields(THREAD_VIEW_COLUMNS, True, True, True))
    names = await read_names(reader, page.rows)
    nodes = [
        thread_view(access, row, names, cursor)
        for row, cursor in zip(page.rows, page.cursors, strict=True)
    ]
    return ViewPage(nodes=nodes, has_previous_page=page.has_previous, has_next_page=page.has_next)


async def read_comments(
    connection: ReadConnection,
    access: Access,
    thread_id: UUID,
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    descending: bool = False,
    filter_by: CommentFilter | None = None,
) -> CommentPage | None:
    """Return a page of a thread's comments, or None if the viewer may read no such thread.

    :param descending: whether the latest comes first.
    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    _expect_filter(CommentFilter, filter_by)
    order, arguments = COMMENTS["CREATED_AT", descending], PageArguments(first, last, after, before)
    return await _comment_page(
        connection, access, thread_id, arguments.window(order, MAX_PAGE_SIZE, filter_by)
    )


async def read_comments_since(
    connection: ReadConnection,
    access: Access,
    thread_id: UUID,
    seq: int,
    *,
    first: int | None = None,
    after: str | None = None,
) -> CommentPage | None:
    """Return the comments after a number, or None if the viewer may read no such thread.

    They are of all levels, in the order of :attr:`.Comment.seq`. A poller goes on with the number
    of the last one, and gets each comment once.

    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    expect_type(int, seq=seq)
    order, arguments = NUMBERED_COMMENTS["SEQ", False], PageArguments(first, after=after)
    return await _comment_page(
        connection, access, thread_id, arguments.window(order, MAX_PAGE_SIZE, comments_since(seq))
    )


async def _comment_page(
    connection: ReadConnection, access: Access, thread_id: UUID, window: Window
) -> CommentPage | None:
    expect_type(UUID, thread_id=thread_id)
    reader, access = await begin(connection, access)
    thread = await read_one(reader, Thread, thread_id, THREAD_VIEW_COLUMNS, access.read_condition())
    if thread is None:
        return None
    pages = await read_comment_pages(reader, [thread_id], window, COMMENT_VIEW_FIELDS)
    page = pages.get(thread_id)
    if page is None:
        return None  # The thread was deleted meanwhile.
    names = await read_names(reader, [thread, *page.rows])
    comments = await view_page(access, page, thread_context(thread), names)
    return CommentPage(thread=thread_view(access, thread, names), **vars(comments))


async def read_comment(connection: ReadConnection, access: Access, id: UUID) -> CommentView | None:
    """Return a comment, or None if there is none that the viewer may read."""
    expect_type(UUID, id=id)
    reader, access = await begin(connection, access)
    condition = access.read_condition()
    row = await read_one(reader, Comment, id, COMMENT_VIEW_COLUMNS, condition)
    if row is None:
        return None
    thread = await read_one(reader, Thread, row["thread_id"], ThreadContext._fields, condition)
    if thread is None:
        return None
    names = await read_names(reader, [row])
    return await comment_view(access, row, thread_context(thread), names)


async def read_counts(
    connection: ReadConnection, access: Access, targets: Iterable[tuple[str, str]]
) -> list[TargetCounts]:
    """Return the counts of objects of the host, in their order, by one statement.

    A thread that is not there, and one that the viewer may not read, has no comments.

    :param targets: the type and the id of each object: at most 100.
    :raises BadUserInput: for more objects.
    :raises UnknownTargetType: for a type that is not registered.
    """
    expect_type(Access, access=access)
    keys = [TargetKey(*target) for target in targets]
    for type, id in keys:
        expect_type(str, target_type=type, target_id=id)
    check_targets(access.rules, keys)
    reader, access = await _begin_by_condition(connection, access)
    return await read_target_counts(reader, keys, access.read_condition())


async def read_reactions(
    connection: ReadConnection, access: Access, comment_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[ReactionGroup]]:
    """Return the reactions to comments that the viewer may read, by one statement.

    :returns: the kinds by comment; a comment without reactions is left out.
    """
    expect_type(Access, access=access)
    for id in comment_ids:
        expect_type(UUID, comment_id=id)
    reader, access = await _begin_by_condition(connection, access)
    return await read_reaction_groups(
        reader, access.rules, access.viewer, list(comment_ids), access.read_condition()
    )


async def read_history(
    connection: ReadConnection, access: Access, comment_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[ReadRevision]]:
    """Return the revisions of comments that the viewer may read, the oldest first.

    :returns: the revisions by comment; a comment without a history, or with one that the viewer
        may not read, is left out.
    """
    for id in comment_ids:
        expect_type(UUID, comment_id=id)
    reader, access = await begin(connection, access)
    hidden = access.moderates_all
    ids = await _read_permitted(reader, access, Comment, comment_ids, with_hidden=hidden)
    revisions = await read_revisions(reader, access, ids)
    condition = access.read_condition()
    if condition is None:
        return revisions
    editors = [row.editor for rows in revisions.values() for row in rows]
    disclosed = await disclose_counts(reader, condition, editors)
    return {
        id: [row._replace(editor=row.editor and disclosed[row.editor["id"]]) for row in rows]
        for id, rows in revisions.items()
    }


async def read_withdrawn_texts(
    connection: ReadConnection, access: Access, comment_ids: Collection[UUID]
) -> Mapping[UUID, WithdrawnTextView]:
    """Return what hidden and deleted comments with replies said.

    :returns: the texts by comment; one that the viewer may not read is left out.
    """
    for id in comment_ids:
        expect_type(UUID, comment_id=id)
    reader, access = await begin(connection, access)
    ids = await _read_permitted(reader, access, Comment, comment_ids, with_hidden=True)
    texts = await withdrawn_texts.read_withdrawn_texts(reader, access, ids)
    return {
        id: WithdrawnTextView(
            text.message,
            None if text.author is None else text.author["id"],
            text.name(access.rules),
        )
        for id, text in texts.items()
    }


async def read_unread(
    connection: ReadConnection, access: Access, thread_ids: Collection[UUID]
) -> Mapping[UUID, Unread]:
    """Return what the viewer has not read of threads that they may read, by one statement.

    :returns: the unread comments by thread; none at all for a guest.
    """
    expect_type(Access, access=access)
    for id in thread_ids:
        expect_type(UUID, thread_id=id)
    reader, access = await _begin_by_condition(connection, access)
    ids = await _read_permitted(reader, access, Thread, thread_ids, with_hidden=True)
    return await unread.read_unread(reader, access.viewer, ids)


async def _begin_by_condition(
    connection: ReadConnection, access: Access
) -> tuple[RowReader, Access]:
    """Begin as :func:`.begin` does, without the viewer's author if no condition needs it."""
    if access.reads_by_author:
        return await begin(connection, access)
    return EngineReader(connection), access


async def _read_permitted(
    reader: RowReader,
    access: Access,
    entity: type[Thread | Comment],
    ids: Collection[UUID],
    *,
    with_hidden: bool,
) -> list[UUID]:
    """Return those of these keys whose rows are in threads that the viewer may read.

    :param with_hidden: whether comments are among them that do not exist for readers.
    """
    condition = access.read_condition()
    if with_hidden and condition is None:
        return list(ids)
    hidden = {"with_hidden": with_hidden}
    return list(await read_many(reader, entity, ids, ("id",), condition, **hidden))


async def _thread(reader: RowReader, access: Access, row: Record | None) -> ThreadView | None:
    if row is None:
        return None
    return thread_view(access, row, await read_names(reader, [row]))


def _expect_filter(type_: type[Any], filter_by: object) -> None:
    if filter_by is not None:
        expect_type(type_, filter_by=filter_by)
