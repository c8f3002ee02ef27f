"""A row and its parent must be in one database, and in one schema of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import Session, sessionmaker
from support.pairs import counter, install, pair
from support.sessions import sync_engine
from support.versions import needs_sqlalchemy_2_1

from tallied.counters import Count, Counters, Sum
from tallied.errors import CounterDeclarationError, UncountedStatementError


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    engine = sync_engine(f"sqlite:///{tmp_path}/other.db")
    yield engine
    engine.dispose()


def test_rows_in_two_databases_are_refused(engine: Engine, other: Engine) -> None:
    parent, source = pair()
    _, session_class = install(engine, Count(parent.n, via=source.parent))
    parent.metadata.create_all(other)
    with other.begin() as connection:  # as the foreign key demands
        connection.execute(insert(parent.__table__), [{"id": 4}, {"id": 5}])
    with session_class(binds={parent: engine, source: other}) as session:
        session.add(parent(id=4))
        session.commit()  # nothing counts for it yet
        ways: tuple[Callable[[], Any], ...] = (
            lambda: (session.add(source(parent=parent(id=5))), session.commit()),
            lambda: (session.add(source(parent_id=4)), session.commit()),
            lambda: session.execute(insert(source).values(parent_id=4)),
            lambda: session.execute(update(source).values(parent_id=4)),
            lambda: session.execute(delete(source)),
        )
        for way in ways:
            with pytest.raises(UncountedStatementError, match="are bound to two databases"):
                way()
            session.rollback()
    with other.connect() as connection:
        assert connection.execute(select(source.__table__)).all() == []


def test_pairs_in_separate_databases_are_counted(engine: Engine, other: Engine) -> None:
    (one, of_one), (two, of_two) = pair(), pair()
    one.metadata.create_all(engine)
    two.metadata.create_all(other)

    class Own(Session):
        pass

    counters = Counters(Count(one.n, via=of_one.parent), Count(two.n, via=of_two.parent))
    counters.install(Own)
    with Own(binds={one: engine, of_one: engine, two: other, of_two: other}) as session:
        first, second = one(), two()
        session.add_all([of_one(parent=first) for _ in range(3)])
        session.add_all([of_two(parent=second) for _ in range(2)])
        session.commit()
        session.add_all([of_one(parent=first), of_two(parent=second), of_two(parent=second)])
        session.commit()
        assert (first.n, second.n) == (4, 4)
        session.execute(delete(of_two).where(of_two.id > 3))
        session.commit()
        assert (first.n, second.n) == (4, 3)
    for counter_, bound in ((one.n, engine), (two.n, other)):
        with bound.connect() as connection:
            assert list(counters.verify(connection, only=[counter_])) == []


class Sharded(ShardedSession):
    pass


@pytest.mark.parametrize(
    "target",
    [
        Sharded,
        sessionmaker(class_=Sharded),
        async_sessionmaker(sync_session_class=Sharded),
    ],
)
def test_sharded_session_is_refused(target: Any) -> None:
    parent, source = pair()
    counters = Counters(Count(parent.n, via=source.parent))
    with pytest.raises(CounterDeclarationError, match="Sharded is a ShardedSession") as raised:
        counters.install(target)
    assert raised.value.id == "counters.E038"


def test_sharding_subclass_of_a_counted_session_is_refused(engine: Engine) -> None:
    parent, source = pair()
    _, session_class = install(engine, Count(parent.n, via=source.parent))

    class Late(session_class):  # type: ignore[valid-type, misc]
        def connection_callable(self, mapper: Any = None, instance: Any = None, **_: Any) -> Any:
            return self.connection()

    with Late(engine) as session:
        session.add(source(parent=parent()))
        with pytest.raises(UncountedStatementError, match="Late chooses a database for each row"):
            session.flush()


# What follows is about schemas, of which SQLite has none

MAP = {"schema_translate_map": {None: "tenant"}}


def summed(engine: Engine) -> tuple[Any, Any, Counters, Any]:
    parent, source = pair(source={"words": counter("words")})

    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA tenant"))
    total = Sum(parent.n, of=source.words, via=source.parent)
    return parent, source, *install(engine.execution_options(**MAP), total)


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "place",
    [
        "engine",
        "connection",
        pytest.param("session", marks=needs_sqlalchemy_2_1),
        pytest.param("session and statement", marks=needs_sqlalchemy_2_1),
    ],
)
def test_schemas_of_a_session_apply_to_counters(place: str, engine: Engine) -> None:
    parent, source, counters, session_class = summed(engine)
    bind = engine.execution_options(**MAP) if place == "engine" else engine
    options: Any = {"execution_options": MAP} if place.startswith("session") else {}
    local: Any = MAP if place == "session and statement" else {}
    with session_class(bind, **options) as session:
        if place == "connection":
            session.connection(execution_options=MAP)
        result = parent(id=7)
        session.add_all([source(parent=result, words=words) for words in (2, 3, 5)])
        session.flush()
        session.execute(
            update(source).where(source.words > 2).values(words=source.words + 10),
            execution_options=local,
        )
        assert result.n == 30
        session.execute(delete(source).where(source.words == 2), execution_options=local)
        session.execute(insert(source), [{"parent_id": 7, "words": 4}], execution_options=local)
        assert result.n == 32
        assert list(counters.verify(session.connection())) == []
        session.commit()


@pytest.mark.postgresql
@needs_sqlalchemy_2_1
@pytest.mark.parametrize("own", [{None: "public"}, {None: "other"}, None])
def test_statement_in_another_schema_is_refused(own: Any, engine: Engine) -> None:
    _, source, _, session_class = summed(engine)
    with session_class(engine, execution_options=MAP) as session:
        for statement in (insert(source).values(words=3), update(source).values(words=3)):
            with pytest.raises(UncountedStatementError, match="schema_translate_map of its own"):
                session.execute(statement, execution_options={"schema_translate_map": own})


@pytest.mark.postgresql
@needs_sqlalchemy_2_1
async def test_schemas_of_asynchronous_session_apply_to_counters(
    engine: Engine, empty_url: str
) -> None:
    parent, source, counters, session_class = summed(engine)
    asynchronous = create_async_engine(empty_url)

    class Asynchronous(AsyncSession):
        sync_session_class = session_class

    async with Asynchronous(asynchronous, expire_on_commit=False, execution_options=MAP) as session:
        result = parent(id=3)
        session.add_all([source(parent=result, words=words) for words in (6, 7)])
        await session.flush()
        await session.execute(update(source).values(words=source.words * 2))
        await session.commit()
        assert result.n == 26
        connection = await session.connection()
        assert await connection.run_sync(lambda c: list(counters.verify(c))) == []
    await asynchronous.dispose()
