"""Databases with demo data for the commands: copies of one that is written once a run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL
from support.databases import new_database

from tallied.database import Database
from tallied.migrations.runner import migrate
from tallied.seed import seed

DEMO = "tallied_demo"


async def write_demo_data(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await seed(database, threads=12, comments=200, random_seed=5)
    await database.dispose()


@pytest.fixture(scope="session")
def sqlite_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with some threads that have comments."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    asyncio.run(write_demo_data(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_demo(postgresql: URL) -> str:
    """The name of a database with some threads that have comments."""
    with psycopg.connect(postgresql.render_as_string(False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DEMO}")
    url = postgresql.set(drivername="postgresql+asyncpg", database=DEMO)
    asyncio.run(write_demo_data(url.render_as_string(False)))
    return DEMO


@pytest.fixture
def seeded(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with some threads that have comments."""
    if backend == "sqlite":
        path = shutil.copyfile(request.getfixturevalue("sqlite_demo"), tmp_path / "demo.db")
        yield f"sqlite+aiosqlite:///{path}"
        return
    server = request.getfixturevalue("postgresql")
    with new_database(server, request.getfixturevalue("postgresql_demo")) as url:
        yield url


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take standard error for a terminal without colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
