"""Contract points 4 and 10: the number of statements of a flush."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session, selectinload
from support.comments import comment, stored_thread, thread_of
from support.sessions import store_once
from support.statements import Statements, recorded

from tallied.models import Base, Comment, Thread
from tallied.models.counters import counters


def add_threads(session: Session) -> None:
    """Add ten threads with three comments each."""
    session.add_all(thread_of(2, 1, 4) for _ in range(10))


@pytest.fixture
def threads(engine: Engine, session: Session) -> list[Thread]:
    """The threads of `add_threads`, stored and loaded with their comments."""
    store_once(engine, add_threads)
    return list(session.scalars(select(Thread).options(selectinload(Thread.comments))))


@pytest.fixture
def executed(engine: Engine, threads: list[Thread]) -> Iterator[Statements]:
    with recorded(engine) as statements:
        yield statements


def test_new_thread_with_comments_costs_its_inserts(session: Session, engine: Engine) -> None:
    with recorded(engine) as executed:
        session.add(thread_of(2, 1))
        session.flush()
    assert executed.verbs == ["INSERT tallied_thread", "INSERT tallied_comment"]


def deletion_locks(engine: Engine) -> list[str]:
    """Return the locks of what a deletion of comments cascades to; SQLite locks its file."""
    tables = ["flag", "reaction", "reaction_total"] if engine.dialect.name == "postgresql" else []
    return [f"SELECT tallied_{table}" for table in tables]


def edit(session: Session, threads: list[Thread], message: str) -> None:
    threads[3].comments[1].message = message


def orphan(session: Session, threads: list[Thread]) -> None:
    for thread in threads:
        thread.comments = thread.comments[1:]


LOCK, INSERT, EDIT, DELETE = (
    f"{verb} tallied_comment" for verb in ("SELECT", "INSERT", "UPDATE", "DELETE")
)
COUNT = "UPDATE tallied_thread"
NUMBER = "the lock of the threads, for the numbers of comments"


def on(engine: Engine, *verbs: str) -> list[str]:
    """Return `verbs` with the statement that locks threads; on SQLite, a SELECT locks nothing."""
    lock = COUNT if engine.dialect.name == "sqlite" else "SELECT tallied_thread"
    return [lock if verb == NUMBER else verb for verb in verbs]


COSTS: dict[str, tuple[Callable[[Session, list[Thread]], Any], list[str]]] = {
    "nothing": (lambda s, t: None, []),
    "a new comment": (lambda s, t: s.add(comment(3, thread_id=t[4].id)), [NUMBER, INSERT, COUNT]),
    "200 comments on ten threads": (
        lambda s, t: s.add_all(comment(2, thread_id=t[n % 10].id) for n in range(200)),
        [NUMBER, INSERT, COUNT],
    ),
    "an edit": (lambda s, t: edit(s, t, "five words it has now"), [LOCK, EDIT, COUNT]),
    "an edit to as many words": (lambda s, t: edit(s, t, "other"), [LOCK, EDIT]),
    "a deletion that leaves the latest": (
        lambda s, t: s.delete(t[5].comments[0]),
        [LOCK, DELETE, COUNT],
    ),
    "orphans of ten threads": (orphan, [LOCK, DELETE, COUNT]),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", COSTS)
def test_change_costs_few_statements(
    session: Session, engine: Engine, threads: list[Thread], executed: Statements, name: str
) -> None:
    change, expected = COSTS[name]
    change(session, threads)
    session.flush()
    locks = (
        deletion_locks(engine) if DELETE in expected and name != "orphans of ten threads" else []
    )
    assert executed.verbs == locks + on(engine, *expected)


def test_update_of_a_counter_adds_and_returns(
    session: Session, threads: list[Thread], executed: Statements
) -> None:
    session.add(comment(3, thread_id=threads[4].id))
    session.flush()
    assert executed.verbs[2] == COUNT
    assert "+" in executed[2]
    assert "RETURNING" in executed[2]


@pytest.mark.slow
def test_thousand_comments_cost_one_insert_and_one_update(session: Session, engine: Engine) -> None:
    many = [Thread(title=f"T{number}") for number in range(100)]
    session.add_all(many)
    session.flush()
    with recorded(engine) as executed:
        session.add_all(comment("two words", thread_id=many[n % 100].id) for n in range(1000))
        session.flush()
    assert executed.verbs == on(engine, NUMBER, INSERT, COUNT)


def test_locked_row_is_not_read_again(
    session: Session, engine: Engine, threads: list[Thread], executed: Statements
) -> None:
    first, second, third = threads[3].comments
    for item in (first, second, third):
        assert counters.lock(session, Comment, item.id) is item
    first.message = "five words it has now"
    second.thread_id = threads[4].id
    session.delete(third)
    session.flush()
    assert executed.verbs == [LOCK] * 3 + deletion_locks(engine) + on(
        engine, NUMBER, EDIT, EDIT, DELETE, COUNT, COUNT
    )


def rolled_back_savepoint(session: Session, id: UUID) -> None:
    with session.begin_nested() as savepoint:
        counters.lock(session, Comment, id)
        savepoint.rollback()


def flushed(session: Session, id: UUID) -> None:
    counters.lock(session, Comment, id)
    session.get_one(Comment, id).message = "one two three four"
    session.flush()


def executed_by_statement(session: Session, id: UUID) -> None:
    counters.lock(session, Comment, id)
    session.execute(update(Comment).where(Comment.id == id).values(message="s " * 9))


def rolled_back_on_the_connection(session: Session, id: UUID) -> None:
    with session.connection().begin_nested() as savepoint:
        counters.lock(session, Comment, id)
        savepoint.rollback()


def committed(session: Session, id: UUID) -> None:
    counters.lock(session, Comment, id)
    session.commit()


@pytest.mark.parametrize(
    "lock",
    [
        rolled_back_savepoint,
        flushed,
        executed_by_statement,
        rolled_back_on_the_connection,
        committed,
    ],
)
def test_row_locked_before_a_possible_change_is_read_again(
    session: Session,
    threads: list[Thread],
    executed: Statements,
    lock: Callable[[Session, UUID], None],
) -> None:
    comment = threads[3].comments[1]
    session.commit()
    lock(session, comment.id)
    session.refresh(comment)
    executed.clear()
    comment.message = "five words it has now"
    session.flush()
    assert executed.verbs.count("SELECT tallied_comment") == 1
    session.commit()
    assert list(counters.verify(session.connection())) == []


def test_moves_and_deletions_cost_two_updates(
    session: Session, engine: Engine, threads: list[Thread], executed: Statements
) -> None:
    for number, (first, second, third) in enumerate([tuple(t.comments) for t in threads]):
        first.message = "now there are five words"
        second.thread_id = threads[(number + 1) % 10].id
        session.delete(third)
    session.flush()
    of_the_engine = [verb for verb in executed.verbs if verb != "UPDATE tallied_comment"]
    assert of_the_engine == deletion_locks(engine) + on(engine, LOCK, NUMBER, DELETE, COUNT, COUNT)


def test_change_of_no_counter_costs_nothing(
    session: Session, threads: list[Thread], executed: Statements
) -> None:
    threads[2].title = "Renamed"
    threads[2].comments[0].author_name = "Grace"
    session.flush()
    assert sorted(executed.verbs) == ["UPDATE tallied_comment", "UPDATE tallied_thread"]
    assert not any("word_count" in statement for statement in executed)


@pytest.mark.slow
def test_cost_does_not_grow_with_the_thread(session: Session, engine: Engine) -> None:
    thread = stored_thread(session, *[2] * 500)
    key = thread.id
    session.expunge_all()
    with recorded(engine) as executed:
        session.add(comment("three more words", thread_id=key))
        session.flush()
    assert executed.verbs == on(engine, NUMBER, INSERT, COUNT)
    assert "SELECT" not in executed[2]
    loaded = session.get_one(Thread, key, options=[selectinload(Thread.comments)])
    assert (loaded.comment_count, loaded.word_count) == (501, 1003)


def test_names_of_tables_begin_alike() -> None:
    assert all(name.startswith("tallied_") for name in Base.metadata.tables)


def test_key_of_a_driver_type_is_not_read_again(
    session: Session, engine: Engine, threads: list[Thread]
) -> None:
    """asyncpg returns UUIDs of its own class."""

    class DriversUUID(UUID):
        pass

    costs = []
    for key in (threads[0].id, DriversUUID(str(threads[0].id))):
        with recorded(engine) as executed:
            session.add(comment("three four five", thread_id=key))
            session.flush()
        costs.append(executed)
    assert costs[0].verbs == on(engine, NUMBER, INSERT, COUNT)
    assert costs[1].verbs == [INSERT, COUNT], "the thread is locked already"
    assert (threads[0].comment_count, threads[0].word_count) == (5, 7 + 6)
