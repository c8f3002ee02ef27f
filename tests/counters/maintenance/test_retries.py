"""A batch runs again where the database asks for it, and a bounded number of times."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tallied.counters.maintenance import transactions
from tallied.counters.maintenance.transactions import ATTEMPTS, run_with_retries

CONFLICT = "DO $$ BEGIN RAISE serialization_failure; END $$"


class Batch:
    """Work that fails with an error of the database, so often."""

    def __init__(self, connection: Connection, failure: str, failures: int) -> None:
        self.connection, self.failure, self.failures = connection, failure, failures
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        if self.runs <= self.failures:
            with self.connection.begin():
                self.connection.execute(text(self.failure))
        return self.runs


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "sleep", lambda *_: None)


@pytest.mark.postgresql
def test_conflicts_run_the_batch_again(engine: Engine) -> None:
    with engine.connect() as connection:
        assert run_with_retries(connection, Batch(connection, CONFLICT, 3)) == 4


@pytest.mark.postgresql
def test_last_conflict_is_raised(engine: Engine) -> None:
    with engine.connect() as connection:
        batch = Batch(connection, CONFLICT, ATTEMPTS)
        with pytest.raises(DBAPIError):
            run_with_retries(connection, batch)
        assert batch.runs == ATTEMPTS


@pytest.mark.sqlite
def test_locked_file_runs_the_batch_again(engine: Engine) -> None:
    with engine.connect() as connection, engine.connect() as other:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        connection.rollback()
        lock = other.begin()
        runs = []

        def batch() -> None:
            runs.append(len(runs))
            if len(runs) == 3:
                lock.rollback()
            with connection.begin():
                pass

        run_with_retries(connection, batch)
        assert len(runs) == 3


def test_other_error_is_raised_at_once(engine: Engine) -> None:
    with engine.connect() as connection:
        batch = Batch(connection, "SELECT 1 FROM nowhere", 1)
        with pytest.raises(DBAPIError, match="nowhere"):
            run_with_retries(connection, batch)
        assert batch.runs == 1
