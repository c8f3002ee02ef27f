"""A fresh database for the tests of the counters, by a blocking driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session
from support.sessions import Counted, sync_engine

from tallied.models import Base


@pytest.fixture(scope="session")
def is_exhaustive(pytestconfig: pytest.Config) -> bool:
    """Whether random histories are as many and as long as before a release."""
    return bool(pytestconfig.getoption("exhaustive"))


@pytest.fixture
def engine(with_tables: None, empty_url: str) -> Iterator[Engine]:
    """A fresh database with Tallied's tables, by a blocking driver."""
    engine = sync_engine(empty_url)
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
