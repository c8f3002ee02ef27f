"""The place of a reply in the tree of a thread's comments.

A comment is read with all comments above it, its ancestry. Their lock is the one that an UPDATE of
their counters takes, from the greatest key to the smallest as in every flush
(:mod:`tallied.counters.sql.tree_locks`), and before that of the thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.failures import BUSY
from ..errors import Busy
from ..host.access import Access
from ..host.policy import COMMENT_COLUMNS
from ..models import Comment
from .pagination.arguments import Record
from .rows import begin_to_write, comment_context, not_found, thread_context

REPLY_FIELD = "replyToId"
"""The input field that names the comment to reply to."""

ATTEMPTS = 5
"""How often an ancestry is locked that others move meanwhile."""

_COLUMNS = (*COMMENT_COLUMNS, "parent_id", "root_id", "depth", "shown")


class ReplyPlace(NamedTuple):
    """The values of the columns by which a comment is a reply."""

    parent_id: UUID | None = None
    root_id: UUID | None = None
    in_reply_to_id: UUID | None = None
    depth: int = 0


class Ancestry(NamedTuple):
    """A comment, and those above it up to the top level."""

    comments: tuple[Record, ...]

    @property
    def comment(self) -> Record:
        """The comment itself."""
        return self.comments[0]

    def place_of_reply(self, max_depth: int) -> ReplyPlace:
        """Return the place of a reply to the comment.

        A reply that would be deeper than `max_depth` gets the deepest parent that it may have.
        """
        comment = self.comment
        parent = next((row for row in self.comments if row["depth"] < max_depth), None)
        if parent is None:
            return ReplyPlace(in_reply_to_id=comment["id"])
        return ReplyPlace(
            parent["id"],
            parent["root_id"] or parent["id"],
            None if parent is comment else comment["id"],
            parent["depth"] + 1,
        )


async def read_ancestry(session: AsyncSession, id: UUID) -> Ancestry | None:
    """Return the ancestry of a comment, or None if there is no such comment."""
    return _trace(id, await _read(session, _select(id)))


async def lock_ancestry(session: AsyncSession, id: UUID) -> Ancestry | None:
    """Return the ancestry of a comment under its locks, or None if there is no such comment.

    :raises Busy: if others move its comments each time.
    """
    bind = await session.run_sync(begin_to_write)
    query = _select(id).order_by(Comment.id.desc()).with_for_update(key_share=True, of=Comment)
    for _ in range(ATTEMPTS):
        rows = await _read(session, query, bind_arguments={"bind": bind})
        ancestry = _trace(id, rows)
        if ancestry is not None or id not in rows:
            return ancestry
        # While it waited for a lock, a comment was moved below another one.
    raise Busy(BUSY)


def require_reply(access: Access, ancestry: Ancestry | None, thread: Record) -> Ancestry:
    """Check that the viewer may reply to a comment, and return its ancestry.

    :param thread: the thread that the reply is for.
    :raises NotFound: for a comment that is not there, that readers do not see, or that is in
        another thread.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    if ancestry is None or not is_open(ancestry.comment, thread["id"]):
        raise not_found(REPLY_FIELD)
    context = comment_context(ancestry.comment, thread_context(thread))
    access.require(access.may("may_reply", context), "reply to this comment")
    return ancestry


def is_open(comment: Record, thread_id: UUID) -> bool:
    """Return whether a comment of that thread can have replies."""
    return bool(comment["shown"]) and comment["thread_id"] == thread_id


def _select(id: UUID) -> Select[Any]:
    base = select(Comment.id, Comment.parent_id).where(Comment.id == id)
    above = base.cte("above", recursive=True)
    parents = select(Comment.id, Comment.parent_id).join(above, Comment.id == above.c.parent_id)
    above = above.union_all(parents)
    columns = (getattr(Comment, name) for name in _COLUMNS)
    return select(*columns).where(Comment.id.in_(select(above.c.id)))


async def _read(session: AsyncSession, query: Select[Any], **options: Any) -> dict[UUID, Record]:
    rows = await session.execute(query, **options)
    return {row["id"]: row for row in map(_plain, rows.mappings())}


def _plain(row: Mapping[Any, Any]) -> Record:
    """Return a row with plain UUIDs: asyncpg has a subclass of its own."""
    return {
        key: UUID(int=value.int) if isinstance(value, UUID) else value for key, value in row.items()
    }


def _trace(id: UUID, rows: Mapping[UUID, Record]) -> Ancestry | None:
    """Return the ancestry of a comment, or None if one of its comments is missing."""
    comments: list[Record] = []
    key: UUID | None = id
    while key is not None:
        row = rows.get(key)
        if row is None:
            return None
        comments.append(row)
        key = row["parent_id"]
    return Ancestry(tuple(comments))
