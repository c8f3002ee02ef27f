"""Comments that are added together, in one transaction and by one flush.

The threads are locked in the order of their keys. A comment whose thread or author another
transaction has locked is deferred, so that the others do not wait. One that is refused has written
nothing. Each is answered with the counters of its thread as they are after its own row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BindParameter, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.group_commit import Deferral, SharedWork
from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.policy import ThreadContext
from ..models import Comment, Thread
from ..models.comment import is_shown
from ..models.counters import counters
from .authors import lock_free_authors
from .changes import ChangedRows, finish
from .chronology import find_time_after
from .comment_drafts import CommentDraft
from .comments import add_draft
from .list_statements import ListStatement
from .locking import require_open
from .pagination.arguments import Record
from .review import review_new
from .rows import THREAD_COLUMNS, THREAD_NAMES, loaded_values, thread_context
from .validation import check_length

Result = ChangedRows | Exception | Deferral


class SharedComments(SharedWork[CommentDraft, ChangedRows]):
    """The additions of comments that may share a transaction."""

    def key_of(self, item: CommentDraft) -> UUID | None:
        """Return the thread, whose lock the comment needs.

        None if the viewer may have no right to comment there: a wait would tell of the thread.
        """
        return None if item.checks_thread_first else item.thread_id

    async def run(self, unit: UnitOfWork, item: CommentDraft) -> ChangedRows:
        """Add one comment."""
        return await add_draft(unit, item)

    async def run_together(
        self, units: Sequence[UnitOfWork], items: Sequence[CommentDraft], *, waits: bool
    ) -> Sequence[Result]:
        """Add several comments."""
        batch = CommentBatch(units[0].session, waits=waits)
        await batch.lock(items)
        rows = [await batch.build_row(item) for item in items]
        await asyncio.sleep(0)  # for others, since the flush takes about as long
        new = [row for row in rows if isinstance(row, NewRow)]
        batch.session.add_all([row.comment for row in new])
        await batch.session.flush()
        threads = batch.sum_up([row.comment for row in new])
        results: list[Result] = []
        for unit, row in zip(units, rows, strict=True):
            if isinstance(row, NewRow):
                change = ChangedRows(threads[row.comment], loaded_values(row.comment))
                results.append(await finish(unit, row.writer, "add_comment", change))
            else:
                results.append(row)
        return results


class NewRow(NamedTuple):
    """The row of a comment, and the access of the viewer who writes it."""

    comment: Comment
    writer: Access


class CommentBatch:
    """The rows of one shared transaction.

    :param waits: whether to wait for the lock of the one thread.
    """

    def __init__(self, session: AsyncSession, *, waits: bool) -> None:
        self.session = session
        self._waits = waits
        self._threads: Mapping[UUID, Record] = {}
        self._authors: Mapping[str, tuple[UUID, str | None]] = {}
        self._latest: dict[UUID, datetime | None] = {}
        self._keys: set[str] = set()

    async def lock(self, items: Sequence[CommentDraft]) -> None:
        """Lock the authors and the threads of the comments."""
        self._authors = await lock_free_authors(self.session, (item.access for item in items))
        keys = {item.thread_id for item in items if self._access_of(item) is not None}
        if keys:
            self._threads = await lock_thread_rows(self.session, keys, skip_locked=not self._waits)
        self._latest = {id: row["last_comment_at"] for id, row in self._threads.items()}

    async def build_row(self, item: CommentDraft) -> NewRow | Exception | Deferral:
        """Return the new row, the error of a comment that is refused, or how to add it."""
        writer = self._access_of(item)
        thread = self._threads.get(item.thread_id)
        if writer is None or item.key in self._keys:
            return Deferral.ALONE
        if thread is None:
            may_wait = not self._waits and not item.checks_thread_first
            return Deferral.BY_KEY if may_wait else Deferral.ALONE
        author_id = None if writer.viewer is None else writer.viewer.author_id
        try:
            context = _check(item, thread)
            comment = item.build(author_id, find_time_after(self._latest[item.thread_id]))
            if item.access.rules.comment_checks:
                await review_new(self.session, writer, comment, context)
        except Exception as error:
            return error
        if is_shown(comment.status):
            self._latest[item.thread_id] = comment.created_at
        if item.key is not None:
            self._keys.add(item.key)
        return NewRow(comment, writer)

    def _access_of(self, item: CommentDraft) -> Access | None:
        """Return the access with the viewer's author; None if that row is to be written first."""
        viewer = item.access.viewer
        if viewer is None:
            return item.access
        author = self._authors.get(viewer.subject)
        if author is None or (viewer.name is not None and viewer.name != author[1]):
            return None
        return item.access.with_author(author[0])

    def sum_up(self, comments: Sequence[Comment]) -> dict[Comment, Record]:
        """Return the thread of each comment, with the counters after that comment."""
        rows: dict[UUID, tuple[Record, dict[str, Any]]] = {}
        threads: dict[Comment, Record] = {}
        flushed = counters.all_flushed_values(self.session, Thread)
        for comment in comments:
            id = comment.thread_id
            pair = rows.get(id)
            if pair is None:
                before = self._threads[id]
                after = {**before, **flushed.get((id,), {})}
                pair = rows[id] = after, {name: before[name] for name in _SUMS}
            row, sums = pair
            if comment.shown:
                sums["comment_count"] += 1
                sums["top_level_count"] += 1
                sums["word_count"] += comment.word_count
                sums["last_comment_at"], sums["last_seq"] = comment.created_at, comment.seq
            else:
                sums["pending_count"] += 1
            threads[comment] = {**row, **sums}
        return threads


_SUMS = (
    "comment_count",
    "top_level_count",
    "word_count",
    "pending_count",
    "last_comment_at",
    "last_seq",
)
"""The columns of a thread that a new comment changes."""


async def lock_thread_rows(
    session: AsyncSession, ids: Collection[UUID], *, skip_locked: bool
) -> dict[UUID, Record]:
    """Return rows of threads by their keys, under locks that are taken in the order of the keys.

    :param skip_locked: whether to leave out those that another transaction has locked.
    """
    rows = await _LOCK_THREADS[skip_locked].fetch(session, Thread, list(ids))
    threads: dict[UUID, Record] = {
        row[0]: dict(zip(THREAD_NAMES, row, strict=True)) for row in rows
    }
    # It spares the flush the locks that it takes to number comments.
    counters.record_locks(session.sync_session, Thread, threads)
    return threads


def _select_threads(ids: list[BindParameter[Any]], *, skip_locked: bool) -> Select[Any]:
    query = select(*THREAD_COLUMNS).where(Thread.id.in_(ids)).order_by(Thread.id)
    return query.with_for_update(key_share=True, of=Thread, skip_locked=skip_locked)


_LOCK_THREADS = {
    skip_locked: ListStatement(partial(_select_threads, skip_locked=skip_locked), Thread.id.type)
    for skip_locked in (False, True)
}


def _check(item: CommentDraft, thread: Record) -> ThreadContext:
    """Check a comment in the order in which one by itself is checked; return its thread."""
    rules, context = item.access.rules, thread_context(thread)
    if not item.checks_thread_first:
        rules.check_message(item.message)
    require_open(item.access, context)
    if item.checks_thread_first:
        rules.check_message(item.message)
    check_length(item.message, "message", rules.message_length_of(context.target_type))
    return context


SHARED_COMMENTS = SharedComments()
