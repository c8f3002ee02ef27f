"""Rows that several units may insert at once, and that exist once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ..models import Base
from ..models.counters import counters
from .pagination.arguments import Record


async def insert_if_new(session: AsyncSession, entity: type[Base], row: Record) -> bool:
    """Insert a row unless one of its unique values is taken; return whether it was inserted.

    A unit that comes second waits for the first, and can read its row then.

    :param row: the values by attribute name, with the key; those of counters are ignored.
    """
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    insert: Any = postgresql.insert if is_postgresql else sqlite.insert
    mapper = inspect(entity)
    counted = {counter.key for counter in counters.counters_of(mapper)}
    values = {name: value for name, value in row.items() if name not in counted}
    statement = insert(entity).values(values).on_conflict_do_nothing()
    result = await session.execute(statement.returning(*mapper.primary_key))
    return result.one_or_none() is not None
