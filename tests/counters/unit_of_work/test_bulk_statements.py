"""Contract point 8: INSERT, UPDATE and DELETE by statement are counted, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, selectinload
from support.comments import thread_of
from support.recount import assert_exact, count_drifted, drifted, shown
from support.sessions import perform, store_once
from support.statements import recorded

from tallied.errors import UncountedStatementError
from tallied.models import Comment, Thread
from tallied.models.counters import counters


def add_threads(session: Session) -> None:
    """Add five threads with comments of 2, 3, 4 and 5 words each."""
    for number in range(5):
        thread = thread_of(2, 3, 4, 5)
        thread.title = f"T{number}"
        session.add(thread)


@pytest.fixture
def threads(engine: Engine, session: Session) -> list[Thread]:
    """The threads of `add_threads`, stored and in memory with their comments."""
    store_once(engine, add_threads)
    loaded = select(Thread).options(selectinload(Thread.comments)).order_by(Thread.title)
    return list(session.scalars(loaded))


def rows(threads: list[Thread], number: int) -> list[dict[str, Any]]:
    return [
        {"thread_id": threads[n % 5].id, "author_name": "B", "message": "x y z", "word_count": 3}
        for n in range(number)
    ]


Write = Callable[[Session, list[Thread]], Any]

WRITES: dict[str, Write] = {
    "insert one": lambda s, t: insert(Comment).values(rows(t, 1)[0]),
    "insert a list of values": lambda s, t: insert(Comment).values(rows(t, 12)),
    "insert with parameters": lambda s, t: (insert(Comment), rows(t, 23)),
    "insert by the table": lambda s, t: (insert(Comment.__table__), rows(t, 23)),
    "insert returning": lambda s, t: (insert(Comment).returning(Comment.id), rows(t, 7)),
    "move all": lambda s, t: update(Comment).values(thread_id=t[1].id),
    "move some": lambda s, t: (
        update(Comment).where(Comment.word_count > 3).values(thread_id=t[2].id)
    ),
    "edit by the table": lambda s, t: (
        update(Comment.__table__)
        .where(Comment.word_count == 2)
        .values(message="a b c d e f", word_count=6)
    ),
    "edit by a parameter": lambda s, t: (
        update(Comment)
        .where(Comment.word_count == bindparam("old"))
        .values(message="one two three four five six", word_count=6),
        {"old": 4},
    ),
    "edit by keys": lambda s, t: (
        update(Comment),
        [
            {"id": c.id, "message": "e " * 9, "word_count": 9}
            for c in (*t[0].comments, *t[4].comments)
        ],
    ),
    "edit by a subquery": lambda s, t: (
        update(Comment)
        .where(Comment.thread_id.in_(select(Thread.id).where(Thread.title < "T3")))
        .values(message="a b", word_count=2)
    ),
    "legacy update": lambda s, t: (
        s.query(Comment)
        .filter(Comment.word_count == 5)
        .update({"message": "a b c d e f g", "word_count": 7})
    ),
    "edit in order": lambda s, t: update(Comment).ordered_values(
        (Comment.word_count, 2), (Comment.message, "a b")
    ),
    "make the latest earlier": lambda s, t: (
        update(Comment)
        .where(Comment.id == max(t[2].comments, key=lambda c: c.created_at).id)
        .values(created_at=t[2].created_at.replace(year=2001))
    ),
    "delete some": lambda s, t: delete(Comment).where(Comment.word_count < 4),
    "delete all": lambda s, t: delete(Comment),
    "delete returning": lambda s, t: (
        delete(Comment).where(Comment.word_count == 5).returning(Comment.message)
    ),
    "delete by the table": lambda s, t: delete(Comment.__table__).where(
        Comment.__table__.c.word_count == 3
    ),
    "legacy delete": lambda s, t: s.query(Comment).filter_by(thread_id=t[1].id).delete(),
    "delete threads": lambda s, t: delete(Thread).where(Thread.title > "T2"),
    "nothing": lambda s, t: delete(Comment).where(Comment.word_count > 99),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", WRITES)
def test_bulk_statement_is_counted(session: Session, threads: list[Thread], name: str) -> None:
    perform(session, WRITES[name], threads)
    alive = session.scalars(select(Thread.id)).all()
    assert_exact(session, *(thread for thread in threads if thread.id in alive))
    assert drifted(session.connection()) == 0


def test_returning_yields_the_requested_columns(session: Session, threads: list[Thread]) -> None:
    values = rows(threads, 4)
    inserted = session.execute(
        insert(Comment).returning(Comment.message, Comment.word_count), values
    )
    assert inserted.all() == [("x y z", 3)] * 4
    entities = session.scalars(insert(Comment).returning(Comment), rows(threads, 3)).all()
    assert [type(item) for item in entities] == [Comment] * 3
    condition = Comment.word_count == 4
    edited = update(Comment).where(condition).values(author_name="Z", message="of four words now")
    assert session.execute(edited.returning(Comment.author_name)).scalars().all() == ["Z"] * 5
    assert session.execute(delete(Comment).where(condition)).rowcount == 5


def test_synchronize_session_keeps_working(session: Session, threads: list[Thread]) -> None:
    loaded = threads[2].comments[1]
    for how, size in (("evaluate", 8), ("fetch", 9), ("auto", 10)):
        session.execute(
            update(Comment)
            .where(Comment.id == loaded.id)
            .values(message="s " * size, word_count=size)
            .execution_options(synchronize_session=how)
        )
        assert loaded.word_count == size
        assert_exact(session, threads[2])
    session.execute(delete(Comment).where(Comment.id == loaded.id))
    assert loaded not in session


@pytest.mark.parametrize("size", [3, 300])
def test_cost_does_not_depend_on_the_number_of_rows(
    session: Session, engine: Engine, threads: list[Thread], size: int
) -> None:
    session.execute(insert(Comment), rows(threads, size))
    with recorded(engine) as executed:
        session.execute(insert(Comment), rows(threads, size))
    # The threads are locked already; the numbers of the rows are stored by one statement.
    assert set(executed.verbs) == {
        "INSERT tallied_comment",
        "UPDATE tallied_comment",
        "UPDATE tallied_thread",
    }
    assert executed.verbs.count("UPDATE tallied_comment") == 1
    assert executed.verbs.count("UPDATE tallied_thread") == 1
    with recorded(engine) as executed:
        session.execute(update(Comment).values(message="a b", word_count=2))
    assert executed.verbs == [
        "SELECT tallied_comment",
        "UPDATE tallied_comment",
        "SELECT tallied_comment",
        "UPDATE tallied_thread",
    ]
    with recorded(engine) as executed:
        session.execute(update(Comment).values(author_name="no counter's business"))
    assert executed.verbs == ["UPDATE tallied_comment"]


def test_upsert_that_does_nothing_counts_inserted_rows(
    session: Session, backend: str, threads: list[Thread]
) -> None:
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[backend]
    values = {**rows(threads, 1)[0], "id": threads[0].comments[0].id}
    statement = dialect.insert(Comment).values([values, *rows(threads, 3)])
    session.execute(statement.on_conflict_do_nothing(index_elements=["id"]))
    assert_exact(session, *threads)
    assert session.scalar(select(func.count()).select_from(Comment)) == 23


def test_upsert_that_updates_on_conflict_is_refused(
    session: Session, backend: str, threads: list[Thread]
) -> None:
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[backend]
    statement = dialect.insert(Comment).values(rows(threads, 1))
    with pytest.raises(
        UncountedStatementError, match="INSERT of Comment by statement updates rows on conflict"
    ):
        session.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"author_name": "C"})
        )
    assert_exact(session, *threads)


def test_uncountable_write_names_the_remedy(session: Session, threads: list[Thread]) -> None:
    with pytest.raises(UncountedStatementError, match="changes primary keys"):
        session.execute(update(Comment).values(id=threads[0].id))
    for call in (
        lambda: session.bulk_save_objects([Comment(**rows(threads, 1)[0])]),
        lambda: session.bulk_insert_mappings(Comment, rows(threads, 2)),
        lambda: session.bulk_update_mappings(Comment, rows(threads, 2)),
    ):
        with pytest.raises(UncountedStatementError, match=r"use Session\.add_all\(\)"):
            call()
    assert_exact(session, *threads)


def test_paused_block_repairs_touched_rows_only(
    session: Session, engine: Engine, threads: list[Thread]
) -> None:
    session.commit()
    with Session(engine) as plain:
        plain.connection().exec_driver_sql("UPDATE tallied_thread SET word_count = 77")
        plain.commit()
    with recorded(engine) as executed, counters.pause(session):
        for number in range(30):
            session.add(Comment(**rows(threads, 30)[number % 2]))
            session.flush()
        session.execute(delete(Comment).where(Comment.thread_id == threads[2].id))
    locks = 2 if engine.dialect.name == "sqlite" else 0  # of two threads, for their numbers
    assert executed.verbs.count("UPDATE tallied_thread") == locks + 1
    touched = threads[:3]
    for thread in threads:
        session.refresh(thread)
    assert_exact(session, *touched)
    assert [shown(thread).word_count for thread in threads[3:]] == [77, 77]


def test_paused_block_repairs_rows_touched_by_raw_sql(
    session: Session, threads: list[Thread]
) -> None:
    with counters.pause(session) as pause:
        session.connection().execute(insert(Comment.__table__), rows(threads, 10))
        pause.touch(Thread, *(thread.id for thread in threads[:4]))
    assert_exact(session, *threads[:4])
    drifts = {drift.key for drift in counters.verify(session.connection())}
    assert drifts == {(threads[4].id,)}


def test_counting_resumes_after_a_failed_paused_block(
    session: Session, threads: list[Thread]
) -> None:
    session.commit()
    with pytest.raises(LookupError), counters.pause(session):
        session.add(Comment(**rows(threads, 1)[0]))
        session.flush()
        raise LookupError
    session.rollback()
    session.add(Comment(**rows(threads, 1)[0]))
    session.flush()
    assert drifted(session.connection()) == 0


async def test_paused_works_with_an_async_session(database: Any) -> None:
    async def work(unit: Any) -> None:
        thread = Thread(title="T", comments=[Comment(author_name="A", message="one two")])
        unit.session.add(thread)
        async with counters.pause(unit.session):
            for row in rows([thread] * 5, 10):
                unit.session.add(Comment(**row))
                await unit.session.flush()
        assert shown(thread)[:2] == (11, 32)

    await database.write(work)
    assert await count_drifted(database) == 0
