"""Derived columns: exact in a race, verified in a stream, repaired while others write."""

from __future__ import annotations

import tracemalloc
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, select, text, update
from support.recount import drifted
from support.sessions import Counted
from support.statements import recorded
from support.writers import store_threads, turn, writing

from tallied.counters import Drift
from tallied.counters.maintenance import derived_columns
from tallied.counters.maintenance.derived_columns import pages, repair
from tallied.database import Database
from tallied.models import Comment, Thread
from tallied.models.counters import counters

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")


@pytest.fixture
def threads(engine: Engine) -> list[UUID]:
    return store_threads(engine)


def test_message_set_to_loaded_value_is_written_with_its_words(
    engine: Engine, threads: list[UUID]
) -> None:
    with Counted(engine, expire_on_commit=False) as session:
        edited = session.scalars(select(Comment).limit(1)).one()
        text, words = edited.message, edited.word_count
        session.commit()
        with Counted(engine) as other:
            other.get_one(Comment, edited.id).message = "now it is of six words"
            other.commit()
        edited.message = text  # as it was when it was loaded, which the row no longer is
        session.commit()
    with engine.connect() as connection:
        row = connection.execute(
            select(Comment.message, Comment.word_count).where(Comment.id == edited.id)
        )
        assert tuple(row.one()) == (text, words)
        assert drifted(connection) == 0


@pytest.mark.slow
def test_derived_columns_are_repaired_under_load(engine: Engine, threads: list[UUID]) -> None:
    words = counters.derived[0]
    reader = create_engine(engine.url)
    with writing(engine, threads):
        with turn(engine), Counted(engine) as session:  # counted, as the counters follow it
            every = update(Comment.__table__).values(word_count=Comment.word_count + 100)
            with counters.pause(session) as pause:
                session.connection().execute(every)
                pause.touch(Thread, *threads)
            session.commit()
        repaired = 0
        with reader.connect() as connection:
            for page in pages(connection, words, size=7):
                with turn(engine), Counted(engine) as session:
                    repaired += repair(session, words, page.wrong)
                    session.commit()
        assert repaired > 20
        with reader.connect() as connection:
            assert list(counters.verify(connection)) == []
    reader.dispose()
    assert drifted(engine) == 0


def test_rows_of_a_condition_are_found_for_many_pages_at_once(
    engine: Engine, threads: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = counters.derived[0]
    with engine.begin() as connection:
        connection.execute(update(Comment.__table__).values(word_count=1))
        of = Comment.thread_id.in_(threads[3:13])
        keys = [tuple(row) for row in connection.execute(select(Comment.id).where(of))]
    assert len(keys) == 30
    monkeypatch.setattr(derived_columns, "LOOKAHEAD", 12)
    reader = create_engine(engine.url)
    for start in (None, sorted(keys)[6]):
        remaining = [key for key in sorted(keys) if start is None or key > start]
        with reader.connect() as connection, recorded(reader) as executed:
            rows = list(pages(connection, words, size=5, start=start, where=of))
        assert [key for page in rows for key in page.wrong] == remaining
        assert [page.rows for page in rows][:3] == [5, 5, 2]
        looked_up = [statement for statement in executed if "message" not in statement]
        assert len(looked_up) == len(remaining) // 12 + 1
    reader.dispose()


def test_pages_name_no_more_rows_than_a_statement_can(
    engine: Engine, threads: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = counters.derived[0]
    monkeypatch.setattr(derived_columns, "MAX_PARAMETERS", 8)
    with engine.begin() as connection:
        connection.execute(update(Comment.__table__).values(word_count=1))
    reader = create_engine(engine.url)
    with reader.connect() as connection:
        sizes = [len(page.wrong) for page in pages(connection, words, size=100_000)]
    reader.dispose()
    assert sizes == [8] * 7 + [4]


MANY = 6_000
NUMBERED = {
    "sqlite": """
        INSERT INTO tallied_comment (id, thread_id, author_name, message, word_count, created_at)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many)
        SELECT printf('%032x', n), (SELECT id FROM tallied_thread LIMIT 1), 'A',
            replace(printf('%400s', ''), ' ', 'word '), 400, '2026-01-01 00:00:00'
        FROM numbers
    """,
    "postgresql": """
        INSERT INTO tallied_comment (id, thread_id, author_name, message, word_count, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, (SELECT id FROM tallied_thread LIMIT 1), 'A',
            repeat('word ', 400), 400, '2026-01-01 00:00:00Z'
        FROM generate_series(1, :many) AS numbers (n)
    """,
}


@pytest.mark.slow
async def test_verify_holds_few_messages_in_memory(
    engine: Engine, threads: list[UUID], database: Database
) -> None:
    with engine.begin() as connection:
        connection.execute(text(NUMBERED[engine.dialect.name]), {"many": MANY})
        connection.execute(text("UPDATE tallied_comment SET word_count = 7 WHERE word_count < 9"))

    def verify(connection: Connection) -> tuple[list[Drift], int]:
        tracemalloc.start()
        try:
            only = [Comment.word_count]
            drifts = list(counters.verify(connection, only=only))
            return drifts, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    async with database.engine.connect() as asynchronous:
        drifts, peak = await asynchronous.run_sync(verify)
    assert len(drifts) == 3 * len(threads), "those of 2, 3 and 5 words"
    assert peak < 4_000_000, "all messages together are 12 MB"
