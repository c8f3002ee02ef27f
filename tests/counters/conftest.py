"""A fresh database for the tests of the counters, by a blocking driver."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.orm import Session
from support.sessions import Counted, sync_engine

from tallied.models import Base


@pytest.fixture(scope="session")
def is_exhaustive(pytestconfig: pytest.Config) -> bool:
    """Whether random histories are as many and as long as before a release."""
    return bool(pytestconfig.getoption("exhaustive"))


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of each test's SQLite file."""
    return tmp_path_factory.mktemp("counters") / "test.db"


@pytest.fixture
def empty_url(empty_url: str, sqlite_file: Path) -> str:
    """The URL of a fresh database; all SQLite files have one path, and so one engine."""
    url = make_url(empty_url)
    if url.get_backend_name() != "sqlite":
        return empty_url
    for suffix in ("", "-wal", "-shm"):
        Path(f"{sqlite_file}{suffix}").unlink(missing_ok=True)
    path = Path(str(url.database))
    if path.exists():
        path.replace(sqlite_file)
    return url.set(database=str(sqlite_file)).render_as_string(hide_password=False)


keep_engine = cache(sync_engine)
"""Return the engine of a URL, which keeps the statements that it has compiled."""


@pytest.fixture
def engine(with_tables: None, empty_url: str) -> Iterator[Engine]:
    """A fresh database with Tallied's tables, by a blocking driver."""
    engine = keep_engine(empty_url).execution_options()  # without listeners of other tests
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def server(postgresql: URL) -> Iterator[Engine]:
    """One PostgreSQL database with Tallied's tables for all tests of a module."""
    engine = sync_engine(postgresql.render_as_string(hide_password=False))
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session with the counters installed; it is rolled back at the end."""
    with Counted(engine) as session:
        yield session
