"""Derived columns in sessions without the counters, and by lambda statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, insert, lambda_stmt, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from support.essays import Essay, EssaySession, Page, Shelf, essays, page
from support.essays import shelves as shelves

from tallied.errors import CounterAssignmentError, UncountedStatementError


class PlainSession(Session):
    """A session class that the counters are not installed on."""


@pytest.fixture
def tables(shelves: Session, engine: Engine) -> Iterator[Engine]:
    """The database of `shelves`, which must end without drift."""
    yield engine
    with engine.connect() as connection:
        assert list(essays.verify(connection)) == []


def slugs(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Page.slug).order_by(Page.id)))


def words(engine: Engine) -> tuple[list[int], int]:
    with engine.connect() as connection:
        counts = connection.scalars(select(Essay.words).order_by(Essay.id)).all()
        return list(counts), connection.scalars(select(Shelf.words)).one()


def test_plain_session_derives_columns_of_objects(tables: Engine) -> None:
    with PlainSession(tables) as session:
        stored = session.scalars(select(Page)).one()
        stored.title = "Why Sea Salt"
        session.add(page(title="An Other"))
        with pytest.raises(CounterAssignmentError):
            stored.slug = "mine"
        session.commit()
    assert slugs(tables) == ["why-sea-salt", "an-other"]


UNCOUNTED: dict[str, Callable[[], Any]] = {
    "the source": lambda: update(Page).values(title="Another Title"),
    "the target": lambda: update(Page).values(slug="mine"),
    "its table": lambda: update(Page.__table__).values(title="Another Title"),
    "the target of a new row": lambda: insert(Page).values(
        title="T T", slug="mine", summary="s", data={}
    ),
    "a lambda": lambda: lambda_stmt(lambda: update(Page).values(title="Another Title")),
}


@pytest.mark.sampled
@pytest.mark.parametrize("statement", UNCOUNTED)
def test_plain_session_refuses_statements(tables: Engine, statement: str) -> None:
    with PlainSession(tables) as session:
        with pytest.raises(UncountedStatementError, match=r"^Page has derived columns"):
            session.execute(UNCOUNTED[statement]())
        session.rollback()
    assert slugs(tables) == ["why-salt"]


def test_plain_session_may_write_other_columns(tables: Engine) -> None:
    with PlainSession(tables) as session:
        session.execute(update(Page).values(name="sea salt"))
        session.execute(insert(Page).values(title="An Other", name="other", summary="s", data={}))
        session.commit()
    assert slugs(tables) == ["why-salt", "an-other"]


def test_plain_session_refuses_bulk_updates(tables: Engine) -> None:
    with PlainSession(tables) as session:
        id_ = session.scalars(select(Page.id)).one()
        with pytest.raises(UncountedStatementError, match=r"^Page has derived columns"):
            session.bulk_update_mappings(Page, [{"id": id_, "title": "Another Title"}])
    assert slugs(tables) == ["why-salt"]


@pytest.mark.parametrize("body", ["three words here", "of four words it"])
def test_lambda_statement_derives_columns_each_time(tables: Engine, body: str) -> None:
    with EssaySession(tables) as session:

        def set_bodies(text: str) -> None:
            session.execute(lambda_stmt(lambda: update(Essay).values(body=text)))

        set_bodies("a text of six words here")
        set_bodies(body)
        session.commit()
    count = len(body.split())
    assert words(tables) == ([count, count], 2 * count)


def test_lambda_statement_without_a_value_is_refused(tables: Engine) -> None:
    with EssaySession(tables) as session:
        with pytest.raises(UncountedStatementError, match=r"Essay\.words is computed"):
            session.execute(lambda_stmt(lambda: update(Essay).values(body=Essay.body + "x")))
        session.rollback()
    assert words(tables) == ([2, 5], 7)


def test_plain_session_refuses_an_upsert_of_the_source(tables: Engine) -> None:
    upsert = sqlite.insert if tables.dialect.name == "sqlite" else postgresql.insert
    with PlainSession(tables) as session:
        id_ = session.scalars(select(Page.id)).one()
        statement = upsert(Page).values(id=id_, title="A", summary="s", data={})
        for title in ("Another Title", statement.excluded.title):
            refused = statement.on_conflict_do_update(
                index_elements=[Page.id], set_={"title": title}
            )
            with pytest.raises(UncountedStatementError, match=r"^Page has derived columns"):
                session.execute(refused)
    assert slugs(tables) == ["why-salt"]


def test_row_that_replaces_another_derives_from_its_own_value(tables: Engine) -> None:
    with EssaySession(tables) as session:
        essay = session.scalars(select(Essay).where(Essay.words == 5)).one()
        shelf, key = essay.shelf, essay.id
        session.delete(essay)
        session.add(Essay(id=key, shelf=shelf))
        session.commit()
        assert session.get_one(Essay, key).body is None
        assert shelf.words == 2
    assert words(tables) == ([2, 0], 2)
