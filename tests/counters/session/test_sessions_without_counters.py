"""What the functions of the counters do with a session that they are not installed on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from support.comments import stored_thread
from support.numbers import BEFORE, Entry, NumberedSession, Topic, make_topics, numbers
from support.numbers import counters as entry_counters
from support.statements import recorded

from tallied.models import Comment, Reaction, Thread
from tallied.models.counters import counters


@pytest.fixture
def plain(session: Session, engine: Engine) -> Iterator[Session]:
    """A session without the counters, and a stored thread with two comments."""
    stored_thread(session, 2, 3)
    session.commit()
    with Session(engine) as plain:
        yield plain


def test_rows_are_locked_and_nothing_is_recorded(plain: Session, engine: Engine) -> None:
    thread = plain.query(Thread).one()
    with recorded(engine) as executed:
        (first, second) = counters.lock_all(plain, Comment, Comment.thread_id == thread.id)
        assert counters.lock(plain, Comment, first.id) is first
    if engine.dialect.name == "postgresql":
        assert [statement.count("FOR UPDATE") for statement in executed] == [1, 1]
    counters.mark_locked(plain, second)
    counters.record_lock(plain, Thread, thread.id, {"last_seq": 2})
    assert plain.info == {}


def test_nothing_was_flushed(plain: Session) -> None:
    thread = plain.query(Thread).one()
    assert counters.flushed_values(plain, Thread, thread.id) is None


def test_pause_is_refused(plain: Session) -> None:
    with pytest.raises(TypeError, match="the counters are not installed on Session"):
        counters.pause(plain)


def test_class_without_counters_has_no_values(session: Session) -> None:
    with pytest.raises(TypeError, match="Reaction has no counters"):
        counters.flushed_values(session, Reaction, 1)


def test_lock_on_shared_connection_is_not_relied_on(engine: Engine) -> None:
    make_topics(engine)
    with engine.connect() as connection, NumberedSession(connection) as session:
        entry_counters.record_lock(session, Topic, 1, {"last": 70})  # Others may write there.
        session.add(Entry(id=9, topic_id=1))
        session.flush()
        assert numbers(session) == BEFORE | {9: 4}


def test_lock_of_row_without_its_number_is_not_relied_on(engine: Engine) -> None:
    make_topics(engine)
    with NumberedSession(engine) as session:
        session.connection()
        entry_counters.record_lock(session, Topic, 1, {"id": 1})
        session.add(Entry(id=9, topic_id=1))
        session.flush()
        assert numbers(session) == BEFORE | {9: 4}
