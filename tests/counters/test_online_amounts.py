"""Amounts that Python computes: kept right under races, checked in a stream, repaired online."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, select, update
from support.recount import drifted
from support.sessions import Counted
from support.writers import store_threads, turn, writing

from tallied.counters.derived import pages, repair
from tallied.models import Comment
from tallied.models.counters import amounts, counters

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")


@pytest.fixture
def threads(engine: Engine) -> list[UUID]:
    return store_threads(engine)


def test_a_text_that_is_set_to_what_was_loaded_is_written_with_its_amount(
    engine: Engine, threads: list[UUID]
) -> None:
    with Counted(engine, expire_on_commit=False) as session:
        mine = session.scalars(select(Comment).limit(1)).one()
        text, words = mine.message, mine.word_count
        session.commit()
        with Counted(engine) as other:
            other.get_one(Comment, mine.id).message = "now it is of six words"
            other.commit()
        mine.message = text  # as it was when it was loaded, which the row no longer is
        session.commit()
    with engine.connect() as connection:
        row = connection.execute(
            select(Comment.message, Comment.word_count).where(Comment.id == mine.id)
        )
        assert tuple(row.one()) == (text, words)
        assert drifted(connection) == 0


def test_amounts_are_repaired_while_others_write_and_the_counters_follow(
    engine: Engine, threads: list[UUID]
) -> None:
    (words,) = amounts
    reader = create_engine(engine.url)
    with writing(engine, threads):
        with turn(engine), Counted(engine) as session:  # counted, as the counters follow it
            session.execute(update(Comment).values(word_count=Comment.word_count + 100))
            session.commit()
        repaired = 0
        with reader.connect() as connection:
            for page in pages(connection, words, size=7):
                with turn(engine), Counted(engine) as session:
                    repaired += repair(session, words, page.wrong)
                    session.commit()
        assert repaired > 20
        with reader.connect() as connection:
            assert list(counters.verify(connection, amounts=amounts)) == []
    reader.dispose()
    with engine.connect() as connection:
        assert drifted(connection) == 0
