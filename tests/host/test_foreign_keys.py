"""Foreign keys of SQLite during changes on the sessions of an application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from support.host import ADA, BOB, MODERATOR, Host

from tallied.database import CountedSession, Database
from tallied.errors import ConfigurationError
from tallied.models import Thread
from tallied.models.counters import counters
from tallied.shortcuts import SyncShortcuts

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A synchronous engine of the database, as Flask has one."""
    engine = create_engine(database.url.set(drivername="sqlite"))
    yield engine
    engine.dispose()


@pytest.fixture
def sync(database: Database) -> SyncShortcuts:
    return Host(database).discussion.sync


def test_deletion_without_foreign_keys_is_refused(engine: Engine, sync: SyncShortcuts) -> None:
    with CountedSession(engine) as session:
        session.add(thread := Thread(title="Engines"))
        session.flush()
        sync.add_comment(session, ADA, thread.id, "one two")
        with pytest.raises(ConfigurationError, match="PRAGMA foreign_keys = ON on every new"):
            sync.delete_thread(session, MODERATOR, thread.id)
        session.commit()
        sync.delete_thread(session, MODERATOR, thread.id)
        session.commit()
        assert list(counters.verify(session.connection())) == []


def test_changes_in_an_outer_transaction_are_possible(engine: Engine, sync: SyncShortcuts) -> None:
    """As in the tests of an application, which roll an outer transaction back."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        with CountedSession(connection, join_transaction_mode="create_savepoint") as session:
            id = sync.create_thread(session, ADA, "Engines", "one two").thread["id"]
            sync.add_comment(session, BOB, id, "three")
            session.commit()
            assert session.get_one(Thread, id).word_count == 3
        connection.rollback()


def test_other_transactions_keep_foreign_keys_as_they_were(
    engine: Engine, sync: SyncShortcuts
) -> None:
    """An application may have rows of its own that violate foreign keys."""
    with CountedSession(engine) as session:
        sync.create_thread(session, ADA, "Engines", "one two")
        session.execute(text("CREATE TABLE car (thread_id REFERENCES tallied_thread)"))
        session.commit()
        assert session.scalar(text("PRAGMA foreign_keys")) == 0
        session.execute(text("INSERT INTO car VALUES ('none')"))
        session.commit()
