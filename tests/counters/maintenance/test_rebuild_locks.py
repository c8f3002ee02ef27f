"""A rebuild and writers, interleaved by force: the locks, and the counters afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text, update
from sqlalchemy.orm import Session
from support.comments import comment
from support.races import LEVELS, Actor, wait_for_state
from support.recount import drifted
from support.sessions import Counted
from support.writers import spoil, store_threads

from tallied.counters.maintenance.rebuild import Progress
from tallied.models import Author, Thread
from tallied.models.counters import counters


@pytest.fixture
def threads(engine: Engine) -> list[UUID]:
    return store_threads(engine)


class Rebuilding:
    """A rebuild in its own thread, which can be stopped before a statement."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.actor = Actor(engine, Session)
        self.actor.engine = self.actor.engine.execution_options(**options)
        self.connection: Connection = self.actor.run(lambda _: self.actor.engine.connect())
        if engine.dialect.name == "postgresql":
            self.actor.pid = self.actor.run(lambda _: self._pid())

    def _pid(self) -> Any:
        pid = self.connection.execute(text("SELECT pg_backend_pid()")).scalar()
        self.connection.rollback()
        return pid

    def start(self, **options: Any) -> Future[int]:
        return self.actor.start(lambda _: counters.rebuild(self.connection, **options))

    def close(self, server: Engine) -> None:
        self.actor.go_on()
        self.actor.run(lambda _: self.connection.close())
        self.actor.close(server)


@pytest.fixture
def rebuilding(engine: Engine) -> Iterator[Callable[..., Rebuilding]]:
    rebuilds: list[Rebuilding] = []

    def make(**options: Any) -> Rebuilding:
        rebuilds.append(Rebuilding(engine, **options))
        return rebuilds[-1]

    yield make
    for item in rebuilds:
        item.close(engine)


@pytest.fixture
def writer(engine: Engine) -> Iterator[Actor]:
    actor = Actor(engine, Counted)
    yield actor
    actor.close(engine)


@pytest.fixture
def others(engine: Engine) -> Iterator[Actor]:
    actor = Actor(engine, Counted)
    yield actor
    actor.close(engine)


def add(thread_id: UUID, **values: Any) -> Callable[[Session], None]:
    def step(session: Session) -> None:
        session.add(comment(4, thread_id=thread_id, **values))
        session.commit()

    return step


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("level", LEVELS)
def test_commit_that_a_rebuild_waits_for_is_counted(
    engine: Engine,
    threads: list[UUID],
    rebuilding: Callable[..., Rebuilding],
    writer: Actor,
    others: Actor,
    level: str,
) -> None:
    spoil(engine)
    locked = threads[4]

    def hold(session: Session) -> None:
        session.add(comment(4, thread_id=locked))
        session.flush()

    writer.run(hold)
    rebuild = rebuilding(isolation_level=level)
    locks: list[str] = []

    def record(_: object, cursor: object, statement: str, *arguments: object) -> None:
        if "FOR NO KEY UPDATE" in statement:
            locks.append(statement)

    event.listen(rebuild.actor.engine, "before_cursor_execute", record)
    waiting = rebuild.start(batch_size=100)
    assert wait_for_state(rebuild.actor, waiting, engine) == "blocked"
    # It waits for that one thread, and blocks no writer of another.
    others.begin()
    for free in (threads[3], threads[5]):
        assert wait_for_state(others, others.start(add(free)), engine) == "done"
    writer.run(Session.commit)
    assert waiting.result(10) == len(threads)
    assert len(locks) == 2, "all that were free, then the one: none had to be tried again"
    assert drifted(engine) == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_row_stored_before_a_rebuild_is_added_by_its_writer(
    engine: Engine, threads: list[UUID], rebuilding: Callable[..., Rebuilding], writer: Actor
) -> None:
    with Counted(engine) as session:
        session.add(author := Author(subject="A"))
        session.flush()
        session.add(comment(4, thread_id=threads[4], author=author))
        session.commit()
        key = author.id
    with engine.begin() as connection:
        connection.execute(update(Author.__table__).values(comment_count=13))
    # It holds the lock of the thread, for the comment's number, but not yet that of the author.
    writer.stop_before("UPDATE tallied_author")
    adding = writer.start(add(threads[4], author_id=key))
    assert writer.stopped.wait(10)
    assert rebuilding().start(only=[Author]).result(10) == 1
    writer.go_on()
    adding.result(10)
    assert drifted(engine) == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_rebuild_waits_for_a_writer_that_numbers_its_row(
    engine: Engine, threads: list[UUID], rebuilding: Callable[..., Rebuilding], writer: Actor
) -> None:
    spoil(engine)
    writer.stop_before("UPDATE")
    adding = writer.start(add(threads[4]))
    assert writer.stopped.wait(10), "the row is stored, and its thread locked"
    rebuild = rebuilding()
    waiting = rebuild.start()
    assert wait_for_state(rebuild.actor, waiting, engine) == "blocked"
    writer.go_on()
    adding.result(10)
    assert waiting.result(10) == len(threads)
    assert drifted(engine) == 0


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_writer_waits_for_its_own_batch_only(
    engine: Engine,
    threads: list[UUID],
    rebuilding: Callable[..., Rebuilding],
    writer: Actor,
    others: Actor,
) -> None:
    spoil(engine)
    rebuild = rebuilding()
    steps: list[int] = []

    def progress(at: Progress) -> None:
        steps.append(at.done)
        if at.done == 5:
            rebuild.actor.stop_before("UPDATE")

    rebuild.actor.stop_before("UPDATE")
    done = rebuild.start(only=[Thread], batch_size=5, progress=progress)
    assert rebuild.actor.stopped.wait(10), "within the first batch, holding its locks"
    writer.begin()
    waiting = writer.start(add(threads[2]))
    assert wait_for_state(writer, waiting, engine) == "blocked"
    others.begin()
    assert wait_for_state(others, others.start(add(threads[7])), engine) == "done"
    rebuild.actor.go_on()
    waiting.result(10)
    assert rebuild.actor.stopped.wait(10), "within the second batch"
    assert steps == [5]
    assert wait_for_state(others, others.start(add(threads[3])), engine) == "done"
    rebuild.actor.go_on()
    assert done.result(10) == len(threads)
    assert drifted(engine) == 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_file_is_free_between_batches(engine: Engine, threads: list[UUID]) -> None:
    spoil(engine)
    host = create_engine(engine.url, connect_args={"timeout": 0})
    impatient = create_engine(engine.url, connect_args={"timeout": 0})
    written: list[int] = []

    def write(at: Progress) -> None:
        with Counted(impatient) as session:
            session.add(comment(4, thread_id=random.choice(threads)))
            session.commit()
        written.append(at.done)

    with host.connect() as connection:
        repaired = counters.rebuild(connection, only=[Thread], batch_size=5, progress=write)
        assert repaired == len(threads)
    assert written == [5, 10, 15, 20]
    for item in (host, impatient):
        item.dispose()
    assert drifted(engine) == 0
