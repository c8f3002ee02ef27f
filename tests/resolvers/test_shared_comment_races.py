"""Comments against another change of their thread, with group commit on and off.

Each race is forced in both orders: the first is flushed and holds its transaction open; the second
runs until it waits; then the first commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import select
from support.host import ADA, blocked
from support.shared_units import Shared, find_drifts, read_messages, store_threads

from tallied.database import Database, UnitOfWork
from tallied.errors import Locked, NotFound
from tallied.host.access import Access
from tallied.models import Author, Thread
from tallied.resolvers import shared_comments
from tallied.resolvers.authors import delete_author
from tallied.resolvers.changes import ChangedRows
from tallied.resolvers.comment_drafts import CommentDraft
from tallied.resolvers.comments import add_draft, delete_comment, edit_comment, move_comment
from tallied.resolvers.rows import THREAD_COLUMNS
from tallied.resolvers.threads import delete_thread, lock_thread


@dataclass
class Board:
    """A thread that both sides change, with a stored comment; and two others."""

    database: Database
    shared: Shared
    thread: UUID
    other: UUID
    free: UUID
    comment: UUID
    author: UUID
    go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host(self) -> Access:
        """The access of the host, who may do everything."""
        return Access(self.shared.rules).as_host()

    async def pause(self, unit: UnitOfWork | None = None) -> None:
        """Wait with an open transaction for the other side."""
        self.arrived.set()
        await self.go.wait()


Change: TypeAlias = Callable[[Board, UnitOfWork], Awaitable[Any]]

CHANGES: dict[str, Change] = {
    "edit": lambda board, unit: edit_comment(unit, board.host, board.comment, "one two three"),
    "move": lambda board, unit: move_comment(unit, board.host, board.comment, board.other),
    "delete": lambda board, unit: delete_comment(unit, board.host, board.comment),
    "lock": lambda board, unit: lock_thread(unit, board.host, board.thread),
    "delete thread": lambda board, unit: delete_thread(unit, board.host, board.thread),
    "delete author": lambda board, unit: delete_author(unit, board.host, board.author),
}

REFUSED = {"lock": Locked, "delete thread": NotFound}
"""The error of a comment on the thread after a change that closes it."""


async def set_board(database: Database) -> Board:
    shared = Shared(database)
    thread, other, free = await store_threads(database, 3)
    first = shared.draft(thread, "stored words", ADA)
    stored = await database.write(lambda unit: add_draft(unit, first))
    assert stored.comment is not None
    ids = (stored.comment["id"], stored.comment["author_id"])
    return Board(database, shared, thread, other, free, *ids)


async def add_all(
    board: Board, drafts: Sequence[CommentDraft], *, group_commit: bool, held: bool
) -> list[asyncio.Task[ChangedRows]]:
    """Begin to add comments: in one transaction, or in one for each.

    :param held: whether to wait after the flush, with the transaction still open.
    """
    if group_commit:
        if held:
            board.shared.work.after_batch = board.pause
        tasks = await board.shared.queue(drafts)
        board.shared.release()
        return tasks

    async def add(unit: UnitOfWork, draft: CommentDraft) -> ChangedRows:
        change = await add_draft(unit, draft)
        unit.on_commit = lambda: board.shared.acknowledged.append(draft.message)
        if held:
            await board.pause()
        return change

    writes = [board.database.write(lambda unit, d=draft: add(unit, d)) for draft in drafts]
    board.shared.release()
    return [asyncio.ensure_future(write) for write in writes]


async def run_race(
    board: Board, change: Change, *, group_commit: bool, comments_first: bool
) -> list[Any]:
    """Run a race, and return the results and errors of the comments."""
    try:
        return await asyncio.wait_for(
            _run_race(board, change, group_commit=group_commit, comments_first=comments_first), 60
        )
    finally:
        board.go.set()  # or nobody could close the database


async def _run_race(
    board: Board, change: Change, *, group_commit: bool, comments_first: bool
) -> list[Any]:
    async def work(unit: UnitOfWork) -> Any:
        result = await change(board, unit)
        if not comments_first:
            await board.pause()
        return result

    shared = board.shared
    pairs = ((board.thread, "a b", ADA), (board.free, "c", None), (board.thread, "d", None))
    drafts = [shared.draft(*pair) for pair in pairs]
    first = await shared.hold(shared.draft(board.free, "first"))
    other = None if comments_first else asyncio.ensure_future(board.database.write(work))
    if other is not None and not board.database.is_sqlite:
        await board.arrived.wait()
    tasks = await add_all(board, drafts, group_commit=group_commit, held=comments_first)
    await first
    await board.arrived.wait()
    if other is None:
        other = asyncio.ensure_future(board.database.write(work))
        await blocked(board.database, other)
    else:
        await blocked(board.database, tasks[0])
    board.go.set()
    await other
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("group_commit", [True, False], ids=["group", "alone"])
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("comments_first", [True, False], ids=["ahead", "behind"])
async def test_race_of_comments_ends_exact(
    database: Database, name: str, group_commit: bool, comments_first: bool
) -> None:
    await check_race(database, name, group_commit=group_commit, comments_first=comments_first)


@pytest.mark.parametrize("name", ["lock", "delete author"])
async def test_shared_comments_behind_change_end_exact(database: Database, name: str) -> None:
    await check_race(database, name, group_commit=True, comments_first=False)


async def check_race(
    database: Database, name: str, *, group_commit: bool, comments_first: bool
) -> None:
    board = await set_board(database)
    results = await run_race(
        board, CHANGES[name], group_commit=group_commit, comments_first=comments_first
    )
    refused = REFUSED.get(name)
    if refused is not None and not comments_first:
        assert [type(result) for result in results] == [refused, ChangedRows, refused]
    elif group_commit or refused is None:
        assert [type(result) for result in results] == [ChangedRows] * 3, results
    else:  # the third stood in the queue of the lock, before or behind the change
        assert [type(result) for result in results[:2]] == [ChangedRows] * 2
        assert isinstance(results[2], (ChangedRows, refused))
    accepted = {r.comment["message"] for r in results if isinstance(r, ChangedRows)}
    assert {*board.shared.acknowledged} == {"first", *accepted}
    stored = {*await read_messages(database)}
    gone = {"a b", "d"} if name == "delete thread" else set()
    assert stored - {"stored words", "one two three"} == {"first", *accepted} - gone
    assert await find_drifts(database) == []
    async with database.read() as connection:
        subjects = list(await connection.scalars(select(Author.subject)))
    assert subjects == ([] if name == "delete author" and comments_first else [ADA.subject])


# Each protection is needed


async def test_without_locks_a_comment_follows_the_lock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("one transaction writes at a time")

    async def read(session: Any, ids: Any, *, skip_locked: bool) -> Any:
        query = select(*THREAD_COLUMNS).where(Thread.id.in_(ids))
        return {row.id: row._asdict() for row in await session.execute(query)}

    monkeypatch.setattr(shared_comments, "lock_thread_rows", read)
    board = await set_board(database)
    results = await run_race(board, CHANGES["lock"], group_commit=True, comments_first=False)
    assert [type(result) for result in results] == [ChangedRows] * 3, "two were added to it"
