"""Numbers of the rows of a parent: unique, in order, under the parent's lock."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Integer, String, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, mapped_column, relationship
from support.comments import stored_thread
from support.numbers import BEFORE, Entry, NumberedSession, Topic, counters, last, numbers
from support.numbers import session as session
from support.pairs import assert_verified, counter, install, new_counters, pair
from support.sessions import Counted
from support.statements import recorded

from tallied.counters import Number
from tallied.errors import (
    CounterAssignmentError,
    CounterDeclarationError,
    UncountedStatementError,
)
from tallied.models import Comment
from tallied.models.counters import counters as comment_counters

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

LOCK, INSERT, COUNT = "SELECT numbered_topic", "INSERT numbered_entry", "UPDATE numbered_topic"


def begin(session: Session) -> Any:
    """Begin to write: on SQLite, a SELECT takes no lock."""
    connection: Any = session.connection()
    driver = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    return connection


def lock_verb(engine: Engine) -> str:
    return COUNT if engine.dialect.name == "sqlite" else LOCK


def test_new_rows_take_the_next_numbers_in_order(session: Session, engine: Engine) -> None:
    entries = [Entry(id=id, topic_id=1, seq=None) for id in (9, 5, 7)]
    with recorded(engine) as executed:
        session.add_all(entries)
        session.flush()
    assert [entry.seq for entry in entries] == [4, 5, 6]
    assert executed.verbs == [lock_verb(engine), INSERT, COUNT]
    assert numbers(session) == BEFORE | {9: 4, 5: 5, 7: 6}
    assert last(session) == 6
    assert_verified(session, counters)


def test_second_flush_does_not_lock_again(session: Session, engine: Engine) -> None:
    session.add(Entry(id=5, topic_id=1))
    session.flush()
    with recorded(engine) as executed:
        session.add(Entry(id=6, topic_id=1))
        session.flush()
    assert executed.verbs == [INSERT, COUNT]
    assert numbers(session) == BEFORE | {5: 4, 6: 5}


@pytest.mark.parametrize("by_engine", [True, False])
def test_locked_parent_is_not_locked_again(
    session: Session, engine: Engine, by_engine: bool
) -> None:
    connection = begin(session)
    if by_engine:
        topic = counters.lock(session, Topic, 1)
        entry = Entry(id=5, topic=topic)
    else:
        row = select(Topic.id, Topic.last).where(Topic.id == 1).with_for_update()
        counters.record_lock(session, Topic, 1, connection.execute(row).one()._asdict())
        entry = Entry(id=5, topic_id=1)
    with recorded(engine) as executed:
        session.add(entry)
        session.flush()
    assert executed.verbs == [INSERT, COUNT]
    assert numbers(session)[5] == 4
    assert last(session) == 4


def test_released_lock_is_taken_again(session: Session, engine: Engine) -> None:
    with session.begin_nested() as savepoint:
        counters.lock(session, Topic, 1)
        savepoint.rollback()
    with recorded(engine) as executed:
        session.add(Entry(id=5, topic_id=1))
        session.flush()
    assert executed.verbs == [lock_verb(engine), INSERT, COUNT]


def test_new_parent_is_inserted_with_its_last_number(session: Session, engine: Engine) -> None:
    topic = Topic(id=8, entries=[Entry(id=21), Entry(id=20)])
    with recorded(engine) as executed:
        session.add_all([topic, Entry(id=22, topic_id=8)])
        session.flush()
    assert COUNT not in executed.verbs
    assert (topic.last, topic.entry_count, last(session, 8)) == (3, 3, 3)
    assert sorted(numbers(session, 8).values()) == [1, 2, 3]
    assert_verified(session, counters)


def test_row_without_parent_has_no_number(session: Session) -> None:
    entry = Entry(id=5)
    session.add(entry)
    session.flush()
    assert entry.seq is None
    entry.topic_id = 1
    session.flush()
    assert entry.seq == 4
    entry.topic_id = None
    session.flush()
    assert entry.seq is None
    assert_verified(session, counters)


@pytest.mark.parametrize("by_object", [True, False])
def test_moved_row_takes_the_next_number_of_its_parent(session: Session, by_object: bool) -> None:
    entry, other = session.get_one(Entry, 1), session.get_one(Topic, 2)
    if by_object:
        entry.topic = other
    else:
        entry.topic_id = 2
    session.flush()
    assert (entry.seq, other.last) == (2, 2)
    assert (numbers(session), last(session)) == ({2: 2, 3: 3}, 3)
    assert_verified(session, counters)


def test_moved_row_may_get_the_same_number(session: Session) -> None:
    session.add(Topic(id=3))
    session.flush()
    entry = session.get_one(Entry, 1)
    entry.topic_id = 3
    session.commit()
    assert (entry.seq, numbers(session, 3), last(session, 3)) == (1, {1: 1}, 1)


def test_row_moved_meanwhile_takes_the_next_number(engine: Engine, session: Session) -> None:
    session.add(Topic(id=3))
    session.commit()
    with NumberedSession(engine, expire_on_commit=False) as stale:
        entry = stale.get_one(Entry, 1)
        stale.commit()
        session.get_one(Entry, 1).topic_id = 2
        session.commit()
        entry.topic_id = 3  # where it gets the number that memory has
        stale.commit()
    assert (entry.seq, numbers(session, 3), last(session, 3)) == (1, {1: 1}, 1)
    assert_verified(session, counters)


def test_edit_of_a_row_moved_meanwhile_keeps_its_number(engine: Engine) -> None:
    with Counted(engine) as session, Counted(engine, expire_on_commit=False) as stale:
        first, second = stored_thread(session, 1, 1, 1), stored_thread(session, 1)
        key = first.comments[0].id
        session.commit()
        loaded = stale.get_one(Comment, key)
        stale.commit()
        session.get_one(Comment, key).thread_id = second.id
        session.commit()
        loaded.message = "two words"
        stale.commit()
        assert session.get_one(Comment, key).seq == second.last_seq == 2
        assert_verified(session, comment_counters)


def test_deletion_leaves_the_last_number(session: Session) -> None:
    topic = session.get_one(Topic, 1)
    session.delete(session.get_one(Entry, 3))
    session.flush()
    assert (topic.last, topic.entry_count) == (3, 2)
    session.add(entry := Entry(id=5, topic=topic))
    session.flush()
    assert (entry.seq, topic.last) == (4, 4)
    assert_verified(session, counters)


def test_other_changes_lock_nothing(session: Session, engine: Engine) -> None:
    entry = session.get_one(Entry, 1)
    with recorded(engine) as executed:
        entry.name = "renamed"
        session.flush()
    assert executed.verbs == ["UPDATE numbered_entry"]


def test_collection_without_a_way_back_numbers_too(engine: Engine) -> None:
    Parent, Source = pair(
        {
            "last": counter("last"),
            "sources": relationship("Source", overlaps="parent"),
        },
        {"seq": mapped_column(Integer)},
    )
    own, Own = install(engine, Number(Source.seq, via=Source.parent, last=Parent.last))
    with Own(engine) as session:
        first, second = Parent(sources=[Source(), Source()]), Parent(sources=[Source()])
        session.add_all([first, second])
        session.commit()
        moved = first.sources[0]
        second.sources.append(moved)
        second.sources.append(Source())
        session.flush()
        assert sorted(source.seq for source in second.sources) == [1, 2, 3]
        assert (first.last, second.last) == (2, 3)
        assert_verified(session, own)


@pytest.mark.parametrize(
    "column", [mapped_column(Integer, nullable=False), mapped_column(String), counter("seq")]
)
def test_column_that_takes_no_number_is_refused(column: Any) -> None:
    Parent, Source = pair({"last": counter("last")}, {"seq": column})
    with pytest.raises(CounterDeclarationError, match=r"E042|E017") as raised:
        new_counters(Number(Source.seq, via=Source.parent, last=Parent.last))
    assert "seq" in str(raised.value)


# Statements


def by_values(session: Session) -> None:
    session.execute(insert(Entry).values(id=5, topic_id=1))


def by_many_values(session: Session) -> None:
    session.execute(insert(Entry).values([{"id": 5, "topic_id": 1, "name": "a"}]))


def by_list(session: Session) -> None:
    session.execute(insert(Entry), [{"id": 5, "topic_id": 1}])


def by_select(session: Session) -> None:
    chosen = select(text("5"), text("1"), text("'x'"))
    session.execute(insert(Entry).from_select(["id", "topic_id", "name"], chosen))


def by_table(session: Session) -> None:
    table: Any = Entry.__table__
    session.execute(table.insert().values(id=5, topic_id=1, name="x"))


def by_merge(session: Session) -> None:
    session.merge(Entry(id=5, topic_id=1))
    session.flush()


@pytest.mark.parametrize("add", [by_values, by_many_values, by_list, by_select, by_table, by_merge])
def test_rows_of_statements_are_numbered(session: Session, add: Any) -> None:
    topic = session.get_one(Topic, 1)
    add(session)
    assert numbers(session) == BEFORE | {5: 4}
    assert (topic.last, last(session)) == (4, 4)
    assert_verified(session, counters)


def test_list_of_rows_is_numbered_in_order(session: Session) -> None:
    rows = [{"id": 10 + n, "topic_id": 1 + n % 2} for n in range(6)]
    session.execute(insert(Entry), rows)
    assert numbers(session) == BEFORE | {10: 4, 12: 5, 14: 6}
    assert numbers(session, 2) == {4: 1, 11: 2, 13: 3, 15: 4}


@pytest.mark.parametrize("by_key", [True, False])
def test_statement_that_moves_rows_numbers_them(session: Session, by_key: bool) -> None:
    if by_key:
        session.execute(update(Entry), [{"id": id, "topic_id": 2} for id in (2, 3)])
    else:
        session.execute(update(Entry).where(Entry.id > 1).values(topic_id=2))
    assert numbers(session) == {1: 1}
    assert numbers(session, 2) == {4: 1, 2: 2, 3: 3}
    assert (last(session), last(session, 2)) == (3, 3)
    assert_verified(session, counters)


# Refusals


@pytest.mark.parametrize("name", ["seq", "last"])
def test_assignment_is_refused(session: Session, name: str) -> None:
    entry, topic = session.get_one(Entry, 1), session.get_one(Topic, 1)
    entry.seq, topic.last = 1, 3
    with pytest.raises(CounterAssignmentError, match=name):
        setattr(entry if name == "seq" else topic, name, 7)
    with pytest.raises(CounterAssignmentError, match=name):
        (Entry if name == "seq" else Topic)(id=9, **{name: 7})
    assert (entry.seq, topic.last) == (1, 3)
    with recorded(session.get_bind()) as executed:  # type: ignore[arg-type]
        session.flush()
    assert executed == []


@pytest.mark.sampled
@pytest.mark.parametrize(
    "statement",
    [
        lambda: insert(Entry).values(id=5, topic_id=1, seq=9),
        lambda: update(Entry).values(seq=9),
        lambda: update(Topic).values(last=9),
        lambda: insert(Entry).from_select(["id", "seq"], select(Entry.id + 9, Entry.seq)),
    ],
)
def test_statement_that_assigns_a_number_is_refused(session: Session, statement: Any) -> None:
    with pytest.raises(UncountedStatementError, match=r"seq|last"):
        session.execute(statement())


def test_merge_of_detached_object_keeps_its_number(session: Session) -> None:
    entry = session.get_one(Entry, 1)
    session.expunge(entry)
    session.execute(update(Entry).where(Entry.id == 1).values(topic_id=2))
    merged = session.merge(entry, load=True)
    session.flush()
    assert_verified(session, counters)
    assert merged.seq == numbers(session)[1] == 4


# Rollbacks


def test_rollback_restores_memory(session: Session) -> None:
    entry, moved = Entry(id=5, topic_id=1), session.get_one(Entry, 4)
    moved.topic_id = 1
    session.add(entry)
    session.flush()
    assert (entry.seq, moved.seq) == (4, 5)
    session.rollback()
    assert (entry.seq, moved.seq) == (None, 1)
    session.add(entry)
    session.flush()
    assert entry.seq == 4


def test_savepoint_restores_memory(session: Session) -> None:
    topic, entry = session.get_one(Topic, 1), Entry(id=5, topic_id=1)
    with session.begin_nested() as savepoint:
        session.add(entry)
        session.flush()
        assert (entry.seq, topic.last) == (4, 4)
        savepoint.rollback()
    assert (entry.seq, topic.last, last(session)) == (None, 3, 3)
    session.add(other := Entry(id=6, topic_id=1))
    session.flush()
    assert (other.seq, topic.last) == (4, 4)
    assert_verified(session, counters)


def test_failed_flush_restores_memory(session: Session) -> None:
    entry, wrong = Entry(id=5, topic_id=1), Entry(id=1, topic_id=1)
    session.add_all([entry, wrong])
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()
    assert (entry.seq, wrong.seq) == (None, None)
    session.add(entry)
    session.commit()
    assert (entry.seq, last(session)) == (4, 4)


def test_missing_parent_is_reported_by_the_key(session: Session) -> None:
    session.add(Entry(id=5, topic_id=99))
    with pytest.raises(IntegrityError):
        session.flush()
