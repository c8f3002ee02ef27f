"""What keeps trees of replies sound when they are changed at once, as in `test_change_races`.

Each protection is needed. Units of SQLite run one by one, with locks and without.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from support.board import Board, Change, UnlockedSelect, race, read_unlocked
from support.changes import CHANGES, Square, delete, move
from support.host import Host, key
from support.reply_trees import add_reply, assert_sound, change_tree, read_rows

from tallied.database import Database
from tallied.models.counters import counters
from tallied.resolvers import moves, reply_places
from tallied.schema.ids import encode_id


class Equal:
    """A number that equals any other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


async def is_exact(board: Square, first: Change, second: Change, refused: str) -> bool:
    """Return whether a race refuses the second change, and leaves a sound tree."""
    try:
        outcome = await race(board, first, second)
        await board.assert_exact()
    except (AssertionError, KeyError):
        return False
    return outcome == ["ok", refused]


PROTECTIONS: dict[str, tuple[Any, str, Any, str, str, str]] = {
    # Without the locks it stays in the thread that its parent has left.
    "a reply locks the comments above": (
        *(reply_places, "select", UnlockedSelect),
        *("move", "reply", "NOT_FOUND"),
    ),
    # Unless the replies are counted under the lock, one in flight is left behind.
    "a move takes along a reply that it waited for": (
        *(moves, "Counter", lambda _: defaultdict(Equal)),
        *("reply", "move", "ok"),
    ),
    "moves into each other make no circle": (
        *(counters, "lock_all", read_unlocked),
        *("move below tree", "move tree below", "NOT_MOVABLE"),
    ),
}
"""What takes a protection out, and the race that is lost without it."""


@pytest.mark.postgresql
@pytest.mark.parametrize("is_protected", [True, False])
@pytest.mark.parametrize("name", PROTECTIONS)
async def test_race_of_replies_needs_its_protection(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str, is_protected: bool
) -> None:
    *protection, first, second, refused = PROTECTIONS[name]
    if not is_protected:
        monkeypatch.setattr(*protection)
    board = Square(Host(database))
    await board.fill()
    assert is_protected == await is_exact(board, CHANGES[first], CHANGES[second], refused)


@pytest.mark.postgresql
@pytest.mark.parametrize("locks", [True, False])
async def test_restored_comment_outlives_its_last_reply(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the locks, the deletion of the reply takes it for a tombstone, and along."""
    board = Square(Host(database))
    await board.fill()
    tree = encode_id("Comment", board.tree)
    await board.host.moderator.do("deleteComment", "comment { id }", commentId=tree)
    board.tombstone = board.tree
    if not locks:
        monkeypatch.setattr(counters, "lock_all", read_unlocked)
    exact = await is_exact(board, CHANGES["restore"], delete("twig"), "ok")
    assert locks == (exact and tree in await read_rows(database))


async def delete_both(database: Database) -> None:
    """Delete the two last replies of a tombstone at once, and assert that it is gone."""
    board: Any = Board(Host(database))
    await board.fill()
    board.second = key(await add_reply(database, board.ids[2]))
    await change_tree(
        database, board.ids[2], lambda tree, id: tree.delete(id, "host", keeps_text=True)
    )
    await race_without_tombstone(board, "child", "second")


async def race_without_tombstone(board: Board, first: str, second: str) -> None:
    """Delete two comments at once, and assert that they and the tombstone are gone."""
    assert await race(board, delete(first), delete(second)) == ["ok", "ok"]
    assert set(await read_rows(board.database)) == set(board.ids[:2])
    await assert_sound(board.database)
    await board.host.assert_exact()


async def test_last_of_two_replies_takes_tombstone_along(strict: Database) -> None:
    await delete_both(strict)


@pytest.mark.postgresql
async def test_tombstone_stays_without_lock_of_ancestors(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protection is needed: both would see another reply."""
    monkeypatch.setattr(counters, "lock_all", read_unlocked)
    with pytest.raises(AssertionError):
        await delete_both(database)


@pytest.mark.parametrize("names", [("comment", "child"), ("child", "comment")])
async def test_comment_and_its_last_reply_go_together(
    strict: Database, names: tuple[str, str]
) -> None:
    board = Board(Host(strict))
    await board.fill()
    await race_without_tombstone(board, *names)


async def test_move_and_deletion_are_exact(strict: Database) -> None:
    """A reply to nobody is moved and deleted at once."""
    board: Any = Square(Host(strict))
    await board.fill()
    board.alone = key(await board.host.ada.comment(board.thread))
    assert await is_exact(board, move("alone"), delete("alone"), "ok")
