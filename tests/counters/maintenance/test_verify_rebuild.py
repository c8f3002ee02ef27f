"""Contract point 9: drift is found and repaired, and nothing else is changed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session, selectinload
from support.comments import thread_of
from support.recount import drifted
from support.sessions import Counted, store_once
from support.statements import recorded

from tallied.counters.maintenance.rebuild import Progress
from tallied.errors import CounterError
from tallied.models import Author, Comment, Thread
from tallied.models.counters import counters


def add_threads(session: Session) -> None:
    """Add seven threads, with 0, 2, 4, … comments."""
    for number in range(7):
        thread = thread_of(*(number + length + 2 for length in range(2 * number)))
        thread.title = f"Thread {number}"
        session.add(thread)


@pytest.fixture
def threads(engine: Engine) -> list[Thread]:
    """The threads of `add_threads`, stored, with their comments."""
    store_once(engine, add_threads)
    with Session(engine) as session:
        loaded = select(Thread).options(selectinload(Thread.comments)).order_by(Thread.id)
        return list(session.scalars(loaded))


def spoil(engine: Engine, thread: Thread, **values: object) -> None:
    """Write counters as only raw SQL can."""
    with engine.begin() as connection:
        statement = update(Thread.__table__).where(Thread.id == thread.id)
        connection.execute(statement.values(values))


def spoil_comment(engine: Engine, comment: UUID, **values: object) -> None:
    with engine.begin() as connection:
        statement = update(Comment.__table__).where(Comment.id == comment)
        connection.execute(statement.values(values))


def test_verify_reports_no_right_counter(engine: Engine, threads: list[Thread]) -> None:
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []


def test_verify_reports_both_values_of_wrong_counters(
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
    assert str(drifts[0]) == (
        f"Thread.comment_count of {third.id}: stored 2, true 6, difference -4"
    )
    assert str(drifts[1]) == (
        f"Thread.word_count of {third.id}: stored {third.word_count + 17}, "
        f"true {third.word_count}, difference +17"
    )


def test_verify_names_missing_values(engine: Engine, threads: list[Thread]) -> None:
    last = threads[3].last_comment_at
    assert last is not None
    spoil(engine, threads[3], last_comment_at=None)
    with engine.connect() as connection:
        (drift,) = counters.verify(connection)
    assert str(drift).endswith(f"stored nothing, true {last.isoformat()}")


def test_verify_recounts_threads_without_comments(engine: Engine, threads: list[Thread]) -> None:
    empty = next(thread for thread in threads if thread.comment_count == 0)
    spoil(engine, empty, word_count=12, last_comment_at=empty.created_at)
    with engine.connect() as connection:
        drifts = list(counters.verify(connection))
    assert [(d.counter, d.stored, d.true) for d in drifts] == [
        ("Thread.word_count", 12, 0),
        ("Thread.last_comment_at", empty.created_at, None),
    ]


def test_verify_takes_one_statement_a_class(engine: Engine, threads: list[Thread]) -> None:
    for number in (2, 4):
        spoil(engine, threads[number], word_count=99)
    with engine.connect() as connection, recorded(engine) as executed:
        assert len(list(counters.verify(connection, derived=False))) == 2
    classes = {counter.parent for counter in counters.declared}
    assert [statement.split()[0] for statement in executed] == ["SELECT"] * len(classes)
    with engine.connect() as connection, recorded(engine) as executed:
        assert len(list(counters.verify(connection, only=[Thread], derived=False))) == 2
    assert [statement.split()[0] for statement in executed] == ["SELECT"]
    with engine.connect() as connection:
        query = select(Thread.word_count).where(Thread.id == threads[2].id)
        assert connection.execute(query).scalar_one() == 99


def test_verify_and_rebuild_take_names_of_counters(engine: Engine, threads: list[Thread]) -> None:
    spoil(engine, threads[3], word_count=17, comment_count=2)
    spoil(engine, threads[4], comment_count=3)
    with engine.connect() as connection:
        named = {
            name: [d.key for d in counters.verify(connection, only=[name])]
            for name in (
                Thread.word_count,
                "Thread.comment_count",
                "Thread.last_comment_at",
                Comment.word_count,
            )
        }
        both = [d.counter for d in counters.verify(connection, only=[Thread])]
        connection.rollback()
        assert counters.rebuild(connection, only=["Thread.comment_count"]) == 2
        remaining = [d.counter for d in counters.verify(connection)]
    third, fourth = (threads[3].id,), (threads[4].id,)
    assert list(named.values()) == [[third], [third, fourth], [], []]
    assert both == ["Thread.comment_count", "Thread.word_count", "Thread.comment_count"]
    assert remaining == ["Thread.word_count"]


def test_unknown_counter_is_refused_with_the_known_names(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(CounterError) as raised:
        counters.verify(connection, only=["Thread.words"])
    message = str(raised.value)
    assert message.startswith("There is no counter Thread.words; there is ")
    assert message.endswith(".")
    assert all(str(counter) in message for counter in counters.declared)
    assert "Thread.title_folded" in message


def test_condition_narrows_verify_and_rebuild(engine: Engine, threads: list[Thread]) -> None:
    for number in (1, 3, 5):
        spoil(engine, threads[number], word_count=9000 + number)
    chosen = Thread.title.in_([threads[3].title, threads[4].title])
    with engine.connect() as connection:
        drifts = [d.key for d in counters.verify(connection, only=[Thread], where=chosen)]
        connection.rollback()
        assert counters.rebuild(connection, only=[Thread], where=chosen) == 1
        remaining = [d.key for d in counters.verify(connection)]
    assert drifts == [(threads[3].id,)]
    assert remaining == [(threads[1].id,), (threads[5].id,)]


def test_condition_on_counters_of_two_classes_is_refused(
    engine: Engine, threads: list[Thread]
) -> None:
    chosen = Thread.title == threads[3].title
    with engine.connect() as connection:
        for refused in (counters.verify, counters.rebuild):
            with pytest.raises(CounterError, match="name the counters of one class"):
                list(refused(connection, where=chosen))  # type: ignore[call-overload, operator]


def test_counters_of_authors_are_verified_and_rebuilt(
    engine: Engine, threads: list[Thread]
) -> None:
    with Counted(engine, expire_on_commit=False) as session:
        ada, bob = Author(subject="a"), Author(subject="b")
        for number, thread in enumerate(threads):
            for author in (ada, bob, bob):
                words = "word " * (number + 1)
                session.add(Comment(thread_id=thread.id, author=author, message=words))
        session.commit()
        assert [(a.comment_count, a.word_count) for a in (ada, bob)] == [(7, 28), (14, 56)]
    with engine.begin() as connection:
        connection.execute(update(Author.__table__).values(word_count=3))
    spoil(engine, threads[4], word_count=99)
    with engine.connect() as connection:
        drifts = [(d.counter, d.key[0]) for d in counters.verify(connection)]
        assert sorted(drifts) == [
            *sorted(("Author.word_count", item.id) for item in (ada, bob)),
            ("Thread.word_count", threads[4].id),
        ]
        assert drifted(connection) == 3
        connection.rollback()
        assert counters.rebuild(connection, only=[Author], where=Author.id == bob.id) == 1
        remaining = [d.key[0] for d in counters.verify(connection, only=["Author.word_count"])]
        connection.rollback()
        assert remaining == [ada.id]
        assert counters.rebuild(connection) == 2
        assert drifted(connection) == 0


def test_condition_may_read_other_tables(engine: Engine, threads: list[Thread]) -> None:
    for thread in threads:
        spoil(engine, thread, comment_count=500)
    long = Thread.comments.any(Comment.word_count > 15)
    true = [t.id for t in threads if any(c.word_count > 15 for c in t.comments)]
    assert 1 < len(true) < 6
    with engine.connect() as connection:
        assert [d.key[0] for d in counters.verify(connection, only=[Thread], where=long)] == true


@pytest.mark.slow
def test_sample_draws_threads_with_equal_chance(engine: Engine, threads: list[Thread]) -> None:
    for thread in threads:
        spoil(engine, thread, comment_count=500)
    drawn: list[UUID] = []
    with engine.connect() as connection:
        for _ in range(60):
            drifts = [drift.key[0] for drift in counters.verify(connection, sample=3)]
            assert len(set(drifts)) == 3
            assert drifts == sorted(drifts)
            drawn += drifts
        assert len(list(counters.verify(connection, sample=1000))) == 7
        few = Thread.id.in_([threads[2].id, threads[6].id])
        chosen = counters.verify(connection, only=[Thread], sample=5, where=few)
        both = [drift.key[0] for drift in chosen]
    assert both == [threads[2].id, threads[6].id]
    # 180 draws of 7: about 26 each; fewer than 6 has a chance of 1 in 200,000,000.
    assert all(drawn.count(thread.id) > 5 for thread in threads)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_rebuild_repairs_wrong_threads_only(
    engine: Engine, threads: list[Thread], batch_size: int
) -> None:
    for number in (0, 3, 6):
        spoil(engine, threads[number], word_count=5000 + number, last_comment_at=None)
    steps: list[Progress] = []
    with engine.connect() as connection:
        assert (
            counters.rebuild(
                connection, only=[Thread], batch_size=batch_size, progress=steps.append
            )
            == 3
        )
    assert steps[-1] == Progress(Thread, (threads[-1].id,), 7, 7, 3)
    assert len(steps) == -(-7 // batch_size)
    with engine.connect() as connection:
        assert list(counters.verify(connection)) == []
        assert drifted(connection) == 0


def test_rebuild_neither_locks_nor_writes_right_threads(
    engine: Engine, threads: list[Thread]
) -> None:
    with engine.connect() as connection, recorded(engine) as executed:
        assert counters.rebuild(connection, only=[Thread]) == 0
    assert len(executed) == 4, "their number, a batch of keys, its recount, and an empty batch"
    assert all(statement.startswith("SELECT") for statement in executed)
    assert not any("FOR " in statement for statement in executed)


def test_rebuild_resumes_after_a_key(engine: Engine, threads: list[Thread]) -> None:
    for thread in threads:
        spoil(engine, thread, word_count=7777)

    class Stopped(Exception):
        pass

    reached: list[Progress] = []

    def stop(progress: Progress) -> None:
        reached.append(progress)
        if progress.done >= 4:
            raise Stopped

    with engine.connect() as connection:
        with pytest.raises(Stopped):
            counters.rebuild(connection, only=[Thread], batch_size=2, progress=stop)
        wrong = [d.key[0] for d in counters.verify(connection)]
        connection.rollback()
        assert wrong == [thread.id for thread in threads[4:]]
        last = reached[-1]
        assert (last.key, last.done, last.total, last.repaired) == ((threads[3].id,), 4, 7, 4)
        again: list[Progress] = []
        done = counters.rebuild(
            connection,
            only=[Thread],
            after=(last.parent, last.key),
            batch_size=2,
            progress=again.append,
        )
        assert done == 3
        assert [(p.done, p.total) for p in again] == [(6, 7), (7, 7)]
        assert list(counters.verify(connection)) == []


def test_rebuild_takes_plain_key_and_refuses_other_class(
    engine: Engine, threads: list[Thread]
) -> None:
    for thread in threads:
        spoil(engine, thread, word_count=7777)
    with engine.connect() as connection:
        assert counters.rebuild(connection, after=(Thread, threads[4].id)) == 2
        with pytest.raises(CounterError, match="No counter of Comment is to be rebuilt"):
            counters.rebuild(connection, only=[Thread], after=(Comment, threads[4].id))


def test_rebuild_refuses_connection_in_a_transaction(engine: Engine, threads: list[Thread]) -> None:
    spoil(engine, threads[2], word_count=99)
    with engine.connect() as connection:
        assert len(list(counters.verify(connection))) == 1
        with pytest.raises(CounterError, match="this connection is in a transaction"):
            counters.rebuild(connection)
        assert len(list(counters.verify(connection))) == 1


def test_uncounted_deletion_is_found_and_repaired(engine: Engine, threads: list[Thread]) -> None:
    last = threads[-1]
    with engine.begin() as connection:
        long = (Comment.word_count > 9) & (Comment.thread_id == last.id)
        connection.execute(delete(Comment.__table__).where(long))
    with engine.connect() as connection:
        drifts = {drift.counter for drift in counters.verify(connection)}
        assert {"Thread.comment_count", "Thread.word_count"} <= drifts
        connection.rollback()
        assert counters.rebuild(connection) == 1
    with Session(engine) as session:
        assert drifted(session.connection()) == 0


# Derived columns


def test_verify_finds_wrong_derived_columns(engine: Engine, threads: list[Thread]) -> None:
    right = threads[2].comments[0]
    wrong, other = threads[3].comments[0], threads[5].comments[0]
    spoil_comment(engine, wrong.id, word_count=wrong.word_count + 4)
    spoil_comment(engine, other.id, message="just these four words")
    spoil_comment(engine, right.id, message="other words " * 30, word_count=60)
    with engine.connect() as connection:
        only = [Comment.word_count]
        drifts = list(counters.verify(connection, only=only))
        reported = {(d.counter, d.key[0], d.stored, d.true) for d in drifts}
        assert reported == {
            ("Comment.word_count", wrong.id, wrong.word_count + 4, wrong.word_count),
            ("Comment.word_count", other.id, other.word_count, 4),
        }
        # Only comments of the chosen threads.
        fifth, with_amounts = Thread.id == threads[5].id, [Thread, Comment.word_count]
        part = counters.verify(connection, only=with_amounts, where=fifth)
        assert [d.key for d in part if d.counter == "Comment.word_count"] == [(other.id,)]
        every = counters.verify(connection, sample=7)
        assert {d.key[0] for d in every if d.counter == "Comment.word_count"} == {
            wrong.id,
            other.id,
        }
        by_row = counters.verify(connection, only=only, where=Comment.id != wrong.id)
        assert [d.key for d in by_row] == [(other.id,)]
