"""Rows of a unit of work: as they are in memory, and what the database says of those gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.exc import StaleDataError

from ..counters.session.binds import write_bind
from ..errors import NotFound
from ..host.policy import ThreadContext
from ..models import Base, Thread
from ..models.counters import counters
from .pagination.arguments import Record

THREAD_COLUMNS = tuple(
    column.class_attribute
    for column in inspect(Thread).column_attrs
    if column.key != "title_folded"
)


_INTERNAL = frozenset({"author_name_key", "submission_key"})
"""Columns of a comment that are no part of what it says."""


async def read_thread(session: AsyncSession, *where: ColumnElement[bool]) -> Record | None:
    """The row of the one thread that meets the conditions; None where there is none."""
    row = (await session.execute(select(*THREAD_COLUMNS).where(*where))).one_or_none()
    return None if row is None else row._asdict()


async def lock_thread_row(session: AsyncSession, *where: ColumnElement[bool]) -> Record | None:
    """Return the row of the one thread that meets the conditions, under its lock.

    The lock is the one that an UPDATE of the counters takes, and is held until the transaction
    ends. On PostgreSQL, a row that was waited for is returned as it has become, or not at all
    where it no longer meets the conditions (PostgreSQL's documentation, 13.2.1). On SQLite, the
    whole database is locked.

    :returns: None where there is no such thread.
    """
    bind = await session.run_sync(_begin_to_write)
    query = select(*THREAD_COLUMNS).where(*where).with_for_update(key_share=True, of=Thread)
    row = (await session.execute(query, bind_arguments={"bind": bind})).one_or_none()
    return None if row is None else row._asdict()


def _begin_to_write(session: Session) -> Engine | Connection:
    """Return what `session` writes threads to; on SQLite, in a transaction that has begun.

    Python's driver begins none for a SELECT, so another connection could write between that and
    the INSERT. A transaction that has begun to read needs no lock: it fails to write where another
    has written meanwhile.
    """
    bind = write_bind(session, inspect(Thread))
    if bind.dialect.name == "sqlite":
        connection = session.connection(bind_arguments={"bind": bind})
        if not getattr(connection.connection.driver_connection, "in_transaction", True):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    return bind


def thread_context(thread: Record) -> ThreadContext:
    """What a policy is told of a thread."""
    return ThreadContext(*(thread[name] for name in ThreadContext._fields))


def loaded_values(obj: Base) -> Record:
    """Return the columns of an object that are in memory; all of them of a new object.

    What a new object does not hold, such as its counters, is read without a statement.
    """
    state: InstanceState[Any] = inspect(obj)
    columns = (attribute.key for attribute in obj.__mapper__.column_attrs)
    return {
        key: getattr(obj, key)
        for key in columns
        if (state.key is None or key in state.dict) and key not in _INTERNAL
    }


def counter_values(session: AsyncSession, thread_id: UUID) -> Record:
    """A thread's key, and its counters where the flush brought them back."""
    return {"id": thread_id, **(counters.flushed_values(session, Thread, thread_id) or {})}


@contextmanager
def translate_missing_row(*, row: str | None = None, parent: str | None = None) -> Iterator[None]:
    """Turn what the database says of a row that is gone into NotFound.

    :param row: the input that names the row to change, such as ``commentId``.
    :param parent: the input that names the row that its foreign key points to.
    """
    try:
        yield
    except StaleDataError as error:
        if row is None:
            raise
        raise not_found(row) from error
    except IntegrityError as error:
        if parent is None or not _is_foreign_key(error):
            raise
        raise not_found(parent) from error


def not_found(field: str) -> NotFound:
    """What is said of a row that is not there, and of one that the viewer may not read."""
    what = field.removesuffix("Id")
    return NotFound(f"There is no such {what}; it may have been deleted.", field=field)


def _is_foreign_key(error: IntegrityError) -> bool:
    """Whether a foreign key has no row (PostgreSQL: Appendix A, foreign_key_violation)."""
    if getattr(error.orig, "sqlstate", None) == "23503":
        return True
    return "FOREIGN KEY constraint failed" in str(error.orig)
