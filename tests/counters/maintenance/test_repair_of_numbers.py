"""Numbers of the rows of a parent are verified, rebuilt, and taken in a pause."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, delete, text
from sqlalchemy.orm import Session
from support.numbers import BEFORE, Entry, Topic, counters, last, numbers
from support.numbers import session as session
from support.pairs import assert_verified


def spoil(session: Session, *statements: str) -> None:
    for statement in statements:
        session.execute(text(statement))
    session.commit()


@pytest.mark.parametrize(
    ("statement", "difference", "result"),
    [
        ("UPDATE numbered_topic SET last = 2 WHERE id = 1", -1, BEFORE),
        ("UPDATE numbered_entry SET seq = NULL WHERE id IN (1, 2)", -2, {1: 4, 2: 5, 3: 3}),
        ("INSERT INTO numbered_entry (id, topic_id, name) VALUES (9, 1, '')", -1, {9: 4}),
    ],
)
def test_wrong_numbers_are_repaired(
    session: Session, engine: Engine, statement: str, difference: int, result: dict[int, int]
) -> None:
    spoil(session, statement)
    only = [Topic.last]
    (drift,) = counters.verify(session.connection(), only=only)
    assert (drift.counter, drift.difference) == ("Topic.last", difference)
    session.rollback()
    with engine.connect() as connection:
        assert counters.rebuild(connection) == 1
    assert numbers(session) == BEFORE | result
    assert last(session) == max(numbers(session).values(), key=lambda n: n or 0)
    assert list(counters.verify(session.connection())) == []


@pytest.mark.postgresql  # SQLite cannot drop the constraint
def test_number_that_is_given_twice_is_replaced(session: Session, engine: Engine) -> None:
    spoil(
        session,
        "ALTER TABLE numbered_entry DROP CONSTRAINT numbered_entry_topic_id_seq_key",
        "UPDATE numbered_entry SET seq = 1",
    )
    (drift,) = counters.verify(session.connection())
    assert drift.difference == -2
    session.rollback()
    with engine.connect() as connection:
        counters.rebuild(connection)
    assert numbers(session) == {1: 1, 2: 4, 3: 5}
    assert list(counters.verify(session.connection())) == []


def test_greater_last_number_is_right(session: Session) -> None:
    session.execute(delete(Entry).where(Entry.id > 1))
    assert last(session) == 3
    assert list(counters.verify(session.connection())) == []


def test_pause_numbers_too(session: Session) -> None:
    topic = session.get_one(Topic, 1)
    with counters.pause(session) as pause:
        session.add(entry := Entry(id=5, topic=topic))
        session.flush()
        session.connection().execute(
            text("INSERT INTO numbered_entry (id, topic_id, name) VALUES (6, 1, '')")
        )
        pause.touch(Topic, 1)
    assert (entry.seq, topic.last) == (4, 5)
    assert numbers(session) == BEFORE | {5: 4, 6: 5}
    assert_verified(session, counters)
