"""Rows that several units may make at once, of which one comes to be."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ..models import Base
from ..models.counters import counters
from .pagination.arguments import Record


async def insert_if_new(session: AsyncSession, entity: type[Base], row: Record) -> bool:
    """Whether the row is new; where a unique value of it is taken, nothing is done.

    A unit that comes second waits for the first, and then finds its row.

    :param row: values by attribute name, with the key; counters are left to their engine.
    """
    insert: Any = sqlite.insert
    if session.get_bind().dialect.name == "postgresql":
        insert = postgresql.insert
    mapper = inspect(entity)
    counted = {counter.key for counter in counters.counters_of(mapper)}
    values = {name: value for name, value in row.items() if name not in counted}
    statement = insert(entity).values(values).on_conflict_do_nothing()
    made = await session.execute(statement.returning(*mapper.primary_key))
    return made.one_or_none() is not None
