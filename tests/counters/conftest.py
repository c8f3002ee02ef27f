"""Sessions of one's own with the counters installed, without Tallied's unit of work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

from tallied.models import Base
from tallied.models.counters import counters


class Counted(Session):
    """A session class of a host's own."""


counters.install(Counted)


def sync_engine(url: str) -> Engine:
    """An engine with a blocking driver for the database of `url`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"))
    engine = create_engine(parsed.set(drivername="sqlite"))

    @event.listens_for(engine, "connect")
    def configure(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[attr-defined]
        connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    return engine


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """A fresh database with Tallied's tables, by a blocking driver."""
    engine = sync_engine(empty_url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session with the counters installed; what was not committed is rolled back."""
    with Counted(engine) as session:
        yield session
