"""Deletions against each other, and against replies, edits, moves and restorations.

Each race is forced in both orders: the first has written, and holds its transaction open; the
second runs until it waits; then the first commits.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations_with_replacement
from uuid import UUID

import pytest
from support.board import Board, Change, race, read_unlocked
from support.host import Host, key
from support.reply_trees import add_reply, assert_sound, change_tree, read_rows

from tallied.database import Database, UnitOfWork
from tallied.errors import NotFound
from tallied.models.base import now
from tallied.models.counters import counters
from tallied.resolvers import purge
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import (
    add_comment,
    delete_comment,
    edit_comment,
    move_comment,
    restore_comment,
)
from tallied.resolvers.erasure import ERASERS
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.threads import delete_thread
from tallied.resolvers.withdrawal import lock_tree


async def reply(board: Board, unit: UnitOfWork) -> None:
    new = NewComment("re ply", "Gast")
    await add_comment(unit, board.access, key(board.thread), new, reply_to_id=board.comment)


async def hide(board: Board, unit: UnitOfWork) -> None:
    tree = await lock_tree(unit.session, [board.comment])
    if board.comment not in tree.comments or tree.comments[board.comment].status == "deleted":
        raise NotFound("There is no such comment.")
    tree.hide(board.comment, "rejected")
    await tree.write()


async def erase(board: Board, unit: UnitOfWork) -> None:
    for eraser in ERASERS:
        keys = (await unit.session.scalars(eraser.find(board.author))).all()
        await eraser.erase(unit.session, board.author, keys)


CHANGES: dict[str, Change] = {
    "delete": lambda board, unit: delete_comment(unit, board.access, board.comment),
    "delete child": lambda board, unit: delete_comment(unit, board.access, board.child),
    "delete parent": lambda board, unit: delete_comment(unit, board.access, board.parent),
    "restore": lambda board, unit: restore_comment(unit, board.access, board.tombstone),
    "reply": reply,
    "edit": lambda board, unit: edit_comment(unit, board.access, board.comment, "more"),
    "hide": hide,
    "erase": erase,
    "delete author": lambda board, unit: delete_author(unit, board.access, board.author),
    "delete thread": lambda board, unit: delete_thread(unit, board.access, key(board.thread)),
}
DELETIONS = {"delete", "delete child", "delete parent"}
QUICK = {("reply", "delete"), ("delete", "reply"), ("delete", "delete child"), ("edit", "delete")}
PAIRS = [
    pytest.param(*names, marks=() if names in QUICK else pytest.mark.exhaustive)
    for pair in combinations_with_replacement(CHANGES, 2)
    for names in dict.fromkeys((pair, pair[::-1]))
    if DELETIONS.intersection(pair) or "restore" in pair
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_racing_changes_leave_sound_tree(strict: Database, first: str, second: str) -> None:
    board = Board(Host(strict))
    await board.fill()
    outcome = await race(board, CHANGES[first], CHANGES[second])
    assert outcome[0] == "ok"
    rows = await read_rows(strict)
    if first == "delete" and second in ("reply", "edit", "hide"):
        assert outcome[1] == "NOT_FOUND"
    if "delete thread" in (first, second):
        assert rows == {}
    elif "delete" in (first, second) and "delete child" in (first, second):
        assert set(rows) == set(board.ids[:2])  # The tombstone went with its last reply.
    await assert_sound(strict)
    await board.host.assert_exact()


async def delete_both(database: Database) -> None:
    """Delete the two last replies of a tombstone at once, and assert that it is gone."""
    board = Board(Host(database))
    await board.fill()
    one, two = board.child, key(await add_reply(database, board.ids[2]))
    await change_tree(
        database, board.ids[2], lambda tree, id: tree.delete(id, "host", keeps_text=True)
    )

    def delete(id: UUID) -> Change:
        return lambda board, unit: delete_comment(unit, board.access, id)

    assert await race(board, delete(one), delete(two)) == ["ok", "ok"]
    assert set(await read_rows(database)) == set(board.ids[:2])
    await assert_sound(database)
    await board.host.assert_exact()


async def test_last_of_two_replies_takes_tombstone_along(strict: Database) -> None:
    await delete_both(strict)


@pytest.mark.postgresql  # units of SQLite run one by one
async def test_tombstone_stays_without_lock_of_ancestors(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protection is needed: both would see another reply."""
    monkeypatch.setattr(counters, "lock_all", read_unlocked)
    with pytest.raises(AssertionError):
        await delete_both(database)


@pytest.mark.parametrize("is_purged_first", [True, False])
async def test_purge_and_restoration_do_not_lose_text(
    strict: Database, is_purged_first: bool
) -> None:
    board = Board(Host(strict))
    await board.fill()

    async def purge_all(board: Board, unit: UnitOfWork) -> None:
        await purge._purge_batch(unit, now() + timedelta(days=1), None, 10)

    changes = [purge_all, CHANGES["restore"]]
    outcome = await race(board, *(changes if is_purged_first else changes[::-1]))
    row = (await read_rows(strict))[board.ids[0]]
    if is_purged_first:
        assert (outcome, row.message) == (["ok", "NOT_RESTORABLE"], "")
    else:
        assert (outcome, row.message) == (["ok", "ok"], "word 0")
    await assert_sound(strict)
    await board.host.assert_exact()


async def test_move_and_deletion_are_exact(strict: Database) -> None:
    """A reply to nobody is moved and deleted at once."""
    board = Board(Host(strict))
    await board.fill()
    alone = key(await board.host.ada.comment(board.thread))

    async def move(board: Board, unit: UnitOfWork) -> None:
        await move_comment(unit, board.access, alone, board.other)

    async def delete(board: Board, unit: UnitOfWork) -> None:
        await delete_comment(unit, board.access, alone)

    assert await race(board, move, delete) == ["ok", "ok"]
    await assert_sound(strict)
    await board.host.assert_exact()
