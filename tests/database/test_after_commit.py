"""Errors after or during a commit never make a change twice."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest
from conftest import Open
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from support.rows import add_threads, count_rows

from tallied.database import Database, UnitOfWork
from tallied.database import file as database_file
from tallied.errors import Busy, OutcomeUnknown
from tallied.migrations.runner import migrate


async def test_error_after_commit_is_only_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise Busy("no connection was free")

    async def work(unit: UnitOfWork) -> str:
        unit.after_commit.append(fail)
        await add_threads(unit, 3)
        return "done"

    assert await database.write(work) == "done"
    assert await count_rows(database) == 3
    assert "what follows a commit has failed" in caplog.text


async def test_listener_that_fails_after_commit_repeats_nothing(
    with_tables: None, empty_url: str, tmp_path: Path
) -> None:
    class Listening(Session):
        pass

    database = Database(empty_url, session_class=Listening)
    lock = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    lock.execute("CREATE TABLE audit (n)")
    lock.execute("BEGIN EXCLUSIVE")
    audit = create_engine(f"sqlite:///{tmp_path / 'audit.db'}", connect_args={"timeout": 0.05})

    @event.listens_for(Listening, "after_commit")
    def note(session: Session) -> None:
        with audit.begin() as connection:
            connection.execute(text("INSERT INTO audit VALUES (1)"))

    await database.write(lambda unit: add_threads(unit, 3))
    assert await count_rows(database) == 3
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await database.dispose()
    audit.dispose()
    lock.close()


@pytest.mark.postgresql  # SQLite checks nothing at its commit that could ask for a retry
async def test_cancelled_commit_that_fails_is_not_run_again(
    with_tables: None, open_database: Open
) -> None:
    database = open_database()
    attempts = []
    async with database.reader.connect() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_sleep(.3); RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER conflict AFTER INSERT ON tallied_thread DEFERRABLE"
                " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION conflict()"
            )
        )

    async def work(unit: UnitOfWork) -> None:
        attempts.append(unit)
        await add_threads(unit, 3)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await database.write(work)
    assert len(attempts) == 1
    assert await count_rows(database) == 0


@pytest.mark.sqlite  # PostgreSQL's files are its own
async def test_file_lost_after_commit_leaves_outcome_unknown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify, followed = database_file.identify, []

    def refuse(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    async def follow() -> None:
        followed.append(True)

    async def work(unit: UnitOfWork) -> None:
        unit.after_commit.append(follow)
        await add_threads(unit, 3)

    @event.listens_for(database.engine.sync_engine, "checkin")
    def lose(*_: object) -> None:
        monkeypatch.setattr(database_file, "identify", refuse)

    with pytest.raises(OutcomeUnknown):
        await database.write(work)
    event.remove(database.engine.sync_engine, "checkin", lose)
    monkeypatch.setattr(database_file, "identify", identify)
    assert followed == [True]
    assert await count_rows(database) == 3


async def test_reconnecting_does_not_lose_file(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'forum.db'}"
    own = Database(url)
    await migrate(own)
    await own.dispose()
    engine = create_async_engine(url, poolclass=NullPool)
    database = Database(engine)

    async def use(number: int) -> None:
        for _ in range(40):
            if number:
                await count_rows(database)
            else:
                await database.write(lambda unit: add_threads(unit, 3))
            await asyncio.sleep(random.random() * 0.01)

    await asyncio.gather(*(use(number) for number in range(3)))
    database.check_file()
    assert await count_rows(database) == 120
    await engine.dispose()


async def test_migration_waits_for_new_file_that_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "forum.db"
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("CREATE TABLE other (n)")
    lock.execute("BEGIN IMMEDIATE")
    lock.execute("INSERT INTO other VALUES (1)")
    asyncio.get_running_loop().call_later(0.6, lock.execute, "COMMIT")
    database = Database(f"sqlite+aiosqlite:///{path}", patience=0.3)
    assert await migrate(database)
    await database.dispose()
    lock.close()
