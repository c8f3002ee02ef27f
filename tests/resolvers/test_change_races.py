"""Changes of a discussion against each other: all that one may wait for, or find changed.

Each race is forced in both orders: the first has written, and holds its transaction open; the
second runs until it waits; then the first commits.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.board import Board, Change, UnlockedSelect, race
from support.changes import (
    CHANGES,
    ON_TOMBSTONE,
    Square,
    as_ada,
    assert_erased,
    erase,
    purge_all,
)
from support.host import ADA, BOB, Host, key
from support.reply_trees import change_tree, read_rows, read_texts, read_values
from support.rows import fetch_value, fetch_values

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.host.policy import CommentContext, Policy
from tallied.models import Author, Flag, Mark, ReactionTotal, Revision
from tallied.models.counters import counters
from tallied.resolvers import authors, erasure, marks, purge, reactions, revisions
from tallied.resolvers.comments import edit_comment, restore_comment
from tallied.resolvers.marks import mark_read
from tallied.resolvers.reactions import add_reaction

ON_TREE = (
    *("delete child", "delete parent", "restore", "reply", "edit", "moderate", "erase"),
    *("delete author", "delete thread"),
)
OPPONENTS = {
    "delete": ("delete", *ON_TREE),
    "delete child": ON_TREE,
    "delete parent": ON_TREE[1:],
    "edit": ("edit", "moderate", "delete", "move", "react", "take back", "flag", "reply"),
    "react": ("react", "moderate", "delete", "take back", "move", "flag", "reply"),
    "take back": ("moderate", "delete", "move", "take back"),
    "mark": ("mark", "comment", "reply", "move", "moderate", "delete", "restore"),
    "purge": ("purge", "delete", "moderate", "delete author", "restore"),
    "lock": (
        *("lock", "comment", "reply", "edit", "move", "delete", "react", "take back", "flag"),
        *("moderate", "mark"),
    ),
    "moderate": ("moderate", "move", "delete", "restore"),
    "reply": ("reply", "move", "move parent", "move below tree"),
    "move": ("move", "restore"),
    "move below tree": ("move tree below",),
    "move twig below": ("delete", "lock", "delete thread"),
    "restore": ("restore", "edit", "reply", "react", "flag", "lock"),
    "edit Bob": ("react to Bob", "take back from Bob", "flag Bob", "approve Bob"),
    "hide Bob": (
        *("hide Bob", "edit Bob", "react to Bob", "take back from Bob", "flag Bob", "approve Bob"),
        "mark",
    ),
    "move Bob": (
        *("move Bob", "hide Bob", "edit Bob", "react to Bob", "take back from Bob", "flag Bob"),
        *("approve Bob", "mark"),
    ),
    "delete Bob": (
        *("delete Bob", "move Bob", "hide Bob", "edit Bob", "react to Bob", "take back from Bob"),
        *("flag Bob", "approve Bob", "comment", "mark"),
    ),
    "rename": ("rename", "comment", "edit", "mark", "lock"),
    "delete author": (
        *("comment", "reply", "edit", "move", "react", "take back", "flag", "flag Bob", "moderate"),
        *("mark", "delete author", "lock", "restore", "rename"),
    ),
    "delete thread": (
        *("comment", "reply", "edit", "move", "react", "take back", "flag", "moderate", "mark"),
        *("purge", "delete", "restore", "delete author", "delete thread", "lock", "hide Bob"),
    ),
    "erase": (
        *("comment", "reply", "edit", "move", "react to Bob", "take back from Bob", "flag"),
        *("flag Bob", "moderate", "approve Bob", "edit Bob", "hide Bob", "move Bob", "delete Bob"),
        *("restore", "rename", "mark", "purge", "lock", "erase", "delete author", "delete thread"),
    ),
}
QUICK = {("reply", "delete"), ("delete", "reply"), ("edit", "delete")}
PAIRS = {
    pair: pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.exhaustive)
    for name, others in (OPPONENTS | {"restore": (*OPPONENTS["restore"], *ON_TOMBSTONE)}).items()
    for other in others
    for pair in ((name, other), (other, name))
    if pair[0] not in ON_TOMBSTONE
}
REFUSED = {
    **{
        ("delete", name): "NOT_FOUND"
        for name in ("edit", "react", "take back", "reply", "move twig below")
    },
    **dict.fromkeys([(name, "reply") for name in ("move", "move parent")], "NOT_FOUND"),
    **dict.fromkeys(itertools.permutations(("move below tree", "move tree below")), "NOT_MOVABLE"),
    **dict.fromkeys([("moderate", name) for name in ("edit", "react", "take back")], "NOT_FOUND"),
    ("erase", "edit"): "NOT_FOUND",
    **dict.fromkeys([("lock", name) for name in ("comment", "reply", "rename")], "LOCKED"),
    **dict.fromkeys([("erase", "moderate"), ("delete", "moderate")], "CONFLICT"),
    **dict.fromkeys([("erase", "restore"), ("purge", "restore")], "NOT_RESTORABLE"),
    **{("delete Bob", name): "NOT_FOUND" for name in OPPONENTS["delete Bob"][:-2]},
    **{
        ("hide Bob", name): "NOT_FOUND"
        for name in ("react to Bob", "take back from Bob", "flag Bob")
    },
    **dict.fromkeys([("erase", name) for name in ("flag", "move", "reply")], "NOT_FOUND"),
    **{
        (first, second): "NOT_FOUND"
        for first in ("delete author", "erase")
        for second in ("delete author", "erase")
    },
    **dict.fromkeys(
        [
            ("delete thread", name)
            for name in (*OPPONENTS["delete thread"], *ON_TREE[:2], "move twig below")
            if name not in ("purge", "delete author")
        ],
        "NOT_FOUND",
    ),
}
"""The codes with which the second is refused."""


@pytest.mark.parametrize(("first", "second"), PAIRS.values())
async def test_racing_changes_leave_nothing_behind(
    strict: Database, first: str, second: str
) -> None:
    board = Square(Host(strict))
    await board.fill()
    outcome = await race(board, CHANGES[first], (CHANGES | ON_TOMBSTONE)[second])
    expected = REFUSED.get((first, second), "ok")
    if (first, second) == ("lock", "move twig below"):
        # A move within a thread changes none of its numbers: it may come before the lock.
        expected = "LOCKED" if strict.is_sqlite else "ok"
    assert outcome == ["ok", expected]
    await board.assert_exact()
    rows = await read_rows(strict)
    if "delete thread" in (first, second):
        assert all(row.thread_id == board.other for row in rows.values())
    if {first, second} == {"purge", "restore"}:
        assert rows[board.ids[0]].message == ("" if first == "purge" else "word 0")
    if (second == "erase") == (outcome[1] == "ok") and "erase" in (first, second):
        await assert_erased(board)


# Each protection is needed. Units of SQLite run one by one, with locks and without.


async def add_empty_author(board: Board) -> None:
    """Make an author who has written no comment."""
    board.thread = await board.host.bob.thread("Engines")
    await board.host.ada.thread("Looms")
    query = select(Author.id).where(Author.subject == ADA.subject)
    board.author = await fetch_value(board.database, query)


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
    assert await fetch_value(database, select(Flag.author_id)) != board.author
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
    query = select(Revision.number).order_by(Revision.number)
    assert await fetch_values(database, query) == [1, 2, 3]
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


class Wiki(Policy):
    """Everybody may edit each comment."""

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return viewer is not None


@pytest.mark.parametrize("revisions", [20, 0])
async def test_erased_editor_leaves_no_quota(database: Database, revisions: int) -> None:
    """A check of an edit has written the hash of its text, beside the editor's key."""
    settings = {"repeat_time": 60, "revisions": revisions}
    board = Board(Host(database, policy=Wiki(), settings=settings))
    await board.fill()
    await board.host.bob.comment(await board.host.bob.thread("Mills"))
    query = select(Author.id).where(Author.subject == BOB.subject)
    board.author = await fetch_value(database, query)

    async def edit_by_bob(board: Board, unit: UnitOfWork) -> None:
        await edit_comment(unit, board.host.discussion.access(BOB), board.comment, "other")

    for text in ("first", "second") if revisions else ():
        await board.host.bob.do("editComment", "__typename", commentId=board.ids[2], message=text)
    assert await race(board, edit_by_bob, erase) == ["ok", "ok"]
    assert not any(
        board.author.hex in value or str(board.author) in value
        for value in await read_values(database)
    )


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
    assert await fetch_values(database, select(Mark.last_read_seq)) == [4 if is_greatest else 2]


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
    assert await fetch_values(database, select(ReactionTotal.count)) == [2]
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
