"""Moves of comments with their replies, to another thread or below another comment.

All comments that a move changes, or counts for, are locked by one statement: the comment with its
replies of all levels, the comments above it, those above its new place, and those that answer one
of the moved. Then the flush locks the threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ..database.failures import BUSY
from ..database.unit_of_work import UnitOfWork
from ..errors import Busy, InvalidText, NotMovable
from ..host.access import Access
from ..host.policy import COMMENT_COLUMNS
from ..models import Comment
from .changes import ChangedRows, expect_arguments, finish
from .events import run_before
from .locking import lock_permitted, read_open_thread
from .pagination.arguments import Record
from .reply_places import REPLY_FIELD, Ancestry, ReplyPlace, is_open, require_reply
from .rows import counter_values, loaded_values, not_found, translate_missing_row
from .validation import expect_type
from .withdrawal import CommentTree, lock_tree

MAX_MOVED = 1000
"""The most comments of a move."""

ATTEMPTS = 5
"""How often a tree is locked to which others add meanwhile."""


class Destination(NamedTuple):
    """The place to which a comment is moved.

    :param reply_to_id: the comment to hang it on; None for the top level.
    """

    thread_id: UUID
    reply_to_id: UUID | None = None


async def move_comment(
    unit: UnitOfWork,
    access: Access,
    id: UUID,
    thread_id: UUID,
    reply_to_id: UUID | None = None,
) -> ChangedRows:
    """Move a comment with its replies to the top level of a thread, or below another comment.

    :param reply_to_id: the comment of that thread to which it becomes a reply.
    :raises NotFound: if there is no such comment, no such thread, or no such comment to reply to.
    :raises NotMovable: if it would be below itself, if its replies would be too deep, or if there
        are more than 1,000.
    :raises Locked: if that thread accepts no comments.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id, thread_id=thread_id)
    to = Destination(thread_id, reply_to_id)
    if reply_to_id is not None:
        expect_type(UUID, reply_to_id=reply_to_id)
    session = unit.session
    trees: list[CommentTree] = []

    async def lock() -> Comment | None:
        trees.append(await _lock(session, id, reply_to_id))
        return trees[-1].comments.get(id)

    access, comment, _ = await lock_permitted(
        session, access, id, "may_move", "move this comment", lock
    )
    tree, previous_id = trees[-1], comment.thread_id
    moved = collect_replies(tree.comments.values(), comment)
    is_elsewhere = thread_id != previous_id or reply_to_id is not None
    if is_elsewhere and (access.rules.hooks or not access.may_reply_anywhere):
        await _read_new_thread(session, access, to, moved, tree)
    place = _find_place(access, tree, comment, moved, to)
    rows: dict[str, Record] = {
        "thread": {"id": thread_id},
        "comment": {**loaded_values(comment), "thread_id": thread_id, **place._asdict()},
        "previous_thread": {"id": previous_id},
    }
    await run_before(unit, access, "move_comment", **rows)
    with translate_missing_row(row="commentId", parent="threadId"):
        _change_places(tree, comment, moved, to, place)
        await tree.write()
    if is_elsewhere:
        thread = await _read_new_thread(session, access, to, moved, tree)
    else:
        thread = counter_values(session, thread_id)
    previous = counter_values(session, previous_id)
    change = ChangedRows(thread, loaded_values(comment), previous, removed_ids=tuple(tree.unlisted))
    return await finish(unit, access, "move_comment", change)


async def _lock(session: AsyncSession, id: UUID, reply_to_id: UUID | None) -> CommentTree:
    """Lock the comments that the move of one may change."""
    keys = {id} if reply_to_id is None else {id, reply_to_id}
    for _ in range(ATTEMPTS):
        tree = await lock_tree(session, keys, moved_id=id, max_moved=MAX_MOVED + 1)
        comment = tree.comments.get(id)
        if comment is None:
            return tree
        moved = collect_replies(tree.comments.values(), comment)
        if len(moved) > MAX_MOVED:
            raise NotMovable(
                f"The comment has more than {MAX_MOVED:,} replies; move a part of them first.",
                field="commentId",
            )
        children = Counter(row.parent_id for row in tree.comments.values())
        if all(children[row.id] == row.child_count for row in moved.values()):
            return tree
        # While it waited for a lock, a reply was added.
    raise Busy(BUSY)


def collect_replies(rows: Iterable[Comment], comment: Comment) -> dict[UUID, Comment]:
    """Return a comment and those of the rows that are below it, by key."""
    below: dict[UUID | None, list[Comment]] = {}
    for row in rows:
        below.setdefault(row.parent_id, []).append(row)
    moved, pending = {}, [comment]
    while pending:
        row = pending.pop()
        moved[row.id] = row
        pending += below.get(row.id, ())
    return moved


def _find_place(
    access: Access,
    tree: CommentTree,
    comment: Comment,
    moved: Mapping[UUID, Comment],
    to: Destination,
) -> ReplyPlace:
    """Return the new place of a comment.

    :raises NotMovable: if there is none.
    :raises NotFound: if there is no such comment to reply to.
    """
    if to.reply_to_id is None:
        return ReplyPlace()
    if to.reply_to_id in moved:
        raise NotMovable(
            "A comment cannot be a reply to itself, or to one below it; take another one.",
            field="replyToId",
        )
    ancestry = _ancestry(tree, to.reply_to_id)
    if ancestry is None or not is_open(ancestry.comment, to.thread_id):
        raise not_found(REPLY_FIELD)  # before its depth tells that there is one
    max_depth = access.rules.reply_depth
    place = ancestry.place_of_reply(max_depth)
    height = max(row.depth for row in moved.values()) - comment.depth
    if height and place.depth + height > max_depth:
        raise NotMovable(
            f"Its replies would be deeper than {max_depth} levels; take a comment that is higher"
            " up.",
            field="replyToId",
        )
    return place


def _ancestry(tree: CommentTree, id: UUID) -> Ancestry | None:
    rows: list[Record] = []
    row = tree.comments.get(id)
    while row is not None:
        names = (*COMMENT_COLUMNS, "parent_id", "root_id", "depth", "shown")
        rows.append({name: getattr(row, name) for name in names})
        row = None if row.parent_id is None else tree.comments[row.parent_id]
    return Ancestry(tuple(rows)) if rows else None


def _change_places(
    tree: CommentTree,
    comment: Comment,
    moved: Mapping[UUID, Comment],
    to: Destination,
    place: ReplyPlace,
) -> None:
    """Give a comment its new place, and its replies that of the comment."""
    old = (comment.thread_id, comment.parent_id, comment.in_reply_to_id)
    if (to.thread_id, place.parent_id, place.in_reply_to_id) == old:
        return
    if place.parent_id != comment.parent_id:
        tree.detach(comment)
    deeper = place.depth - comment.depth
    for row in tree.comments.values():
        # Those that are apart from now on do not answer each other.
        if row.in_reply_to_id is not None and (row.id in moved) != (row.in_reply_to_id in moved):
            row.in_reply_to_id = None
    for row in moved.values():
        row.thread_id = to.thread_id
        row.depth += deeper
        if row is not comment:
            row.root_id = place.root_id or comment.id
    comment.parent_id, comment.root_id = place.parent_id, place.root_id
    comment.in_reply_to_id = place.in_reply_to_id


async def _read_new_thread(
    session: AsyncSession,
    access: Access,
    to: Destination,
    moved: Mapping[UUID, Comment],
    tree: CommentTree,
) -> Record:
    """Read the thread that comments are moved to, which must accept comments of that length."""
    is_reply = to.reply_to_id is not None
    thread = await read_open_thread(session, access, to.thread_id, replying=is_reply)
    if to.reply_to_id is not None:
        require_reply(access, _ancestry(tree, to.reply_to_id), thread)
    length = max(len(row.message) for row in moved.values())
    max_length = access.rules.message_length_of(thread["target_type"])
    if length > max_length:
        raise InvalidText(
            f"The comment has {length} characters, and that thread takes at most {max_length};"
            " shorten it first.",
            field="threadId",
            code="TOO_LONG",
            params={"max": max_length, "actual": length},
        )
    return thread
