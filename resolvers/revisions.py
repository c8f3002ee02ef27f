"""Revisions: the former messages of a comment, written by its edits and read by who may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.row_reader import RowReader
from ..database.unit_of_work import Repeated
from ..host.access import Access
from ..host.policy import COMMENT_COLUMNS, ThreadContext
from ..models import Author, Comment, Revision, Thread
from .lists import is_among_ids
from .pagination.arguments import Record
from .reaction_queries import AUTHOR_COLUMNS
from .rows import is_foreign_key_error, split_comment_context
from .selections import table_of

REPLACE_TIME = timedelta(seconds=60)
"""The time in which two edits of the same person leave one revision."""

REVISION, COMMENT, THREAD, AUTHOR = map(table_of, (Revision, Comment, Thread, Author))


class FormerMessage(NamedTuple):
    """What a comment said before an edit."""

    number: int
    message: str
    word_count: int
    edited_at: datetime
    editor_id: UUID | None
    """The author of the original; None for a later one, whose editor is in the history."""

    @classmethod
    def of(cls, comment: Comment) -> FormerMessage:
        """Return the present message of a comment that is about to be edited."""
        is_original = comment.revision == 1
        written_at = comment.created_at if is_original else comment.edited_at
        return cls(
            comment.revision,
            comment.message,
            comment.word_count,
            written_at or comment.created_at,
            comment.author_id if is_original else None,
        )


async def record_edit(
    session: AsyncSession,
    comment: Comment,
    former: FormerMessage,
    editor_id: UUID | None,
    limit: int,
) -> None:
    """Record an edit of a comment that is locked, and whose new message is written.

    :param editor_id: the author who has edited; None for the host and for guests.
    :param limit: how many revisions are kept of one comment; with 0 there is no history.
    :raises Repeated: if the editor has been deleted meanwhile; the unit of work runs again.
    """
    if not limit:
        return
    latest, count = None, 0
    if former.number > 1:
        latest, count = await _find_latest(session, comment.id)
    values = _values(comment, editor_id)
    if latest is not None and _replaces(latest, editor_id, values["edited_at"]):
        is_latest = (REVISION.c.comment_id == comment.id, REVISION.c.number == latest.number)
        await session.execute(update(REVISION).where(*is_latest).values(**values))
        return
    new = [{"comment_id": comment.id, **values}]
    if latest is None:  # The first edit, or the first since there is a history.
        new.insert(0, {"comment_id": comment.id, **former._asdict()})
    try:
        await session.execute(insert(REVISION), new)
    except IntegrityError as error:
        if is_foreign_key_error(error):  # The editor was deleted meanwhile.
            raise Repeated from error
        raise
    if count + len(new) > limit:
        await _prune(session, comment.id, count + len(new) - limit)


def _values(comment: Comment, editor_id: UUID | None) -> dict[str, Any]:
    return {
        "number": comment.revision,
        "message": comment.message,
        "word_count": comment.word_count,
        "edited_at": comment.edited_at,
        "editor_id": editor_id,
    }


def _replaces(latest: Any, editor_id: UUID | None, edited_at: datetime) -> bool:
    is_same = editor_id is not None and latest.editor_id == editor_id
    return is_same and latest.number > 1 and edited_at - latest.edited_at < REPLACE_TIME


async def _find_latest(session: AsyncSession, id: UUID) -> tuple[Any, int]:
    """Return the latest revision of a comment, and how many there are."""
    count = select(func.count()).where(REVISION.c.comment_id == id).scalar_subquery()
    columns = (REVISION.c.number, REVISION.c.editor_id, REVISION.c.edited_at)
    query = select(*columns, count.label("count")).where(REVISION.c.comment_id == id)
    row = (await session.execute(query.order_by(REVISION.c.number.desc()).limit(1))).one_or_none()
    return row, row.count if row else 0  # type: ignore[return-value]


async def _prune(session: AsyncSession, id: UUID, surplus: int) -> None:
    """Delete the oldest revisions of a comment."""
    oldest = select(REVISION.c.number).where(REVISION.c.comment_id == id)
    oldest = oldest.order_by(REVISION.c.number).limit(surplus)
    await session.execute(
        delete(REVISION).where(
            REVISION.c.comment_id == id, REVISION.c.number.in_(oldest.scalar_subquery())
        )
    )


async def delete_revisions(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Delete the history of comments whose texts are deleted."""
    await session.execute(delete(REVISION).where(REVISION.c.comment_id.in_(ids)))


class ReadRevision(NamedTuple):
    """A revision as it was read."""

    number: int
    message: str
    word_count: int
    edited_at: datetime
    editor: Record | None
    """The author who has written it; None for a guest, the host, and one who was deleted."""


async def read_revisions(
    reader: RowReader, access: Access, ids: Sequence[UUID]
) -> Mapping[UUID, list[ReadRevision]]:
    """Return the revisions of each of these comments, the oldest first, by one statement.

    A comment whose history the viewer may not read has none.
    """
    statement = _select_revisions(is_sqlite=reader.dialect.name == "sqlite")
    own = len(_OWN_COLUMNS)
    revisions: defaultdict[UUID, list[ReadRevision]] = defaultdict(list)
    permitted: dict[UUID, bool] = {}
    for id, *row in await reader.select(statement, {"ids": ids}):
        values, rest = row[:own], row[own:]
        editor = dict(zip(AUTHOR_COLUMNS, rest, strict=False))
        contexts = rest[len(AUTHOR_COLUMNS) :]
        if id not in permitted:
            permitted[id] = access.may_read_history(split_comment_context(contexts))
        if permitted[id]:
            revisions[id].append(ReadRevision._make([*values, editor if editor["id"] else None]))
    return revisions


_OWN_COLUMNS = ("number", "message", "word_count", "edited_at")


@cache
def _select_revisions(*, is_sqlite: bool) -> Select[Any]:
    columns = (REVISION.c[name] for name in _OWN_COLUMNS)
    statement = select_texts(REVISION, REVISION.c.editor_id, *columns, is_sqlite=is_sqlite)
    return statement.where(~COMMENT.c.placeholder).order_by(
        REVISION.c.comment_id, REVISION.c.number
    )


def select_texts(
    text: Any, author_key: Any, *columns: ColumnElement[Any], is_sqlite: bool
) -> Select[Any]:
    """Return the query of the rows of a table about the comments ``ids``.

    :returns: of each row the comment's key and the columns, then its author, if it has one, the
        comment and the thread, with the columns for a policy.
    """
    return (
        select(
            text.c.comment_id,
            *columns,
            *(AUTHOR.c[name] for name in AUTHOR_COLUMNS),
            *(COMMENT.c[name] for name in COMMENT_COLUMNS),
            *(THREAD.c[name] for name in ThreadContext._fields),
        )
        .select_from(
            text.join(COMMENT, COMMENT.c.id == text.c.comment_id)
            .join(THREAD, THREAD.c.id == COMMENT.c.thread_id)
            .outerjoin(AUTHOR, AUTHOR.c.id == author_key)
        )
        .where(
            is_among_ids(text.c.comment_id, is_sqlite=is_sqlite),
            # Without it, PostgreSQL would read all comments to join those of many texts.
            is_among_ids(COMMENT.c.id, is_sqlite=is_sqlite),
        )
    )
