"""Contract points 3 and 4: rows and parents are locked in the order of their keys.

Whatever order a plan would find them in: two transactions are planned so that each would
take two rows in the opposite order of the other. Both are made to wait at the first that they
take. If that were not the same for the two, they would deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.orm import Session
from support.races import TIMEOUT, Actor, outcome, settle
from support.recount import drifted
from support.sessions import Counted

from tallied.counters.sql import counter_updates
from tallied.counters.sql.counter_updates import _update_many
from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

X, Y, A, B = [UUID(int=n + (7 << 76) + (2 << 62)) for n in range(1, 5)]

BY_INDEX = ["enable_seqscan", "enable_bitmapscan"]
BY_PLACE = ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"]
BY_LIST = [*BY_INDEX, "enable_hashjoin", "enable_mergejoin"]
"""What is switched off, so that rows are found by an index, as they lie, as they are listed."""


@pytest.fixture
def actors(server: Engine) -> Iterator[list[Actor]]:
    with server.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    with Counted(server) as session:
        session.add_all([Thread(id=Y, title="T"), Thread(id=X, title="T")])
        session.flush()
        for id, size in ((B, 3), (A, 2)):  # as they lie, the second key comes first
            at = datetime(2026, 1, size, tzinfo=UTC)
            message = "word " * size
            comment = Comment(id=id, thread_id=X, author_name="A", message=message, created_at=at)
            session.add(comment)
            session.flush()
        # So many that a plan looks for the few by the index.
        session.add_all(Thread(title=f"Thread {number}") for number in range(400))
        session.commit()
        session.execute(text("ANALYZE tallied_comment, tallied_thread"))
        session.commit()
    three = [Actor(server, Counted) for _ in range(3)]
    yield three
    for actor in three:
        actor.close(server)


def edit(session: Session, who: int) -> None:
    for id in ((A, B), (B, A))[who]:
        session.get_one(Comment, id).message = "word " * (7 + who)
    session.flush()


def remove(session: Session, who: int) -> None:
    for id in ((A, B), (B, A))[who]:
        if comment := session.get(Comment, id):
            session.delete(comment)
    session.flush()


def bulk_update(session: Session, who: int) -> None:
    some = update(Comment).where(Comment.thread_id == X)
    session.execute(some.values(message="four words in it", word_count=4))


def bulk_delete(session: Session, who: int) -> None:
    session.execute(delete(Comment).where(Comment.thread_id == X))


def update_by_keys(session: Session, who: int) -> None:
    rows = [{"id": id, "word_count": 7} for id in ((A, B), (B, A))[who]]
    session.execute(update(Comment), [row | {"message": "word " * 7} for row in rows])


def delete_thread(session: Session, who: int) -> None:
    if thread := session.get(Thread, X):
        session.delete(thread)
    session.flush()


def insert(session: Session, who: int) -> None:
    for thread in ((X, Y), (Y, X))[who]:
        session.add(Comment(thread_id=thread, author_name="A", message="word " * (3 + who)))
    session.flush()


def plan(actor: Actor, switched_off: list[str]) -> None:
    for setting in switched_off:
        actor.done(lambda session, s=setting: session.execute(text(f"SET LOCAL {s} = off")))


def finish(server: Engine, actors: list[Actor], running: list[Future[Any]]) -> list[str]:
    """How they end: whoever is first has to commit before the other can go on."""
    ended = []
    pairs = list(zip(actors, running, strict=True))
    while pairs:
        wait([future for _, future in pairs], timeout=TIMEOUT, return_when=FIRST_COMPLETED)
        actor, future = pairs.pop(next(n for n, pair in enumerate(pairs) if pair[1].done()))
        ended.append(outcome(future))
        actor.done(lambda session: session.commit() if ended[-1] == "ok" else session.rollback())
    with server.connect() as connection:
        assert drifted(connection) == 0
    return ended


def meet(server: Engine, actors: list[Actor], act: Callable[[Session, int], None]) -> list[str]:
    """Two do `act`, each with a plan of its own, while the first comment is locked."""
    holder, *two = actors
    holder.begin()
    row = select(Comment.id).where(Comment.id == A).with_for_update()
    holder.done(lambda session: session.execute(row).all())
    running = []
    for who, (actor, switched_off) in enumerate(zip(two, (BY_INDEX, BY_PLACE), strict=True)):
        actor.begin()
        plan(actor, switched_off)
        running.append(actor.do(lambda session, who=who: act(session, who)))
        assert settle(actor, running[who], server) == "blocked"
    holder.done(lambda session: session.rollback())
    return finish(server, two, running)


@pytest.mark.parametrize("act", [edit, remove, bulk_update, bulk_delete, update_by_keys])
def test_rows_are_locked_by_key_whatever_the_plans(
    server: Engine, actors: list[Actor], act: Any
) -> None:
    assert meet(server, actors, act) == ["ok", "ok"]


def test_what_goes_with_a_thread_is_locked_by_key_whatever_the_plans(
    server: Engine, actors: list[Actor]
) -> None:
    assert meet(server, actors, delete_thread) == ["ok", "ok"]


TRIGGER = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
CREATE TRIGGER wait_for_the_test BEFORE UPDATE ON tallied_thread
FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""


@pytest.fixture
def held(server: Engine) -> Iterator[Callable[[], None]]:
    """Every UPDATE of a thread stops with its first row locked, until the fixture is called."""
    with server.connect() as connection:
        connection.execute(text(TRIGGER))
        connection.commit()
        connection.execute(text("SELECT pg_advisory_lock(42)"))
        yield lambda: connection.execute(text("SELECT pg_advisory_unlock(42)"))
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
        connection.execute(text("DROP FUNCTION wait_for_the_test() CASCADE"))
        connection.commit()


def opposite(server: Engine, actors: list[Actor], release: Callable[[], None]) -> list[str]:
    """Two insert into two threads, listed in opposite order, each in one flush."""
    two, running = actors[:2], []
    for who, actor in enumerate(two):
        actor.begin()
        plan(actor, BY_LIST)
        running.append(actor.do(lambda session, who=who: insert(session, who)))
        assert settle(actor, running[who], server) == "blocked"
    release()
    return finish(server, two, running)


def test_two_threads_in_opposite_order_do_not_deadlock(
    server: Engine, actors: list[Actor], held: Callable[[], None]
) -> None:
    assert opposite(server, actors, held) == ["ok", "ok"]


def test_without_the_order_of_parents_two_threads_deadlock(
    server: Engine,
    actors: list[Actor],
    held: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unlocked(*args: Any) -> Any:
        return _update_many.__wrapped__(*args[:-1], False)

    monkeypatch.setattr(counter_updates, "_update_many", unlocked)
    assert sorted(opposite(server, actors, held)) == ["ok", "retry"]
