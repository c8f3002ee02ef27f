"""Changes of a discussion that race with each other, and the board that they change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import UnitOfWork
from tallied.models import Reaction, Revision
from tallied.models.base import now
from tallied.models.comment import DELETED
from tallied.resolvers import purge
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

from .board import Board, Change
from .host import ADA, BOB, key
from .reply_trees import add_reply, assert_sound, read_rows, read_values


class Square(Board):
    """A board with a second tree, a comment of Bob's, and a heart for it and for one of Ada's."""

    async def fill(self) -> None:
        await super().fill()
        tree = await self.host.ada.comment(self.thread, "tree")
        self.tree, self.twig = key(tree), key(await add_reply(self.database, tree, "twig"))
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
            latest = [revision for revision in revisions if revision.comment_id == row.id][-1]
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


def moderate(name: str, status: str) -> Change:
    return lambda board, unit: moderate_comments(unit, board.access, [getattr(board, name)], status)


def edit(name: str) -> Change:
    """Return a correction by the host."""
    return lambda board, unit: edit_comment(unit, board.access, getattr(board, name), "corrected")


def delete(name: str) -> Change:
    return lambda board, unit: delete_comment(unit, board.access, getattr(board, name))


def move(name: str, to: str | None = None) -> Change:
    """Return the move of a comment below another one, or to the other thread."""

    async def change(board: Board, unit: UnitOfWork) -> None:
        thread, below = (
            (board.other, None) if to is None else (key(board.thread), getattr(board, to))
        )
        await move_comment(unit, board.access, getattr(board, name), thread, reply_to_id=below)

    return change


async def rename(board: Board, unit: UnitOfWork) -> None:
    """Add a comment of Ada's under another name."""
    access = board.host.discussion.access_as_host(Viewer(ADA.subject, "Ada L."))
    await add_comment(unit, access, key(board.thread), NewComment("word"))


async def purge_all(board: Board, unit: UnitOfWork) -> None:
    await purge._purge_batch(unit, now() + timedelta(days=1), None, 10)


async def erase(board: Board, unit: UnitOfWork) -> None:
    await erase_author(lambda work: work(unit), board.access, board.author)


def reply(name: str) -> Change:
    async def change(board: Board, unit: UnitOfWork) -> None:
        new, parent = NewComment("re ply", "Gast"), getattr(board, name)
        await add_comment(unit, board.access, key(board.thread), new, reply_to_id=parent)

    return change


CHANGES: dict[str, Change] = {
    "edit": lambda board, unit: edit_comment(unit, as_ada(board), board.comment, "more"),
    "moderate": moderate("comment", "rejected"),
    "delete": delete("comment"),
    "delete child": delete("child"),
    "delete parent": delete("parent"),
    "move": move("comment"),
    "move parent": move("parent"),
    "move below tree": move("comment", "tree"),
    "move tree below": move("tree", "comment"),
    "move twig below": move("twig", "comment"),
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
    "approve Bob": moderate("theirs", "published"),  # it closes Ada's flag
    "edit Bob": edit("theirs"),
    "hide Bob": moderate("theirs", "spam"),
    "move Bob": move("theirs"),
    "delete Bob": delete("theirs"),
    "rename": rename,
    "reply": reply("comment"),
    "purge": purge_all,
    "restore": lambda board, unit: restore_comment(unit, board.access, board.tombstone),
    "lock": lambda board, unit: lock_thread(unit, board.access, key(board.thread), True),
    "erase": erase,
    "delete author": lambda board, unit: delete_author(unit, board.access, board.author),
    "delete thread": lambda board, unit: delete_thread(unit, board.access, key(board.thread)),
}
ON_TOMBSTONE: dict[str, Change] = {
    "react to tombstone": react("tombstone", "like"),
    "flag tombstone": flag(BOB, "tombstone"),
    "reply to tombstone": reply("tombstone"),
    "edit tombstone": edit("tombstone"),
    "moderate tombstone": moderate("tombstone", "rejected"),
    "move tombstone": move("tombstone"),
}
"""Changes of a deleted comment, which are refused unless it is restored."""


async def assert_erased(board: Board) -> None:
    values = " ".join(await read_values(board.database))
    for trace in ("Ada", "user-1", "word", "more", board.author.hex, str(board.author)):
        assert trace not in values, trace
