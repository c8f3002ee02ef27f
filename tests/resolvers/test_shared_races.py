"""Comments and reactions against another change of their thread, with group commit on and off.

Each race is forced in both orders: the first is flushed and holds its transaction open; the second
runs until it waits; then the first commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import select
from support.host import ADA, BOB, blocked_or_done
from support.rows import fetch, fetch_values, find_drifts
from support.shared_units import (
    HeldComments,
    HeldReactions,
    HeldWork,
    Shared,
    read_messages,
    store_threads,
)

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import Locked, NotFound, UserError
from tallied.host.access import Access, HostRules
from tallied.models import Author, Reaction, Thread
from tallied.models.base import now
from tallied.resolvers import purge, shared_comments
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import (
    add_comment,
    delete_comment,
    edit_comment,
    move_comment,
    restore_comment,
)
from tallied.resolvers.erasure import erase_author
from tallied.resolvers.flags import flag_comment
from tallied.resolvers.marks import mark_read
from tallied.resolvers.moderation import moderate_comments
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.reaction_drafts import draft_addition, draft_removal
from tallied.resolvers.rows import THREAD_COLUMNS
from tallied.resolvers.threads import delete_thread, lock_thread

EVE = Viewer("user-3", "Eve")
RULES = HostRules(guests="write", reactions="like:👍:Like,heart:❤️:Heart,wow:😮:Wow")


@dataclass
class Board:
    """A thread that both sides change, with Ada's comment and a reply; and two others."""

    database: Database
    shared: Shared
    thread: UUID
    other: UUID
    free: UUID
    comment: UUID
    away: UUID
    """A comment in the free thread."""
    author: UUID
    go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    """How often the change has begun."""

    @property
    def is_repeated(self) -> bool:
        """Whether the database has asked to repeat the change."""
        return self.attempts > 1

    @property
    def host(self) -> Access:
        """The access of the host, who may do everything."""
        return self.host_as(None)

    def host_as(self, viewer: Viewer | None) -> Access:
        """Return the access of the host for a viewer."""
        return Access(self.shared.rules).as_host(viewer)

    async def pause(self, unit: UnitOfWork | None = None) -> None:
        """Wait with an open transaction for the other side."""
        self.arrived.set()
        await self.go.wait()


Change: TypeAlias = Callable[[Board, UnitOfWork], Awaitable[Any]]


def moderate(status: str) -> Change:
    return lambda board, unit: moderate_comments(unit, board.host, [board.comment], status)


async def purge_all(board: Board, unit: UnitOfWork) -> None:
    await purge._purge_batch(unit, now() + timedelta(days=1), None, 10)


CHANGES: dict[str, Change] = {
    "edit": lambda board, unit: edit_comment(unit, board.host, board.comment, "one two three"),
    "move": lambda board, unit: move_comment(unit, board.host, board.comment, board.other),
    "delete": lambda board, unit: delete_comment(unit, board.host, board.comment),
    "restore": lambda board, unit: restore_comment(unit, board.host, board.comment),
    "purge": purge_all,
    "hide": moderate("rejected"),
    "approve": moderate("published"),
    "flag": lambda board, unit: flag_comment(unit, board.host_as(EVE), board.comment, "spam"),
    "mark": lambda board, unit: mark_read(unit, board.host_as(ADA), board.thread),
    "lock": lambda board, unit: lock_thread(unit, board.host, board.thread),
    "unlock": lambda board, unit: lock_thread(unit, board.host, board.thread, False),
    "delete thread": lambda board, unit: delete_thread(unit, board.host, board.thread),
    "delete author": lambda board, unit: delete_author(unit, board.host, board.author),
    "erase": lambda board, unit: erase_author(lambda work: work(unit), board.host, board.author),
}
BEFORE = {"restore": "delete", "purge": "delete", "approve": "hide", "unlock": "lock"}
"""The change that must come before another one."""

AHEAD, BEHIND = "ahead", "behind"
Outcomes: TypeAlias = Mapping[tuple[str, str], type[UserError]]


def refuse(error: type[UserError], ahead: Iterable[str], behind: Iterable[str]) -> Outcomes:
    """Return the error of units in the place of the race, ahead of some changes and behind some."""
    return {
        **{(name, AHEAD): error for name in ahead},
        **{(name, BEHIND): error for name in behind},
    }


class Kind(NamedTuple):
    """Units that may share a transaction: one alone, and two in the place with one between them."""

    work: Callable[[], HeldWork]
    draft: Callable[[Board], list[Any]]
    """Returns the drafts, the first of which holds up the others."""
    refused: Outcomes
    """The errors of the units in the place."""
    lost: Mapping[str, set[str]]
    """The names of units that a change undoes which comes behind them."""


def draft_comments(board: Board) -> list[Any]:
    pairs = (
        *((board.free, "first", None), (board.thread, "a b", ADA)),
        *((board.free, "c", None), (board.thread, "d", None)),
    )
    return [board.shared.draft(*pair) for pair in pairs]


def draft_reactions(board: Board, draft: Any = draft_addition) -> list[Any]:
    rows = (
        *((BOB, board.away, "wow"), (ADA, board.comment, "like")),
        *((BOB, board.away, "like"), (BOB, board.comment, "heart")),
    )
    return [draft(Access(board.shared.rules, viewer), id, kind) for viewer, id, kind in rows]


IS_GONE = refuse(
    NotFound,
    ahead=["restore", "purge", "approve"],
    behind=["delete", "purge", "hide", "delete thread", "erase"],
)
ITS_REACTIONS = {"Ada +like", "Bob +heart"}
WITHOUT = {
    **dict.fromkeys(["delete", "delete thread", "erase"], ITS_REACTIONS),
    "delete author": {"Ada +like"},
}
KINDS = {
    "comments": Kind(
        HeldComments,
        draft_comments,
        {
            **refuse(Locked, ahead=["unlock"], behind=["lock"]),
            **refuse(NotFound, ahead=[], behind=["delete thread"]),
        },
        {"delete thread": {"a b", "d"}, "erase": {"a b"}},
    ),
    "reactions": Kind(HeldReactions, draft_reactions, IS_GONE, WITHOUT),
    "removals": Kind(
        HeldReactions, lambda board: draft_reactions(board, draft_removal), IS_GONE, WITHOUT
    ),
}


async def set_board(database: Database, kind: Kind, name: str = "") -> Board:
    shared = Shared(database, RULES, kind.work())
    thread, other, free = await store_threads(database, 3)

    async def fill(unit: UnitOfWork) -> tuple[UUID, UUID, UUID]:
        async def add(viewer: Viewer | None, thread: UUID, text: str, **more: Any) -> Any:
            new = NewComment(text, None if viewer else "Gast")
            access = Access(RULES, viewer)
            return (await add_comment(unit, access, thread, new, **more)).comment

        first = await add(ADA, thread, "stored words")
        await add(None, thread, "a reply", reply_to_id=first["id"])
        away = await add(BOB, free, "elsewhere")
        return first["id"], away["id"], first["author_id"]

    board = Board(database, shared, thread, other, free, *await database.write(fill))
    if kind is KINDS["removals"]:
        for draft in draft_reactions(board):
            await database.write(lambda unit, draft=draft: kind.work().run_once(unit, draft))
    if name in BEFORE:
        await database.write(lambda unit: CHANGES[BEFORE[name]](board, unit))
    return board


async def begin_all(
    board: Board, drafts: Sequence[Any], *, group_commit: bool, held: bool
) -> list[asyncio.Task[Any]]:
    """Begin units: in one transaction, or in one for each.

    :param held: whether to wait after the flush, with the transaction still open.
    """
    shared = board.shared
    if group_commit:
        if held:
            shared.work.after_batch = board.pause
        tasks = await shared.queue(drafts)
        shared.release()
        return tasks

    async def run(unit: UnitOfWork, draft: Any) -> Any:
        try:
            change = await shared.work.run_once(unit, draft)
        finally:
            if held:
                await board.pause()
        unit.on_commit = lambda: shared.acknowledged.append(shared.work.name_of(draft))
        return change

    tasks = []
    shared.release()
    for draft in drafts:
        write = board.database.write(lambda unit, draft=draft: run(unit, draft))
        tasks.append(asyncio.ensure_future(write))
        if held:
            await board.arrived.wait()  # The first of them is ahead.
    return tasks


async def run_race(
    board: Board, kind: Kind, change: Change, *, group_commit: bool, comes_first: bool
) -> list[Any]:
    """Run a race, and return the results and errors of the units."""
    try:
        async with asyncio.timeout(60):
            return await _run_race(
                board, kind, change, group_commit=group_commit, comes_first=comes_first
            )
    finally:
        board.go.set()  # or nobody could close the database


async def _run_race(
    board: Board, kind: Kind, change: Change, *, group_commit: bool, comes_first: bool
) -> list[Any]:
    async def work(unit: UnitOfWork) -> Any:
        board.attempts += 1
        result = await change(board, unit)
        if not comes_first:
            await board.pause()
        return result

    first, *drafts = kind.draft(board)
    alone = await board.shared.hold(first)
    other = None if comes_first else asyncio.ensure_future(board.database.write(work))
    if other is not None and not board.database.is_sqlite:
        await board.arrived.wait()
    tasks = await begin_all(board, drafts, group_commit=group_commit, held=comes_first)
    await alone
    await board.arrived.wait()
    if other is None:
        other = asyncio.ensure_future(board.database.write(work))
        await blocked_or_done(board.database, other)
    else:
        await blocked_or_done(board.database, tasks[0])
    board.go.set()
    await other
    return await asyncio.gather(*tasks, return_exceptions=True)


async def read_names(database: Database, kind: Kind) -> set[str]:
    """Return the names of the units whose rows are stored."""
    if kind.work is HeldComments:
        return {*await read_messages(database)}
    query = select(Author.name, Reaction.kind).join(Reaction.author)
    return {f"{name} +{kind}" for name, kind in await fetch(database, query)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("group_commit", [True, False], ids=["group", "alone"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("place", [AHEAD, BEHIND])
async def test_race_of_shared_units_ends_exact(
    strict: Database, kind: str, name: str, group_commit: bool, place: str
) -> None:
    await check_race(strict, kind, name, place, group_commit=group_commit)


@pytest.mark.parametrize("kind", ["comments", "reactions"])
@pytest.mark.parametrize("name", ["lock", "delete author"])
async def test_shared_units_behind_change_end_exact(
    database: Database, kind: str, name: str
) -> None:
    await check_race(database, kind, name, BEHIND, group_commit=True)


async def check_race(
    database: Database, kind_name: str, name: str, place: str, *, group_commit: bool
) -> None:
    kind, comes_first = KINDS[kind_name], place == AHEAD
    board = await set_board(database, kind, name)
    before = await read_names(database, kind)
    results = await run_race(
        board, kind, CHANGES[name], group_commit=group_commit, comes_first=comes_first
    )
    is_queued = comes_first and not group_commit
    assert_outcomes(results, kind.refused, name, place, any_last=is_queued, board=board)
    first, *names = map(board.shared.work.name_of, kind.draft(board))
    pairs = zip(names, results, strict=True)
    accepted = {first, *(unit for unit, result in pairs if not isinstance(result, Exception))}
    assert {*board.shared.acknowledged} == accepted
    stored, lost = await read_names(database, kind), kind.lost.get(name, set())
    if kind_name == "removals":
        assert stored == before - {unit.replace("-", "+") for unit in accepted} - lost
    else:
        assert accepted - lost <= stored
        assert not stored.intersection({first, *names} - accepted)
        if not board.is_repeated:
            assert stored & accepted == accepted - (lost if comes_first else set())
    assert await find_drifts(database) == []
    subjects = {*await fetch_values(database, select(Author.subject))}
    if not board.is_repeated:
        writes_again = kind_name != "removals" and names[0] in accepted and not comes_first
        is_deleted = name in ("delete author", "erase") and not writes_again
        assert (ADA.subject in subjects) != is_deleted


def assert_outcomes(
    results: Sequence[Any],
    refused: Outcomes,
    name: str,
    place: str,
    *,
    any_last: bool,
    board: Board,
) -> None:
    """Assert which units are refused.

    A change that the database has asked to repeat may come behind the units, or some of them.

    :param any_last: whether the last one stood in the queue of the lock, before or behind the
        change.
    """
    first, between, last = [
        type(result) if isinstance(result, Exception) else None for result in results
    ]
    either = [refused.get((name, place)) for place in (AHEAD, BEHIND)]
    expected = [refused.get((name, place))]
    assert first in (either if board.is_repeated else expected)
    assert between is None
    assert last in (either if board.is_repeated or any_last else expected)


# Each protection is needed


@pytest.mark.postgresql  # one transaction writes at a time
async def test_without_locks_a_comment_follows_the_lock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(session: Any, ids: Any, *, skip_locked: bool) -> Any:
        query = select(*THREAD_COLUMNS).where(Thread.id.in_(ids))
        return {row.id: row._asdict() for row in await session.execute(query)}

    monkeypatch.setattr(shared_comments, "lock_thread_rows", read)
    kind = KINDS["comments"]
    board = await set_board(database, kind)
    results = await run_race(board, kind, CHANGES["lock"], group_commit=True, comes_first=False)
    assert not any(isinstance(result, Exception) for result in results), "two were added to it"
