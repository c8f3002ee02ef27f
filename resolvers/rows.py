"""Rows of a unit of work: their values in memory, and errors for those that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, bindparam, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.exc import StaleDataError

from ..counters import Counters
from ..counters.session.binds import write_bind
from ..counters.sql.driver import DriverStatement
from ..errors import NotFound
from ..host.policy import COMMENT_COLUMNS, CommentContext, ThreadContext
from ..models import Base, Thread
from ..models.counters import counters
from .pagination.arguments import Record

THREAD_COLUMNS = tuple(
    column.class_attribute
    for column in inspect(Thread).column_attrs
    if column.key != "title_folded"
)


ENGINE = Counters.__module__.rpartition(".")[0]
"""The package whose listeners change no select."""

_INTERNAL = frozenset({"author_name_key", "submission_key"})
"""The columns of a comment that serve lookups only."""


async def read_thread(session: AsyncSession, *conditions: ColumnElement[bool]) -> Record | None:
    """Return the row of the one thread that meets the conditions, or None."""
    row = (await session.execute(select(*THREAD_COLUMNS).where(*conditions))).one_or_none()
    return None if row is None else row._asdict()


async def lock_thread_row(session: AsyncSession, *conditions: ColumnElement[bool]) -> Record | None:
    """Return the row of the one thread that meets the conditions, under its lock.

    The lock is the one that an UPDATE of the counters takes, and is held until the transaction
    ends. On PostgreSQL, a row that was waited for is returned with its new values, or not at all
    if it no longer meets the conditions (PostgreSQL's documentation, 13.2.1). On SQLite, the whole
    database is locked.

    :returns: None if there is no such thread.
    """
    bind = await session.run_sync(begin_to_write)
    query = _select_locked(*conditions)
    row = (await session.execute(query, bind_arguments={"bind": bind})).one_or_none()
    return None if row is None else _record_lock(session, row._asdict())


async def lock_thread(session: AsyncSession, id: UUID) -> Record | None:
    """Return the row of a thread under its lock, as :func:`lock_thread_row` does, in less time."""
    rows = await fetch_rows(session, Thread, _LOCKED_THREAD, {"thread_id": id})
    return _record_lock(session, dict(zip(THREAD_NAMES, rows[0], strict=True))) if rows else None


def _record_lock(session: AsyncSession, row: Record) -> Record:
    """Record that a thread is locked, so that the flush need not lock it to number comments."""
    counters.record_lock(session.sync_session, Thread, row["id"], row)
    return row


def has_criteria(session: Session) -> bool:
    """Return whether a listener of a host's may change what the session selects."""
    return any(
        not str(getattr(listener, "__module__", "")).startswith(f"{ENGINE}.")
        for listener in session.dispatch.do_orm_execute
    )


def _select_locked(*conditions: ColumnElement[bool]) -> Select[Any]:
    query = select(*THREAD_COLUMNS).where(*conditions)
    return query.with_for_update(key_share=True, of=Thread)


_LOCKED_THREAD = DriverStatement(_select_locked(Thread.id == bindparam("thread_id")))

THREAD_NAMES = tuple(column.key for column in THREAD_COLUMNS)


async def fetch_rows(
    session: AsyncSession, entity: type[Base], statement: DriverStatement, parameters: Record
) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement that locks some of `entity`; they are not in the session."""
    if not has_criteria(session.sync_session):
        return await session.run_sync(_fetch_rows, entity, statement, parameters)
    bind = {"bind": await session.run_sync(begin_to_write, entity)}
    return (await session.execute(statement.statement, parameters, bind_arguments=bind)).all()


def _fetch_rows(
    session: Session, entity: type[Base], statement: DriverStatement, parameters: Record
) -> Sequence[Sequence[Any]]:
    if session.autoflush:
        session.flush()
    bind = begin_to_write(session, entity)
    return statement.fetch(session.connection(bind_arguments={"bind": bind}), parameters)


def begin_to_write(session: Session, entity: type[Base] = Thread) -> Engine | Connection:
    """Return the bind to which `session` writes those rows; on SQLite, within a transaction.

    Python's driver begins no transaction for a SELECT, so another connection could write between
    the SELECT and the INSERT. A transaction that has begun to read needs no lock: it fails to write
    if another has written meanwhile.
    """
    bind = write_bind(session, inspect(entity))
    if bind.dialect.name == "sqlite":
        connection = session.connection(bind_arguments={"bind": bind})
        if not getattr(connection.connection.driver_connection, "in_transaction", True):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    return bind


_read_thread = itemgetter(*ThreadContext._fields)
_read_comment = itemgetter(*COMMENT_COLUMNS)


def thread_context(thread: Record) -> ThreadContext:
    """Return the context of a thread for a policy."""
    return ThreadContext._make(_read_thread(thread))


def comment_context(comment: Record, thread: ThreadContext) -> CommentContext:
    """Return the context of a comment for a policy."""
    return CommentContext._make([*_read_comment(comment), thread])


def split_comment_context(values: Sequence[Any]) -> CommentContext:
    """Return the context of a comment whose columns, and then its thread's, have these values."""
    count = len(COMMENT_COLUMNS)
    return CommentContext._make([*values[:count], ThreadContext._make(values[count:])])


def loaded_values(obj: Base) -> Record:
    """Return the columns of an object that are in memory: all of them for a new object.

    Those that a new object has no value for, such as its counters, need no statement either.
    """
    state = instance_state(obj)
    is_new, memory = state.key is None, state.dict
    return {
        key: memory[key] if key in memory else getattr(obj, key)
        for key in _shown_columns(type(obj))
        if is_new or key in memory
    }


@cache
def _shown_columns(model: type[Base]) -> tuple[str, ...]:
    keys = (attribute.key for attribute in inspect(model).column_attrs)
    return tuple(key for key in keys if key not in _INTERNAL)


def counter_values(session: AsyncSession, thread_id: UUID) -> Record:
    """Return the key of a thread, with its counters if the flush has returned them."""
    return {"id": thread_id, **(counters.flushed_values(session, Thread, thread_id) or {})}


@contextmanager
def translate_missing_row(*, row: str | None = None, parent: str | None = None) -> Iterator[None]:
    """Translate the database's error for a missing row into NotFound.

    :param row: the input field that names the row to change, such as ``commentId``.
    :param parent: the input field that names the row to which its foreign key points.
    """
    try:
        yield
    except StaleDataError as error:
        if row is None:
            raise
        raise not_found(row) from error
    except IntegrityError as error:
        if parent is None or not is_foreign_key_error(error):
            raise
        raise not_found(parent) from error


def not_found(field: str) -> NotFound:
    """Return the error for a row that is not there, or that the viewer may not read."""
    if field == "replyToId":
        return NotFound(
            "There is no such comment in this thread to reply to; it may have been deleted or"
            " moved.",
            field=field,
        )
    entity = "comment" if field == "ids" else field.removesuffix("Id")
    return NotFound(f"There is no such {entity}; it may have been deleted.", field=field)


def is_foreign_key_error(error: IntegrityError) -> bool:
    """Return whether a foreign key has no row (PostgreSQL, Appendix A: foreign_key_violation)."""
    if getattr(error.orig, "sqlstate", None) == "23503":
        return True
    return "FOREIGN KEY constraint failed" in str(error.orig)
