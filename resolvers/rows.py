"""Rows of a unit of work: as they are in memory, and what the database says of those gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.exc import StaleDataError

from ..errors import NotFound
from ..models import Base, Thread
from ..models.counters import counters
from ..policy import ThreadFacts
from .paging import Record

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


def facts_of(thread: Record) -> ThreadFacts:
    """What a policy is told of a thread."""
    return ThreadFacts(*(thread[name] for name in ThreadFacts._fields))


def known(obj: Base) -> Record:
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


def counted(session: AsyncSession, thread_id: UUID) -> Record:
    """A thread's key, and its counters where the flush brought them back."""
    return {"id": thread_id, **(counters.returned(session, Thread, thread_id) or {})}


@contextmanager
def gone(*, row: str | None = None, parent: str | None = None) -> Iterator[None]:
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
