"""Views of comments in several threads: the latest ones, and those that wait for a moderator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar
from uuid import UUID

from ..database.row_reader import RowReader
from ..host.access import Access
from ..models import Thread
from .pagination.arguments import PageArguments, Record, RequestedFields, RowPage
from .pagination.filters import CommentFilter, Queue
from .pagination.keyset import read_page
from .pagination.orders import COMMENTS
from .queries import is_in_thread, read_many
from .rows import thread_context
from .validation import expect_type
from .view_building import (
    COMMENT_VIEW_COLUMNS,
    MAX_PAGE_SIZE,
    THREAD_VIEW_COLUMNS,
    ReadConnection,
    begin,
    comment_view,
    read_names,
    thread_view,
)
from .view_types import CommentView, MixedPage, QueuedComment

T = TypeVar("T", bound=CommentView)

_QUEUE_COLUMNS = ("status", "pending_reason", "flagged", "flag_count")


async def read_latest_comments(
    connection: ReadConnection,
    access: Access,
    *,
    author_id: UUID | None = None,
    thread_id: UUID | None = None,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
) -> MixedPage[CommentView]:
    """Return a page of the comments in all threads that the viewer may read, the latest first.

    They are of all levels; deleted ones are left out.

    :param author_id: the author of the comments; by default, everyone.
    :param thread_id: the thread of the comments; by default, all threads.
    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    for name, id in (("author_id", author_id), ("thread_id", thread_id)):
        if id is not None:
            expect_type(UUID, **{name: id})
    comments = CommentFilter(
        author_id=author_id, thread_id=thread_id, top_level_only=False, published_only=True
    )
    reader, access = await begin(connection, access)
    arguments = PageArguments(first, last, after, before)
    return await _read_page(reader, access, arguments, comments, lambda view, _: view)


async def read_moderation_queue(
    connection: ReadConnection,
    access: Access,
    *,
    part: Queue = "ALL",
    thread_id: UUID | None = None,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
) -> MixedPage[QueuedComment]:
    """Return a page of the comments about which a moderator is to decide, the latest first.

    :param part: those that wait (``PENDING``), the flagged ones (``FLAGGED``), or both (``ALL``).
    :param thread_id: the thread of the comments; by default, all threads.
    :raises SignInRequired, NotAllowed: for a viewer who may not moderate all threads.
    :raises BadUserInput: for a size that is not a number from 1 to 1000, or a cursor of another
        order.
    """
    if thread_id is not None:
        expect_type(UUID, thread_id=thread_id)
    comments = CommentFilter(top_level_only=False, queue=part, thread_id=thread_id)
    reader, access = await begin(connection, access)
    access.require(access.moderates_all, "list hidden comments")
    arguments = PageArguments(first, last, after, before)
    return await _read_page(reader, access, arguments, comments, _queued_comment)


def _queued_comment(view: CommentView, row: Record) -> QueuedComment:
    return QueuedComment(**vars(view), **{name: row[name] for name in _QUEUE_COLUMNS})


async def _read_page(
    reader: RowReader,
    access: Access,
    arguments: PageArguments,
    comments: CommentFilter,
    make: Callable[[CommentView, Record], T],
) -> MixedPage[T]:
    """Return a page of what `make` returns for each comment."""
    condition = access.read_condition()
    window = arguments.window(
        COMMENTS["CREATED_AT", True],
        MAX_PAGE_SIZE,
        comments,
        None if condition is None else is_in_thread(condition),
    )
    columns = COMMENT_VIEW_COLUMNS.union(_QUEUE_COLUMNS)
    page = await read_page(reader, window, RequestedFields(columns, True, True, True))
    threads, names = await _read_threads(reader, access, page)
    nodes = []
    for row, cursor in _rows_in(page, threads):
        context = thread_context(threads[row["thread_id"]])
        nodes.append(make(await comment_view(access, row, context, names, cursor), row))
    return MixedPage(
        nodes=nodes,
        has_previous_page=page.has_previous,
        has_next_page=page.has_next,
        threads={id: thread_view(access, thread, names) for id, thread in threads.items()},
    )


async def _read_threads(
    reader: RowReader, access: Access, page: RowPage
) -> tuple[Mapping[UUID, Record], Mapping[UUID, str | None]]:
    """Return the threads of the comments, and the names of all authors."""
    ids = {row["thread_id"] for row in page.rows}
    threads = {}
    if ids:
        condition = access.read_condition()
        threads = await read_many(reader, Thread, ids, THREAD_VIEW_COLUMNS, condition)
    return threads, await read_names(reader, [*threads.values(), *page.rows])


def _rows_in(page: RowPage, threads: Collection[UUID]) -> Iterator[tuple[Record, str]]:
    """Yield the comments with their cursors, but for those of a thread that was just deleted."""
    for row, cursor in zip(page.rows, page.cursors, strict=True):
        if row["thread_id"] in threads:
            yield row, cursor
