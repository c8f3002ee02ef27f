"""Contract point 9: drift is found and put right, and nothing else is changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session
from support.recount import drifted
from support.sessions import Counted
from support.statements import recorded

from tallied.models import Comment, Thread
from tallied.models.counters import counters


@pytest.fixture
def threads(engine: Engine) -> list[Thread]:
    """Seven stored threads, with 0, 2, 4, … comments."""
    with Counted(engine, expire_on_commit=False) as session:
        made = [
            Thread(
                title=f"Thread {number}",
                comments=[
                    Comment(author_name="A", message="word " * (number + length + 2))
                    for length in range(2 * number)
                ],
            )
            for number in range(7)
        ]
        session.add_all(made)
        session.commit()
        return sorted(made, key=lambda each: each.id)


def spoil(engine: Engine, thread: Thread, **values: object) -> None:
    """Write counters as nothing but raw SQL can."""
    with engine.begin() as connection:
        statement = update(Thread.__table__).where(Thread.id == thread.id)
        connection.execute(statement.values(values))


def test_right_counters_are_not_reported(engine: Engine, threads: list[Thread]) -> None:
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []


def test_each_wrong_counter_is_reported_with_both_values(
    engine: Engine, threads: list[Thread]
) -> None:
    third, fifth = threads[3], threads[5]
    spoil(engine, third, word_count=third.word_count + 17, comment_count=2)
    late = fifth.last_comment_at + timedelta(hours=3)  # type: ignore[operator]
    spoil(engine, fifth, last_comment_at=late)
    with engine.connect() as connection:
        drifts = list(counters.verify(connection))
    assert [(d.counter, d.key, d.stored, d.true, d.difference) for d in drifts] == [
        ("Thread.comment_count", (third.id,), 2, 6, -4),
        ("Thread.word_count", (third.id,), third.word_count + 17, third.word_count, 17),
        ("Thread.last_comment_at", (fifth.id,), late, fifth.last_comment_at, timedelta(hours=3)),
    ]
    assert str(drifts[1]) == (
        f"Thread.word_count of {third.id}: stored {third.word_count + 17}, "
        f"true {third.word_count}, difference +17"
    )


def test_a_thread_without_comments_is_recounted_too(engine: Engine, threads: list[Thread]) -> None:
    empty = next(each for each in threads if each.comment_count == 0)
    spoil(engine, empty, word_count=12, last_comment_at=empty.created_at)
    with engine.connect() as connection:
        drifts = list(counters.verify(connection))
    assert [(d.counter, d.stored, d.true) for d in drifts] == [
        ("Thread.word_count", 12, 0),
        ("Thread.last_comment_at", empty.created_at, None),
    ]


def test_verify_is_one_statement_and_changes_nothing(engine: Engine, threads: list[Thread]) -> None:
    spoil(engine, threads[2], word_count=99)
    with engine.connect() as connection, recorded(engine) as executed:
        assert len(list(counters.verify(connection))) == 1
    assert executed.verbs == ["SELECT tallied_thread"]
    with engine.connect() as connection:
        query = select(Thread.word_count).where(Thread.id == threads[2].id)
        assert connection.execute(query).scalar_one() == 99


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_rebuild_puts_right_what_is_wrong_and_leaves_the_rest(
    engine: Engine, threads: list[Thread], batch_size: int
) -> None:
    for number in (0, 3, 6):
        spoil(engine, threads[number], word_count=5000 + number, last_comment_at=None)
    seen: list[tuple[int, int]] = []
    with engine.connect() as connection:
        repaired = counters.rebuild(
            connection, batch_size=batch_size, progress=lambda *done: seen.append(done)
        )
    assert repaired == 3
    assert seen[-1] == (7, 7)
    assert len(seen) == -(-7 // batch_size)
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []
        assert drifted(connection) == 0


def test_a_deleted_source_row_that_was_not_counted_is_found(
    engine: Engine, threads: list[Thread]
) -> None:
    last = threads[-1]
    with engine.begin() as connection:
        long = (Comment.word_count > 9) & (Comment.thread_id == last.id)
        connection.execute(delete(Comment.__table__).where(long))
    with engine.connect() as connection:
        found = {each.counter for each in counters.verify(connection)}
        assert {"Thread.comment_count", "Thread.word_count"} <= found
        connection.rollback()
        assert counters.rebuild(connection) == 1
    with Session(engine) as session:
        assert drifted(session.connection()) == 0
