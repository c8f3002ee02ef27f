"""Reading: what a page that is put together on the server shows to one viewer.

The counterpart of the changes in :mod:`tallied.resolvers.threads` and
:mod:`tallied.resolvers.comments`: a host calls these functions with a
connection and with the access of whoever looks on, and gets what the API would hand out.
Threads that the viewer may not read are not there; names, HTML and what the viewer may do
come along; and pages go by the API's own cursors. Each costs a few statements, whatever the
size of the page.

    async with discussion.database.read() as connection:
        page = await reading.read_comments(connection, access, thread_id, last=50)

The connection may be a host's own, too, or the session of a unit of work. An argument of another
type than is written here is a ``TypeError``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..host.access import Access
from ..host.policy import COMMENT_COLUMNS, CommentContext, ThreadContext
from ..models import Author, Comment, Thread
from .authors import with_author
from .pagination.arguments import Record, RequestedFields, read_window
from .pagination.filters import CommentFilter, ThreadFilter
from .pagination.keyset import read_page
from .pagination.orders import COMMENTS, THREADS
from .queries import read_comment_pages, read_many, read_one, read_target_thread
from .rendering import render_fairly
from .rows import THREAD_COLUMNS, thread_context
from .validation import expect_type
from .view_types import CommentPage as CommentPage
from .view_types import CommentView as CommentView
from .view_types import ThreadView as ThreadView
from .view_types import ViewPage as ViewPage

ReadConnection: TypeAlias = AsyncConnection | AsyncSession
ThreadOrder: TypeAlias = Literal["CREATED_AT", "LAST_COMMENT_AT", "COMMENT_COUNT", "WORD_COUNT"]

MAX_PAGE_SIZE = 1000
"""The most rows of a page."""

_OF_THREADS = frozenset(column.key for column in THREAD_COLUMNS)
_OF_COMMENTS = frozenset([*COMMENT_COLUMNS, "author_name", "message", "word_count"])


async def read_thread(reader: ReadConnection, access: Access, id: UUID) -> ThreadView | None:
    """A thread; None where there is none that the viewer may read."""
    expect_type(UUID, id=id)
    connection, access = await _begin(reader, access)
    row = await read_one(connection, Thread, id, _OF_THREADS, access.readable())
    return await _thread(connection, access, row)


async def read_thread_for(
    reader: ReadConnection, access: Access, target_type: str, target_id: str
) -> ThreadView | None:
    """The thread about an object of the host; None where there is none that they may read.

    :raises UnknownTargetType: for a type that is not registered.
    """
    expect_type(Access, access=access)
    expect_type(str, target_type=target_type, target_id=target_id)
    access.rules.target(target_type)
    connection, access = await _begin(reader, access)
    readable = access.readable()
    row = await read_target_thread(connection, target_type, target_id, _OF_THREADS, readable)
    return await _thread(connection, access, row)


async def read_threads(
    reader: ReadConnection,
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
    """A page of the threads that the viewer may read; the arguments are those of the API.

    :raises BadUserInput: for a size that is no number from 1 to 1000, or a cursor of another
        order.
    """
    connection, access = await _begin(reader, access)
    which = read_window(
        THREADS[order_by, descending],
        limit=MAX_PAGE_SIZE,
        first=first,
        last=last,
        after=after,
        before=before,
        filter=filter_by,
        readable=access.readable(),
    )
    page = await read_page(connection, which, RequestedFields(_OF_THREADS, True, True, True))
    names = await _names(connection, page.rows)
    nodes = [
        _thread_view(access, row, names, cursor)
        for row, cursor in zip(page.rows, page.cursors, strict=True)
    ]
    return ViewPage(nodes=nodes, has_previous_page=page.has_previous, has_next_page=page.has_next)


async def read_comments(
    reader: ReadConnection,
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
    """A page of a thread's comments; None where there is no thread that the viewer may read.

    :param descending: the latest first; by default, the oldest.
    :raises BadUserInput: for a size that is no number from 1 to 1000, or a cursor of another
        order.
    """
    expect_type(UUID, thread_id=thread_id)
    which = read_window(
        COMMENTS["CREATED_AT", descending],
        limit=MAX_PAGE_SIZE,
        first=first,
        last=last,
        after=after,
        before=before,
        filter=filter_by,
    )
    connection, access = await _begin(reader, access)
    thread = await read_one(connection, Thread, thread_id, _OF_THREADS, access.readable())
    if thread is None:
        return None
    asked = RequestedFields(_OF_COMMENTS, True, True, True)
    page = (await read_comment_pages(connection, [thread_id], which, asked)).get(thread_id)
    if page is None:
        return None  # It has been deleted meanwhile.
    names = await _names(connection, [thread, *page.rows])
    facts = thread_context(thread)
    return CommentPage(
        thread=_thread_view(access, thread, names),
        nodes=[
            await _comment_view(access, row, facts, names, cursor)
            for row, cursor in zip(page.rows, page.cursors, strict=True)
        ],
        has_previous_page=page.has_previous,
        has_next_page=page.has_next,
    )


async def read_comment(reader: ReadConnection, access: Access, id: UUID) -> CommentView | None:
    """A comment; None where there is none that the viewer may read."""
    expect_type(UUID, id=id)
    connection, access = await _begin(reader, access)
    readable = access.readable()
    row = await read_one(connection, Comment, id, _OF_COMMENTS, readable)
    if row is None:
        return None
    thread = await read_one(connection, Thread, row["thread_id"], ThreadContext._fields, readable)
    if thread is None:
        return None
    names = await _names(connection, [row])
    return await _comment_view(access, row, thread_context(thread), names)


async def _begin(reader: ReadConnection, access: Access) -> tuple[AsyncConnection, Access]:
    expect_type(Access, access=access)
    if isinstance(reader, AsyncSession):
        reader = await reader.connection()
    return reader, await with_author(reader, access)


async def _thread(
    connection: AsyncConnection, access: Access, row: Record | None
) -> ThreadView | None:
    if row is None:
        return None
    return _thread_view(access, row, await _names(connection, [row]))


async def _names(
    connection: AsyncConnection, rows: Collection[Record]
) -> Mapping[UUID, str | None]:
    """The names of those who have written, in one statement, if there is anybody."""
    ids = {row["author_id"] for row in rows} - {None}
    found = await read_many(connection, Author, ids, ("name",)) if ids else {}
    return {id: row["name"] for id, row in found.items()}


def _thread_view(
    access: Access, row: Record, names: Mapping[UUID, str | None], cursor: str = ""
) -> ThreadView:
    facts = thread_context(row)
    return ThreadView(
        **_only(row, _OF_THREADS),
        author_name=names.get(row["author_id"]),
        cursor=cursor,
        viewer_can_comment=facts.locked_at is None and access.may("may_comment", facts),
        viewer_can_rename=access.may("may_rename", facts),
        viewer_can_lock=access.may("may_lock", facts),
        viewer_can_delete=access.may("may_delete_thread", facts),
    )


async def _comment_view(
    access: Access,
    row: Record,
    thread: ThreadContext,
    names: Mapping[UUID, str | None],
    cursor: str = "",
) -> CommentView:
    facts = CommentContext._make([*(row[name] for name in COMMENT_COLUMNS), thread])
    return CommentView(
        **_only(row, _OF_COMMENTS - {"author_name"}),
        author_name=_author_name(access, row, names),
        message_html=await render_fairly(access.rules.render, row["message"]),
        cursor=cursor,
        viewer_can_edit=access.may("may_edit", facts),
        viewer_can_move=access.may("may_move", facts),
        viewer_can_delete=access.may("may_delete", facts),
    )


def _author_name(access: Access, row: Record, names: Mapping[UUID, str | None]) -> str | None:
    if row["author_id"] in names:
        return names[row["author_id"]]
    name: str | None = row["author_name"]
    return access.rules.deleted_author() if name is None else name


def _only(row: Record, names: Collection[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}
