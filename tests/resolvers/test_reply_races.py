"""Replies and moves against each other, and against the lock and the deletion of what they need.

Each race is forced in both orders: the first has written, and holds its transaction open; the
second runs until it waits; then the first commits.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest
from support.board import Board, Change, UnlockedSelect, race, read_unlocked
from support.host import Host, key
from support.reply_trees import add_reply, assert_sound, read_rows

from tallied.database import Database, UnitOfWork
from tallied.models.counters import counters
from tallied.resolvers import moves, reply_places
from tallied.resolvers.comments import (
    add_comment,
    delete_comment,
    move_comment,
    restore_comment,
)
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.threads import delete_thread, lock_thread
from tallied.schema.ids import encode_id


class Grove(Board):
    """A board with a second tree beside the first: a comment, and a reply to it."""

    async def fill(self) -> None:
        await super().fill()
        tree = await self.host.ada.comment(self.thread, "tree")
        self.tree, self.twig = key(tree), key(await add_reply(self.database, tree, "twig"))

    @property
    def home(self) -> UUID:
        return key(self.thread)

    async def assert_exact(self) -> None:
        await assert_sound(self.database)
        await self.host.assert_exact()


def reply(name: str) -> Change:
    async def change(board: Any, unit: UnitOfWork) -> None:
        new = NewComment("re ply", "Gast")
        id = getattr(board, name)
        await add_comment(unit, board.access, board.home, new, reply_to_id=id)

    return change


def move(name: str, to: str | None = None) -> Change:
    """Return the move of a comment below another one, or to the other thread."""

    async def change(board: Any, unit: UnitOfWork) -> None:
        thread, below = (board.other, None) if to is None else (board.home, getattr(board, to))
        await move_comment(unit, board.access, getattr(board, name), thread, reply_to_id=below)

    return change


def delete(name: str) -> Change:
    return lambda board, unit: delete_comment(unit, board.access, getattr(board, name))


CHANGES: dict[str, Change] = {
    "reply": reply("comment"),
    "move": move("comment"),
    "move parent": move("parent"),
    "move below tree": move("comment", "tree"),
    "move tree below": move("tree", "comment"),
    "move twig below": move("twig", "comment"),
    "delete": delete("comment"),
    "restore": lambda board, unit: restore_comment(unit, board.access, board.tombstone),
    "lock": lambda board, unit: lock_thread(unit, board.access, key(board.thread), True),
    "delete thread": lambda board, unit: delete_thread(unit, board.access, key(board.thread)),
}
OPPONENTS = {
    "reply": ("reply", "move", "move parent", "move below tree", "lock"),
    "move": ("move", "restore"),
    "move below tree": ("move tree below",),
    "move twig below": ("delete", "lock", "delete thread"),
}
PAIRS = [
    pair
    for name, others in OPPONENTS.items()
    for other in others
    for pair in dict.fromkeys(((name, other), (other, name)))
]
REFUSED = {
    ("move", "reply"): "NOT_FOUND",
    ("move parent", "reply"): "NOT_FOUND",
    ("lock", "reply"): "LOCKED",
    ("move below tree", "move tree below"): "NOT_MOVABLE",
    ("move tree below", "move below tree"): "NOT_MOVABLE",
    ("delete", "move twig below"): "NOT_FOUND",
    ("delete thread", "move twig below"): "NOT_FOUND",
}
"""The codes with which the second is refused."""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_racing_replies_and_moves_leave_sound_tree(
    strict: Database, first: str, second: str
) -> None:
    board = Grove(Host(strict))
    await board.fill()
    outcome = await race(board, CHANGES[first], CHANGES[second])
    expected = REFUSED.get((first, second), "ok")
    if (first, second) == ("lock", "move twig below"):
        # A move within a thread changes none of its numbers: it may come before the lock.
        expected = "LOCKED" if strict.is_sqlite else "ok"
    assert outcome == ["ok", expected]
    await board.assert_exact()


# Each protection is needed. Units of SQLite run one by one, with locks and without.


class Equal:
    """A number that equals any other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


async def is_exact(board: Grove, first: Change, second: Change, refused: str) -> bool:
    """Return whether a race refuses the second change, and leaves a sound tree."""
    try:
        outcome = await race(board, first, second)
        await board.assert_exact()
    except (AssertionError, KeyError):
        return False
    return outcome == ["ok", refused]


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_reply_locks_the_comments_above(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the locks it stays in the thread that its parent has left."""
    if not locks:
        monkeypatch.setattr(reply_places, "select", UnlockedSelect)
    board = Grove(Host(database))
    await board.fill()
    assert locks == await is_exact(board, CHANGES["move"], CHANGES["reply"], "NOT_FOUND")


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("looks_again", [True, False])
async def test_move_takes_a_reply_along_that_it_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, looks_again: bool
) -> None:
    """Unless the replies are counted under the lock, one in flight is left behind."""
    if not looks_again:
        monkeypatch.setattr(moves, "Counter", lambda _: defaultdict(Equal))
    board = Grove(Host(database))
    await board.fill()
    assert looks_again == await is_exact(board, CHANGES["reply"], CHANGES["move"], "ok")


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_moves_into_each_other_make_no_circle(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        monkeypatch.setattr(counters, "lock_all", read_unlocked)
    board = Grove(Host(database))
    await board.fill()
    changes = CHANGES["move below tree"], CHANGES["move tree below"]
    assert locks == await is_exact(board, *changes, "NOT_MOVABLE")


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_restored_comment_outlives_its_last_reply(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the locks, the deletion of the reply takes it for a tombstone, and along."""
    board = Grove(Host(database))
    await board.fill()
    await board.host.moderator.do(
        "deleteComment", "comment { id }", commentId=encode_id("Comment", board.tree)
    )
    board.tombstone = board.tree
    if not locks:
        monkeypatch.setattr(counters, "lock_all", read_unlocked)
    exact = await is_exact(board, CHANGES["restore"], delete("twig"), "ok")
    rows = await read_rows(database)
    assert locks == (exact and encode_id("Comment", board.tree) in rows)
