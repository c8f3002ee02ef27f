"""Where each published way goes wrong, beside Tallied in the same scenario.

Every scenario starts from a stored thread whose two comments have 2 and 3 words, and
whose ``word_count`` is 5. The mapper event and the attribute events are the repaired
ones; what they do as published stands apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session

from tallied.benchmarks.databases import blocking_engine
from tallied.benchmarks.ways import (
    AGGREGATED,
    ATTRIBUTE_EVENTS,
    ATTRIBUTE_EVENTS_AS_PUBLISHED,
    BEFORE_FLUSH,
    MAPPER_EVENT,
    MAPPER_EVENT_AS_PUBLISHED,
    PUBLISHED,
    TALLIED,
    Way,
)

MESSAGES = ("one two", "one two three")
Scenario = Callable[[Way, Session, Any], None]


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """A fresh database with the tables of the ways, by a blocking driver."""
    engine = blocking_engine(empty_url)
    TALLIED.metadata.create_all(engine)
    yield engine
    engine.dispose()


class Ending(NamedTuple):
    """What a scenario ends with."""

    stored: int
    """The thread's column."""
    true: int
    """The words of the thread's comments."""
    shown: int
    """The thread's attribute in memory."""


def start(engine: Engine, way: Way, messages: tuple[str, ...] = MESSAGES) -> UUID:
    """Store a thread with `messages`, exact, behind the back of every listener."""
    thread, comments = way.Thread.__table__, way.Comment.__table__
    words = [len(message.split()) for message in messages]
    with engine.begin() as connection:
        insert = thread.insert().values(word_count=sum(words), comment_count=len(words))
        (thread_id,) = connection.execute(insert).inserted_primary_key
        connection.execute(
            comments.insert(),
            [
                {"thread_id": thread_id, "message": message, "word_count": count}
                for message, count in zip(messages, words, strict=True)
            ],
        )
    return thread_id


def stored_and_true(session: Session, way: Way, thread_id: UUID) -> tuple[int, int]:
    """The column, and the recount, as the session's transaction sees them."""
    thread, comments = way.Thread.__table__, way.Comment.__table__
    connection = session.connection()
    stored = connection.scalar(select(thread.c.word_count).where(thread.c.id == thread_id))
    messages = connection.scalars(
        select(comments.c.message).where(comments.c.thread_id == thread_id)
    )
    return stored, sum(len(message.split()) for message in messages)


def play(scenario: Scenario, way: Way, engine: Engine) -> Ending:
    """What `scenario` ends with, in the transaction that it ran in."""
    thread_id = start(engine, way)
    with way.Session(engine) as session:
        thread = session.get_one(way.Thread, thread_id)
        scenario(way, session, thread)
        session.flush()
        shown = thread.word_count
        return Ending(*stored_and_true(session, way, thread_id), shown)


def comment_of(way: Way, session: Session, thread: Any) -> Any:
    """The thread's comment of two words, loaded alone."""
    found = select(way.Comment).where(
        way.Comment.thread_id == thread.id, way.Comment.message == "one two"
    )
    return session.scalars(found).one()


# What a session may do


def add_through_the_thread(way: Way, session: Session, thread: Any) -> None:
    session.add(way.Comment(message="four words are here", thread=thread))


def add_by_foreign_key(way: Way, session: Session, thread: Any) -> None:
    session.add(way.Comment(message="four words are here", thread_id=thread.id))


def build_and_never_add(way: Way, session: Session, thread: Any) -> None:
    way.Comment(message="four words are here", thread=thread)


def edit(way: Way, session: Session, thread: Any) -> None:
    comment_of(way, session, thread).message = "six words are here instead now"


def delete(way: Way, session: Session, thread: Any) -> None:
    session.delete(comment_of(way, session, thread))


def move_away(way: Way, session: Session, thread: Any) -> None:
    other = way.Thread()
    session.add(other)
    session.flush()
    comment_of(way, session, thread).thread = other


def move_away_by_foreign_key(way: Way, session: Session, thread: Any) -> None:
    other = way.Thread()
    session.add(other)
    session.flush()
    comment_of(way, session, thread).thread_id = other.id


def add_in_a_savepoint_that_is_rolled_back(way: Way, session: Session, thread: Any) -> None:
    comment = way.Comment(message="four words are here", thread=thread)
    savepoint = session.begin_nested()
    session.add(comment)
    session.flush()
    savepoint.rollback()


FAILURES = [
    (MAPPER_EVENT, add_through_the_thread, Ending(stored=9, true=9, shown=5)),
    (MAPPER_EVENT, edit, Ending(stored=5, true=9, shown=5)),
    (MAPPER_EVENT, delete, Ending(stored=5, true=3, shown=5)),
    (MAPPER_EVENT, move_away, Ending(stored=5, true=3, shown=5)),
    (ATTRIBUTE_EVENTS, build_and_never_add, Ending(stored=9, true=5, shown=9)),
    (ATTRIBUTE_EVENTS, add_by_foreign_key, Ending(stored=5, true=9, shown=5)),
    (ATTRIBUTE_EVENTS, delete, Ending(stored=5, true=3, shown=5)),
    (ATTRIBUTE_EVENTS, move_away_by_foreign_key, Ending(stored=5, true=3, shown=5)),
    (
        ATTRIBUTE_EVENTS,
        add_in_a_savepoint_that_is_rolled_back,
        Ending(stored=9, true=5, shown=9),
    ),
    (BEFORE_FLUSH, delete, Ending(stored=5, true=3, shown=5)),
    (BEFORE_FLUSH, move_away, Ending(stored=5, true=3, shown=5)),
    (AGGREGATED, add_through_the_thread, Ending(stored=9, true=9, shown=5)),
    (AGGREGATED, move_away, Ending(stored=5, true=3, shown=5)),
]
EXACT = {
    add_through_the_thread: 9,
    add_by_foreign_key: 9,
    build_and_never_add: 5,
    edit: 9,
    delete: 3,
    move_away: 3,
    move_away_by_foreign_key: 3,
    add_in_a_savepoint_that_is_rolled_back: 5,
}


@pytest.mark.filterwarnings("ignore:Object of type <Comment> not in session")
@pytest.mark.parametrize(
    ("way", "scenario", "ending"),
    FAILURES,
    ids=[f"{way}-{scenario.__name__}" for way, scenario, _ in FAILURES],
)
def test_the_way_is_wrong_where_tallied_is_exact(
    engine: Engine, way: Way, scenario: Scenario, ending: Ending
) -> None:
    assert play(scenario, way, engine) == ending
    exact = EXACT[scenario]
    assert play(scenario, TALLIED, engine) == Ending(exact, exact, exact)


# What cannot even be flushed


def add_to_a_new_thread(way: Way, session: Session, thread: Any) -> None:
    session.add(way.Comment(message="four words are here", thread=way.Thread()))


CRASHES = [
    (ATTRIBUTE_EVENTS_AS_PUBLISHED, add_through_the_thread, AttributeError),
    (ATTRIBUTE_EVENTS, add_to_a_new_thread, TypeError),
    (MAPPER_EVENT_AS_PUBLISHED, add_by_foreign_key, AttributeError),
    (BEFORE_FLUSH, add_by_foreign_key, AttributeError),
]


@pytest.mark.parametrize(
    ("way", "scenario", "error"),
    CRASHES,
    ids=[f"{way}-{scenario.__name__}" for way, scenario, _ in CRASHES],
)
def test_the_way_crashes_where_tallied_is_exact(
    engine: Engine, way: Way, scenario: Scenario, error: type[Exception]
) -> None:
    with pytest.raises(error):
        play(scenario, way, engine)
    ending = play(scenario, TALLIED, engine)
    assert ending.stored == ending.true == ending.shown


def test_the_mapper_event_as_published_counts_a_new_comment_twice(engine: Engine) -> None:
    with pytest.warns(SAWarning, match="load operations occurring inside of an event handler"):
        ending = play(add_through_the_thread, MAPPER_EVENT_AS_PUBLISHED, engine)
    assert ending == Ending(stored=5 + 4 + 4, true=9, shown=5)


# Two sessions


def wait_until_blocked(engine: Engine, backend: int, writer: Any) -> None:
    """Return when PostgreSQL says that `backend` waits for a lock; fail if it never does."""
    blockers = text("SELECT cardinality(pg_blocking_pids(:backend))")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(blockers, {"backend": backend}):
            assert not writer.done(), "the second writer did not wait for the first"


def race(way: Way, engine: Engine) -> Ending:
    """Both load the thread; the second flushes while the first has not committed."""
    thread_id = start(engine, way)
    with way.Session(engine) as first, way.Session(engine) as second, ThreadPoolExecutor() as pool:
        threads = [each.get_one(way.Thread, thread_id) for each in (first, second)]
        backend = second.scalar(select(func.pg_backend_pid()))
        first.add(way.Comment(message="four words are here", thread=threads[0]))
        first.flush()
        second.add(way.Comment(message="and these are six words more", thread=threads[1]))
        writer = pool.submit(second.flush)
        wait_until_blocked(engine, backend, writer)
        first.commit()
        writer.result()
        shown = threads[1].word_count
        second.commit()
        return Ending(*stored_and_true(second, way, thread_id), shown)


@pytest.mark.parametrize("way", [*PUBLISHED, AGGREGATED], ids=str)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_of_two_comments_at_once_the_way_loses_one(engine: Engine, way: Way) -> None:
    assert race(way, engine)[:2] == (5 + 6, 5 + 4 + 6)
    assert race(TALLIED, engine) == Ending(15, 15, 15)


def turn_by_turn(way: Way, engine: Engine) -> Ending:
    """One keeps its thread from one transaction to the next, as asyncio asks of it.

    Another commits in between. No two transactions overlap, so this needs no second
    writer at the same time, which SQLite has not.
    """
    thread_id = start(engine, way)
    with way.Session(engine, expire_on_commit=False) as first, way.Session(engine) as second:
        thread = first.get_one(way.Thread, thread_id)
        assert len(thread.comments) == 2
        first.commit()
        second.add(
            way.Comment(message="four words are here", thread=second.get_one(way.Thread, thread_id))
        )
        second.commit()
        first.add(way.Comment(message="and these are six words more", thread=thread))
        first.commit()
        return Ending(*stored_and_true(second, way, thread_id), thread.word_count)


@pytest.mark.parametrize("way", [ATTRIBUTE_EVENTS, BEFORE_FLUSH], ids=str)
def test_a_thread_that_is_kept_in_memory_makes_the_way_forget_others(
    engine: Engine, way: Way
) -> None:
    assert turn_by_turn(way, engine) == Ending(5 + 6, 5 + 4 + 6, 5 + 6)
    assert turn_by_turn(TALLIED, engine) == Ending(15, 15, 15)


# What it costs, in rows and statements


def comments_loaded(way: Way, engine: Engine, messages: tuple[str, ...]) -> int:
    """How many comments are loaded to add one to a thread that has `messages`."""
    loaded = []
    thread_id = start(engine, way, messages)
    with way.Session(engine) as session:
        thread = session.get_one(way.Thread, thread_id)
        listener = (way.Comment, "load", lambda comment, _: loaded.append(comment))
        event.listen(*listener)
        session.add(way.Comment(message="four words are here", thread=thread))
        session.flush()
        event.remove(*listener)
    return len(loaded)


def test_before_flush_loads_every_comment_of_the_thread(engine: Engine) -> None:
    forty = ("one two",) * 40
    assert comments_loaded(BEFORE_FLUSH, engine, forty) == 40
    assert not comments_loaded(TALLIED, engine, forty)


def updates(way: Way, engine: Engine, work: Callable[[Way, Session, Any], None]) -> list[str]:
    """The UPDATEs of the thread's word count that the flush of `work` makes."""
    executed: list[str] = []

    def record(conn: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE thread SET word_count"):
            executed.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    play(work, way, engine)
    event.remove(engine, "before_cursor_execute", record)
    return executed


def add_seven(way: Way, session: Session, thread: Any) -> None:
    session.add_all(way.Comment(message="four words are here", thread=thread) for _ in range(7))


def rename(way: Way, session: Session, thread: Any) -> None:
    assert len(thread.comments) == 2
    thread.title = "Looms"


def test_the_mapper_event_recounts_once_for_every_comment(engine: Engine) -> None:
    assert len(updates(MAPPER_EVENT, engine, add_seven)) == 7
    assert len(updates(TALLIED, engine, add_seven)) == 1


def test_aggregated_recounts_when_nothing_was_counted(engine: Engine) -> None:
    assert updates(AGGREGATED, engine, rename)
    assert not updates(TALLIED, engine, rename)
