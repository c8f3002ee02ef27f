"""Sessions with a blocking driver and the counters installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, Executable, Table, create_engine, event, make_url, select
from sqlalchemy.orm import Session

from tallied.models import Base
from tallied.models.counters import counters


class Counted(Session):
    """A session class of a host."""


counters.install(Counted)


def sync_engine(url: str) -> Engine:
    """Return an engine with a blocking driver for the database of `url`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"))
    engine = create_engine(parsed.set(drivername="sqlite"))

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def perform(session: Session, act: Callable[..., Any], *arguments: Any) -> None:
    """Do what a function does, and execute a statement that it returns, maybe with parameters."""
    result = act(session, *arguments)
    if isinstance(result, Executable):
        session.execute(result)
    elif isinstance(result, tuple):
        session.execute(*result)


_rows: dict[Callable[[Session], object], list[tuple[Table, list[dict[str, Any]]]]] = {}


def store_once(engine: Engine, store: Callable[[Session], object]) -> None:
    """Store rows in Tallied's empty tables: the first time by a session, then by themselves."""
    if store not in _rows:
        with Counted(engine) as session:
            store(session)
            session.commit()
            _rows[store] = [
                (table, [dict(row) for row in session.execute(select(table)).mappings()])
                for table in Base.metadata.sorted_tables
            ]
        return
    with engine.begin() as connection:
        for table, rows in _rows[store]:
            if rows:
                connection.execute(table.insert(), rows)
