"""A PostgreSQL role without the right to create extensions or schemas."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import URL
from support.api import Api
from support.rows import fetch_values, run_sync

from tallied.database import Database
from tallied.migrations.runner import downgrade, migrate, read_state
from tallied.models import Base

NAME = "few_rights"
INDEX = "ix_tallied_thread_title_folded"

INDEXES = text("SELECT indexname FROM pg_indexes WHERE indexname = :name")
EXTENSIONS = text("SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'")


@pytest.fixture
def owner(postgresql: URL) -> Iterator[URL]:
    """The URL of an empty database, as its owner has it; the role is given just one schema."""
    role = sql.Identifier(NAME)
    with psycopg.connect(postgresql.render_as_string(False), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY FILE_COPY").format(role))
        url = postgresql.set(database=NAME)
        with psycopg.connect(url.render_as_string(False), autocommit=True) as inside:
            for schema in ("public", "talk"):
                inside.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema_of(schema)))
                grant = sql.SQL("GRANT CREATE, USAGE ON SCHEMA {} TO {}")
                inside.execute(grant.format(schema_of(schema), role))
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def schema_of(name: str) -> sql.Identifier:
    return sql.Identifier(name)


@pytest.fixture
def url(owner: URL) -> str:
    """The same database, as the role has it."""
    return owner.set(drivername="postgresql+asyncpg", username=NAME).render_as_string(False)


async def create_all(database: Database) -> None:
    await run_sync(database, Base.metadata.create_all)


async def create_all_in_autocommit(database: Database) -> None:
    """Create the tables without a transaction, and so without savepoints."""
    async with database.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.run_sync(Base.metadata.create_all)


WAYS = [migrate, create_all, create_all_in_autocommit]


async def indexes(database: Database) -> list[str]:
    async with database.read() as connection:
        return list(await connection.scalars(INDEXES, {"name": INDEX}))


async def result(database: Database, part: str) -> list[str]:
    page = await Api(database)(
        "query($by: ThreadFilter) { threads(first: 9, filterBy: $by) { nodes { title } } }",
        by={"titleContains": part},
    )
    return [node["title"] for node in page["nodes"]]


@pytest.mark.parametrize("make", WAYS)
async def test_without_extension_titles_are_found_without_its_index(
    url: str, make: Callable[[Database], Awaitable[object]], caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(url)
    try:
        with caplog.at_level(logging.WARNING):
            await make(database)
        (warning,) = [item.getMessage() for item in caplog.records]
        assert "pg_trgm" in warning
        assert "titles" in warning
        assert await indexes(database) == []
        assert await fetch_values(database, EXTENSIONS) == []
        api = Api(database)
        for title in ("A Needle in it", "Nothing"):
            await api.thread(title)
        assert await result(database, "NEEDLE") == ["A Needle in it"]
        assert await result(database, "no such") == []
    finally:
        await database.dispose()


@pytest.mark.parametrize("make", WAYS)
async def test_existing_extension_is_used(
    owner: URL,
    url: str,
    make: Callable[[Database], Awaitable[object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with psycopg.connect(owner.render_as_string(False), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
    database = Database(url)
    try:
        with caplog.at_level(logging.WARNING):
            await make(database)
        assert caplog.records == []
        assert await indexes(database) == [INDEX]
        await Api(database).thread("A Needle in it")
        assert await result(database, "NEEDLE") == ["A Needle in it"]
    finally:
        await database.dispose()


async def test_schema_made_for_role_is_used(url: str) -> None:
    """PostgreSQL refuses CREATE SCHEMA to the role even if the schema exists, so it is not run."""
    database = Database(url, schema="talk")
    try:
        await migrate(database)
        await Api(database).thread("A Needle in it")
        assert await result(database, "NEEDLE") == ["A Needle in it"]
        assert (await read_state(database)).is_newest
        await downgrade(database)
        assert (await read_state(database)).current is None
    finally:
        await database.dispose()
