"""Edits, reactions, marks and erasures against each other, and against deletions and moves.

Each race is forced in both orders: the first has written, and holds its transaction open; the
second runs until it waits; then the first commits.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.board import Board, Change, UnlockedSelect, race
from support.host import ADA, BOB, Host, key
from support.reply_trees import (
    add_reply,
    assert_sound,
    change_tree,
    read_rows,
    read_texts,
    read_values,
)

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.models import Author, Flag, Mark, Reaction, ReactionTotal, Revision
from tallied.models.base import now
from tallied.models.comment import DELETED
from tallied.models.counters import counters
from tallied.resolvers import authors, erasure, marks, purge, reactions, revisions
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
from tallied.resolvers.reactions import add_reaction, remove_reaction
from tallied.resolvers.threads import delete_thread, lock_thread


class Square(Board):
    """A board with a comment of Bob's at its end, and a heart for it and for one of Ada's."""

    async def fill(self) -> None:
        await super().fill()
        id = await add_reply(self.database, self.ids[3])
        self.theirs = key(id)
        for comment in (self.ids[2], id):
            for client in (self.host.ada, self.host.bob):
                await client.do("addReaction", "comment { id }", commentId=comment, kind="heart")
        await self.host.ada.do("flagComment", "comment { id }", commentId=id, reason="SPAM")

    async def assert_exact(self) -> None:
        """Assert that nothing is left of what is deleted, and that all else fits together."""
        rows = {row.id: row for row in (await read_rows(self.database)).values()}
        async with self.database.sessions() as session:
            revisions = (await session.scalars(select(Revision).order_by(Revision.number))).all()
            answered = (await session.scalars(select(Reaction.comment_id))).all()
        for revision in revisions:
            row = rows[revision.comment_id]
            assert row.status != DELETED
            latest = [each for each in revisions if each.comment_id == row.id][-1]
            assert latest.number == row.revision
            assert latest.message == row.message or row.placeholder
        assert not any(rows[id].status == DELETED for id in answered)
        await assert_sound(self.database)
        await self.host.assert_exact()


def as_ada(board: Board) -> Any:
    return board.host.discussion.access_as_host(ADA)


def react(name: str, kind: str) -> Change:
    return lambda board, unit: add_reaction(unit, as_ada(board), getattr(board, name), kind)


def take_back(name: str) -> Change:
    return lambda board, unit: remove_reaction(unit, as_ada(board), getattr(board, name), "heart")


def flag(viewer: Viewer, name: str) -> Change:
    async def change(board: Board, unit: UnitOfWork) -> None:
        access = board.host.discussion.access_as_host(viewer)
        await flag_comment(unit, access, getattr(board, name), "spam", note=f"by {viewer.name}")

    return change


async def approve(board: Any, unit: UnitOfWork) -> None:
    """Close Ada's flag of Bob's comment."""
    await moderate_comments(unit, board.access, [board.theirs], "published")


async def purge_all(board: Board, unit: UnitOfWork) -> None:
    await purge._purge_batch(unit, now() + timedelta(days=1), None, 10)


async def erase(board: Board, unit: UnitOfWork) -> None:
    await erase_author(lambda work: work(unit), board.access, board.author)


CHANGES: dict[str, Change] = {
    "edit": lambda board, unit: edit_comment(unit, as_ada(board), board.comment, "more"),
    "moderate": lambda board, unit: moderate_comments(
        unit, board.access, [board.comment], "rejected"
    ),
    "delete": lambda board, unit: delete_comment(unit, board.access, board.comment),
    "move": lambda board, unit: move_comment(unit, board.access, board.comment, board.other),
    "react": react("comment", "like"),
    "take back": take_back("comment"),
    "react to Bob": react("theirs", "like"),
    "take back from Bob": take_back("theirs"),
    "mark": lambda board, unit: mark_read(unit, as_ada(board), key(board.thread)),
    "comment": lambda board, unit: add_comment(
        unit, as_ada(board), key(board.thread), NewComment("word")
    ),
    "flag": flag(BOB, "comment"),
    "flag Bob": flag(ADA, "theirs"),
    "approve Bob": approve,
    "reply": lambda board, unit: add_comment(
        unit,
        board.access,
        key(board.thread),
        NewComment("re ply", "Gast"),
        reply_to_id=board.comment,
    ),
    "purge": purge_all,
    "lock": lambda board, unit: lock_thread(unit, board.access, key(board.thread), True),
    "erase": erase,
    "delete author": lambda board, unit: delete_author(unit, board.access, board.author),
    "delete thread": lambda board, unit: delete_thread(unit, board.access, key(board.thread)),
}
OPPONENTS = {
    "edit": ("moderate", "delete", "move", "react", "take back", "flag", "reply"),
    "react": ("moderate", "delete", "take back", "move", "flag", "reply"),
    "take back": ("moderate", "delete", "move", "take back"),
    "mark": ("comment", "reply", "move"),
    "purge": ("delete", "moderate", "delete author"),
    "lock": ("comment", "edit", "react", "flag", "moderate"),
    "delete author": (
        *("comment", "reply", "edit", "move", "react", "take back", "flag", "flag Bob", "moderate"),
        *("mark", "delete author", "lock"),
    ),
    "delete thread": (
        *("comment", "reply", "edit", "react", "take back", "flag", "moderate", "mark", "purge"),
        *("delete author", "delete thread", "lock"),
    ),
    "erase": (
        *("comment", "reply", "edit", "move", "react to Bob", "take back from Bob", "flag"),
        *("flag Bob", "moderate", "approve Bob", "mark", "purge", "lock", "erase"),
        *("delete author", "delete thread"),
    ),
}
PAIRS = [
    pair
    for name, others in OPPONENTS.items()
    for other in others
    for pair in dict.fromkeys(((name, other), (other, name)))
]
REFUSED = {
    **dict.fromkeys([("delete", name) for name in ("edit", "react", "take back")], "NOT_FOUND"),
    **dict.fromkeys([("moderate", name) for name in ("edit", "react", "take back")], "NOT_FOUND"),
    ("delete thread", "mark"): "NOT_FOUND",
    ("erase", "edit"): "NOT_FOUND",
    ("lock", "comment"): "LOCKED",
    ("erase", "moderate"): "CONFLICT",
    **dict.fromkeys([("erase", name) for name in ("flag", "move", "reply")], "NOT_FOUND"),
    **{
        (first, second): "NOT_FOUND"
        for first in ("delete author", "erase")
        for second in ("delete author", "erase")
    },
    **dict.fromkeys(
        [
            ("delete thread", name)
            for name in ("comment", "reply", "edit", "react", "take back", "flag", "moderate")
        ],
        "NOT_FOUND",
    ),
    ("delete thread", "lock"): "NOT_FOUND",
    ("delete thread", "delete thread"): "NOT_FOUND",
}
"""The codes with which the second is refused."""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_racing_changes_leave_nothing_behind(
    strict: Database, first: str, second: str
) -> None:
    board = Square(Host(strict))
    await board.fill()
    outcome = await race(board, CHANGES[first], CHANGES[second])
    assert outcome == ["ok", REFUSED.get((first, second), "ok")]
    await board.assert_exact()
    if (second == "erase") == (outcome[1] == "ok") and "erase" in (first, second):
        await assert_erased(board)


async def assert_erased(board: Board) -> None:
    values = " ".join(await read_values(board.database))
    for trace in ("Ada", "user-1", "word", "more", board.author.hex, str(board.author)):
        assert trace not in values, trace


# Each protection is needed. Units of SQLite run one by one, with locks and without.


async def add_empty_author(board: Board) -> None:
    """Make an author who has written no comment."""
    board.thread = await board.host.bob.thread("Engines")
    await board.host.ada.thread("Looms")
    async with board.database.read() as connection:
        query = select(Author.id).where(Author.subject == ADA.subject)
        board.author = (await connection.execute(query)).scalar_one()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("looks_again", [True, False])
async def test_comment_before_lock_of_author_is_erased(
    database: Database, monkeypatch: pytest.MonkeyPatch, looks_again: bool
) -> None:
    """Unless it is looked for again under the lock, a comment in flight outlives its author."""
    choose, looks = erasure._choose, 0

    async def look_once(session: Any, id: Any) -> Any:
        nonlocal looks
        looks += 1
        return await choose(session, id) if looks == 1 else None

    if not looks_again:
        monkeypatch.setattr(erasure, "_choose", look_once)
    board = Board(Host(database))
    await add_empty_author(board)
    assert await race(board, CHANGES["comment"], erase) == ["ok", "ok"]
    messages = [row.message for row in (await read_rows(database)).values()]
    assert messages == ([] if looks_again else ["word"])
    await board.host.assert_exact()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_flag_waits_for_erasure_of_its_author(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the lock of its author, it would refer to one who is gone."""
    board: Any = Board(Host(database))
    await add_empty_author(board)
    board.theirs = key(await board.host.bob.comment(board.thread))
    if not locks:
        monkeypatch.setattr(authors, "select", UnlockedSelect)
        with pytest.raises(IntegrityError, match="fk_tallied_flag_author_id"):
            await race(board, erase, CHANGES["flag Bob"])
        return
    assert await race(board, erase, CHANGES["flag Bob"]) == ["ok", "ok"]
    async with database.sessions() as session:
        assert (await session.scalars(select(Flag.author_id))).one() != board.author
    await board.host.assert_exact()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_two_edits_have_two_numbers(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Without the lock of the comment, the second has the number of the first."""
    board = Board(Host(database))
    await board.fill()

    async def edit_by_bob(board: Board, unit: UnitOfWork) -> None:
        access = board.host.discussion.access_as_host(BOB)
        await edit_comment(unit, access, board.comment, "other")

    def read(session: Session, class_: Any, id: Any, **_: Any) -> Any:
        return session.get(class_, id)

    if not locks:
        monkeypatch.setattr(counters, "lock", read)
        with pytest.raises(IntegrityError, match="tallied_revision"):
            await race(board, CHANGES["edit"], edit_by_bob)
        return
    assert await race(board, CHANGES["edit"], edit_by_bob) == ["ok", "ok"]
    async with database.sessions() as session:
        numbers = (await session.scalars(select(Revision.number).order_by(Revision.number))).all()
    assert numbers == [1, 2, 3]
    await board.host.assert_exact()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("repeats", [True, False])
async def test_edit_outlives_deletion_of_its_editor(
    database: Database, monkeypatch: pytest.MonkeyPatch, repeats: bool
) -> None:
    """The edit has found its editor before it waited for the comment."""
    board = Board(Host(database))
    await board.fill()
    if not repeats:
        monkeypatch.setattr(revisions, "is_foreign_key_error", lambda error: False)
        with pytest.raises(IntegrityError, match="fk_tallied_revision_editor_id"):
            await race(board, CHANGES["delete author"], CHANGES["edit"])
        return
    assert await race(board, CHANGES["delete author"], CHANGES["edit"]) == ["ok", "ok"]
    assert (await read_rows(database))[board.ids[2]].message == "more"
    await board.host.assert_exact()


@pytest.mark.parametrize("is_greatest", [True, False])
async def test_late_mark_moves_nothing_back(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_greatest: bool
) -> None:
    """Without the comparison in the statement, the last mark counts, and not the greatest."""
    board = Board(Host(database))
    await board.fill()
    if not is_greatest:
        last = SimpleNamespace(max=lambda _, new: new, greatest=lambda _, new: new)
        monkeypatch.setattr(marks, "func", last)

    def mark(seq: int) -> Change:
        return lambda board, unit: mark_read(unit, as_ada(board), key(board.thread), seq)

    assert await race(board, mark(4), mark(2)) == ["ok", "ok"]
    async with database.sessions() as session:
        assert (await session.scalars(select(Mark.last_read_seq))).all() == [
            4 if is_greatest else 2
        ]


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("repeats", [True, False])
async def test_first_reactions_share_a_total(
    database: Database, monkeypatch: pytest.MonkeyPatch, repeats: bool
) -> None:
    """The second has looked for the total before it waited, and adds another one."""
    if not repeats:
        monkeypatch.setattr(reactions, "_repeat_if_taken", nullcontext)
    board = Board(Host(database))
    await board.fill()

    async def react_as_bob(board: Board, unit: UnitOfWork) -> None:
        await add_reaction(unit, board.host.discussion.access_as_host(BOB), board.comment, "like")

    if not repeats:
        with pytest.raises(IntegrityError, match="tallied_reaction_total"):
            await race(board, CHANGES["react"], react_as_bob)
        return
    assert await race(board, CHANGES["react"], react_as_bob) == ["ok", "ok"]
    async with database.sessions() as session:
        assert (await session.scalars(select(ReactionTotal.count))).all() == [2]
    await board.host.assert_exact()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("locks", [True, False])
async def test_restored_text_is_not_purged(
    database: Database, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """A comment that was hidden before its deletion keeps its text at rest when it is restored.

    Without the lock of the comment, the purge sees it as deleted still, and takes the text.
    """
    if not locks:
        monkeypatch.setattr(purge, "select", UnlockedSelect)
    board = Board(Host(database))
    await board.fill()
    await change_tree(database, board.ids[2], lambda tree, id: tree.hide(id, "rejected"))
    await board.host.moderator.do("deleteComment", "comment { id }", commentId=board.ids[2])

    async def restore(board: Board, unit: UnitOfWork) -> None:
        await restore_comment(unit, board.access, board.comment)

    assert await race(board, restore, purge_all) == ["ok", "ok"]
    assert (await read_rows(database))[board.ids[2]].status == "rejected"
    assert (board.ids[2] in await read_texts(database)) == locks
    await board.host.assert_exact()
