"""Leased connections: compiled statements to read by, and the number of leases."""

from __future__ import annotations

from sqlalchemy import Integer, Uuid, bindparam, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tallied.database import Database
from tallied.database.row_reader import EngineReader, RowReader
from tallied.database.statement import CompiledStatement
from tallied.models import Thread

SLOW_SQLITE = (
    "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number"
    " WHERE n < 1000000000) SELECT count(*) AS n FROM number"
)


def sum_statement(database: Database) -> CompiledStatement:
    """Return a statement that adds its parameter to 40."""
    return database.compile(select(bindparam("number", type_=Integer) + literal(40)))


def thread_statement(database: Database) -> CompiledStatement:
    """Return a statement that reads the thread with the parameter ``key``."""
    columns = (Thread.id, Thread.title, Thread.created_at, Thread.last_comment_at)
    where = Thread.id == bindparam("key", type_=Uuid())
    return database.compile(select(*columns).where(where))


def slow_statement(database: Database) -> CompiledStatement:
    """Return a statement that takes a minute."""
    if database.is_sqlite:
        part = text(SLOW_SQLITE).columns(n=Integer).subquery("slow")
        return database.compile(select(part.c.n))
    return database.compile(select(func.pg_sleep(60)))


async def connect(database: Database) -> None:
    """Read once, so that the database knows whether there is a pooler."""
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))


async def kind(database: Database) -> type[RowReader]:
    """Return the class of the reader that the database has after it was connected."""
    await connect(database)
    async with database.rows() as reader:
        assert await reader.fetch(sum_statement(database), {"number": 2}) == [(42,)]
        return type(reader)


async def uses_engine(database: Database) -> bool:
    """Return whether rows are read by SQLAlchemy's engine."""
    return await kind(database) is EngineReader


def taken(engine: AsyncEngine) -> int:
    """Return how many connections are out of the pool."""
    return int(engine.pool.checkedout())  # type: ignore[attr-defined]
