"""Compiled statements return the same rows as SQLAlchemy, whatever their values are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Open
from sqlalchemy import Integer, Select, String, bindparam, func, literal, select, text, tuple_
from support.leases import connect, sum_statement, thread_statement
from support.rows import add_threads, fetch_values

from tallied.database import Database
from tallied.database.statement import MAX_LATEST, MAX_TEXTS, CompiledStatement, StatementCache
from tallied.models import Author, Comment, Thread
from tallied.models.base import new_id, now

MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


async def fill(database: Database) -> list[UUID]:
    """Add three threads, and return their ids."""
    await database.write(lambda unit: add_threads(unit, 3))
    return await fetch_values(database, select(Thread.id).order_by(Thread.id))


def statements(ids: list[UUID], moment: datetime, size: int) -> list[Select[Any]]:
    """Return statements of the shapes that readers have, with these values."""
    thread = Thread.title.contains("e/%_", autoescape=True)
    page = select(Thread.id).where(Thread.id == Comment.thread_id).limit(size).scalar_subquery()
    return [
        select(Thread.id, Thread.title, Thread.created_at).where(Thread.id.in_(ids)),
        select(Thread.id, Thread.last_comment_at, literal(size).label("size")).limit(size),
        select(func.count().label("count")).select_from(Thread).where(~thread),
        select(Thread.id).where(tuple_(Thread.created_at, Thread.id) > (moment, ids[0])),
        select(Thread.id, page.is_(None).label("none")).where(Thread.created_at >= moment),
        select(Comment.id).where(Comment.thread.has(Thread.author_id == ids[0])),
        select(Thread.id).where(Thread.author_id.is_(None), Thread.id.not_in(ids[1:])),
        select(Author.name).where(Author.subject == str(ids[0])),
    ]


async def test_rows_are_those_of_sqlalchemy(database: Database) -> None:
    ids = await fill(database)
    await connect(database)
    database._leases._statements = cache = StatementCache(None)
    for values in (
        (ids, MOMENT, 2),
        (ids[:1], now() + timedelta(days=1), 1),
        ([*ids, new_id()], MOMENT, 3),
    ):
        for statement in statements(*values):
            async with database.read() as connection:
                expected = [row._asdict() for row in await connection.execute(statement)]
            async with database.rows() as reader:
                records = await reader.read(statement)
                compiled = database.compile(statement)
                rows = await reader.fetch(compiled)
            assert records == expected
            assert [dict(zip(compiled.columns, row, strict=True)) for row in rows] == expected
    shapes = statements(ids, MOMENT, 2)
    assert len(cache) == len(shapes)


async def test_shape_keeps_no_values(database: Database) -> None:
    ids = await fill(database)
    cache = StatementCache(None)
    for statement in statements(ids, MOMENT, 2):
        compiled, values = cache.compile(statement, database.engine.dialect)
        again, _ = cache.compile(statement, database.engine.dialect)
        assert again is compiled, statement
        assert compiled.bind(values)
        if values:
            with pytest.raises(KeyError):
                compiled.bind({})


async def test_select_is_found_by_itself_and_by_no_other(database: Database) -> None:
    """A new select may have the id of one that is gone."""
    dialect, cache = database.engine.dialect, StatementCache(None)
    compiled, ids = None, []
    for number in range(2 * MAX_LATEST):
        statement = select(literal(number) if number % 2 else Thread.id)
        ids.append(id(statement))
        compiled, values = cache.compile(statement, dialect)
        assert list(values.values()) == ([number] if number % 2 else [])
        assert cache.compile(statement, dialect) == (compiled, values)
    assert len(set(ids)) < len(ids)
    assert len(cache) == 2
    kept = [select(literal(number)) for number in range(2 * MAX_LATEST)]
    for statement in kept:
        cache.compile(statement, dialect)
    assert len(cache._latest) == MAX_LATEST
    kept.clear()
    del statement
    assert len(cache._latest) <= 2  # What is compiled keeps the first of a shape.


async def test_parameters_are_converted_by_their_types(database: Database) -> None:
    ids = await fill(database)
    statement = thread_statement(database)
    async with database.rows() as reader:
        ((id, title, created_at, last),) = await reader.fetch(statement, {"key": ids[1]})
    assert id == ids[1]
    assert title
    assert last is None
    assert created_at.tzinfo is UTC or created_at.utcoffset() == timedelta(0)
    with pytest.raises(KeyError):
        statement.bind({})


async def test_list_has_text_for_each_number_of_values(database: Database) -> None:
    ids = await fill(database)
    where = Thread.id.in_(bindparam("ids", expanding=True))
    statement = database.compile(select(Thread.id).where(where).order_by(Thread.id))
    async with database.rows() as reader:
        for expected in (ids, ids[:1], [], ids[1:], ids):
            rows = await reader.fetch(statement, {"ids": set(expected)})
            assert [row[0] for row in rows] == expected
    for size in range(MAX_TEXTS + 5):
        statement.bind({"ids": [new_id()] * size})
    assert len(statement._texts) == MAX_TEXTS


async def test_text_written_with_each_execution_is_refused(database: Database) -> None:
    written = bindparam("number", type_=Integer, literal_execute=True)
    with pytest.raises(NotImplementedError, match="literal_execute"):
        database.compile(select(written))


async def test_literal_is_default_of_its_parameter(database: Database) -> None:
    statement = sum_statement(database)
    (name,) = {name for name, value in statement._defaults.items() if value == 40}
    assert statement.bind({"number": 2})[1].count(40) == 1
    assert statement.bind({"number": 2, name: 7})[1].count(7) == 1


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_schema_is_in_text(with_tables: None, open_database: Open) -> None:
    database = open_database(schema="public")
    await connect(database)
    statement = CompiledStatement(
        select(Thread.id).where(Thread.id.in_([new_id()])), database.engine.dialect, "public"
    )
    assert "FROM public.tallied_thread" in statement.bind({})[0]
    assert "FROM public.tallied_thread" in thread_statement(database).bind({"key": new_id()})[0]
    await database.write(lambda unit: unit.session.execute(text("SET LOCAL search_path = ''")))
    async with database.rows() as reader:
        assert list(await reader.fetch(thread_statement(database), {"key": new_id()})) == []
        assert await reader.read(select(Thread.id)) == []


async def test_required_value_that_is_missing_is_no_null(database: Database) -> None:
    await fill(database)
    await connect(database)
    title = bindparam("title", type_=String, required=True)
    statement = select(func.count()).select_from(Thread).where(title.is_(None))
    async with database.rows() as reader:
        for _ in range(2):
            with pytest.raises(KeyError, match="title"):
                await reader.select(statement)
        assert await reader.select(statement, {"title": None}) == [(3,)]
