"""Rows of a database, changed and counted past the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text

from tallied.database import Database, UnitOfWork
from tallied.models import Thread


async def count_rows(database: Database, model: Any = Thread, *where: Any) -> int:
    """Return the number of rows of a model, by default the number of threads."""
    query = select(func.count()).select_from(model).where(*where)
    async with database.read() as connection:
        return (await connection.execute(query)).scalar_one()


async def add_threads(unit: UnitOfWork, number: int = 1) -> list[Thread]:
    """Add threads without comments, and flush them."""
    threads = [Thread(title=f"Thread {n}") for n in range(number)]
    unit.session.add_all(threads)
    await unit.session.flush()
    return threads


async def execute(database: Database, *statements: str) -> None:
    """Execute statements in one transaction."""
    async with database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
