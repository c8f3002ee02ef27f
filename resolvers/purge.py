"""The purge of texts of deleted comments that cannot be restored any more, and of old quotas."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, tuple_

from ..database import Database
from ..database.unit_of_work import UnitOfWork
from ..models import Comment, Quota, WithdrawnText
from ..models.base import now
from ..models.comment import DELETED

_Place = tuple[datetime, UUID]


async def purge_texts(
    database: Database,
    before: datetime,
    *,
    batch_size: int = 1000,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Delete the texts of comments that were deleted before a time; return their number.

    Each batch is a unit of work of its own, so that the call can be interrupted and repeated at any
    time. The texts of hidden comments stay.

    :param progress: called after each batch with the numbers of purged texts and of all of them.
    """
    async with database.read() as connection:
        query = select(func.count()).select_from(_deleted_texts(before).subquery())
        total = (await connection.execute(query)).scalar_one()
    purged, place = 0, None
    while True:

        async def work(unit: UnitOfWork, after: _Place | None = place) -> tuple[int, _Place | None]:
            return await _purge_batch(unit, before, after, batch_size)

        number, place = await database.write(work)
        if place is None:
            return purged
        purged += number
        progress(purged, max(total, purged))


async def purge_quotas(database: Database, *, batch_size: int = 1000) -> int:
    """Delete quotas of the checks of comments that have ended; return their number.

    Each batch is a unit of work of its own.
    """
    keys = select(Quota.subject, Quota.purpose).where(Quota.ends_at <= now()).limit(batch_size)
    ended = keys.with_for_update(skip_locked=True)
    chosen = tuple_(Quota.subject, Quota.purpose).in_(ended)
    # A quota that somebody has renewed meanwhile counts on.
    statement = delete(Quota).where(chosen, Quota.ends_at <= now())

    async def work(unit: UnitOfWork) -> int:
        options = {"synchronize_session": False}
        result: Any = await unit.session.execute(statement, execution_options=options)
        number: int = result.rowcount
        return number

    purged = 0
    while number := await database.write(work):
        purged += number
    return purged


def _deleted_texts(before: datetime) -> Any:
    columns = (WithdrawnText.withdrawn_at, WithdrawnText.comment_id)
    query = select(*columns).join(Comment, Comment.id == WithdrawnText.comment_id)
    return query.where(WithdrawnText.withdrawn_at < before, Comment.status == DELETED)


async def _purge_batch(
    unit: UnitOfWork, before: datetime, after: _Place | None, size: int
) -> tuple[int, _Place | None]:
    """Purge the next texts; return their number, and the place of the last, None at the end."""
    place = tuple_(WithdrawnText.withdrawn_at, WithdrawnText.comment_id)
    query = _deleted_texts(before).order_by(*place.clauses).limit(size)
    if after is not None:
        query = query.where(place > after)
    rows = (await unit.session.execute(query)).all()
    if not rows:
        return 0, None
    # Under their locks no comment is restored, not even to be hidden, with its text at rest.
    is_deleted = Comment.id.in_([row.comment_id for row in rows]) & (Comment.status == DELETED)
    locked = select(Comment.id).where(is_deleted).order_by(Comment.id.desc())
    ids = (await unit.session.scalars(locked.with_for_update(key_share=True))).all()
    chosen = WithdrawnText.comment_id.in_(ids) & (WithdrawnText.withdrawn_at < before)
    statement = delete(WithdrawnText).where(chosen).returning(WithdrawnText.comment_id)
    purged = await unit.session.execute(statement, execution_options={"synchronize_session": False})
    return len(purged.all()), (rows[-1].withdrawn_at, rows[-1].comment_id)
