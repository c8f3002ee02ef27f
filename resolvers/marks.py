"""Marks of what a viewer has read, each change within the session of a unit of work.

A mark is written by one INSERT that moves an existing one forward, so two at once end with the
greater, in whichever order they come.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import Repeated, UnitOfWork
from ..errors import SignInRequired
from ..host.access import Access
from ..models import Mark, Thread
from .authors import get_or_create_author
from .changes import expect_arguments
from .events import run_after, run_before
from .pagination.arguments import Record
from .rows import not_found
from .validation import expect_type


class MarkChange(NamedTuple):
    """A mark after a change."""

    thread: Record
    last_read_seq: int


async def mark_read(
    unit: UnitOfWork, access: Access, thread_id: UUID, up_to: int | None = None
) -> MarkChange:
    """Mark the comments of a thread as read by the viewer. A mark that is further stays.

    :param up_to: the number of the last comment that is read (:attr:`.Comment.seq`); None for all
        comments that there are. A number beyond the thread's last one counts as that one, so that
        no later comment is read before it is there.
    :raises NotFound: if there is no such thread.
    :raises SignInRequired, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, thread_id=thread_id)
    if up_to is not None:
        expect_type(int, up_to=up_to)
    if access.viewer is None:
        raise SignInRequired("Guests have no marks of what they have read; sign in first.")
    session = unit.session
    access, author_id = await get_or_create_author(session, access)
    condition = access.read_condition()
    query = select(Thread.last_seq).where(Thread.id == thread_id)
    last = await session.scalar(query if condition is None else query.where(condition))
    if last is None:
        raise not_found("threadId")
    seq = last if up_to is None else max(0, min(up_to, last))
    writer, rows = access.with_author(author_id), {"thread": {"id": thread_id}}
    await run_before(unit, writer, "mark_read", **rows, last_read_seq=seq)
    mark = {"author_id": author_id, "thread_id": thread_id, "last_read_seq": seq}
    seq = await _move_forward(session, mark)
    await run_after(unit, writer, "mark_read", **rows, last_read_seq=seq)
    return MarkChange(rows["thread"], seq)


async def _move_forward(session: AsyncSession, mark: Record) -> int:
    """Insert a mark, or move the one that is there forward; return where it is.

    :raises Repeated: if the author or the thread has been deleted meanwhile; the unit of work runs
        again, and finds out which.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert: Any = (sqlite.insert if is_sqlite else postgresql.insert)(Mark).values(mark)
    greatest = func.max if is_sqlite else func.greatest
    statement = insert.on_conflict_do_update(
        index_elements=[Mark.author_id, Mark.thread_id],
        set_={"last_read_seq": greatest(Mark.last_read_seq, insert.excluded.last_read_seq)},
    )
    try:
        seq: int = (await session.execute(statement.returning(Mark.last_read_seq))).scalar_one()
    except IntegrityError as error:
        raise Repeated from error
    return seq
