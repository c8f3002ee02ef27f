"""Autogenerate of a host with both metadata proposes nothing of Tallied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, ForeignKey, MetaData, Table, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.rows import execute, run_sync

from tallied.database import Database
from tallied.migrations import autogenerate
from tallied.migrations.runner import migrate
from tallied.models import Author, Thread
from tallied.models import Base as Tallied

# Alembic looks into every table where it has been told of none, as in an empty database.
pytestmark = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression")

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
}


def models(schema: str | None = None, *, named: bool = True, ondelete: str = "SET NULL") -> Any:
    """Return a host's models, two of which point to Tallied's."""

    class Base(DeclarativeBase):
        metadata = MetaData(naming_convention=NAMES if named else None, schema=schema)

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        thread_id: Mapped[UUID | None] = mapped_column(
            ForeignKey(Thread.id, ondelete=ondelete), index=True
        )

    class User(Base):
        __tablename__ = "user_account"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[UUID | None] = mapped_column(ForeignKey(Author.id))
        favourite_id: Mapped[int | None] = mapped_column(ForeignKey(Article.id))

    return Base


def proposed(base: Any, **options: Any) -> Callable[[Connection], list[tuple[str, Any]]]:
    """Return the operations that autogenerate proposes, by kind and name."""

    def compare(connection: Connection) -> list[tuple[str, Any]]:
        own = {
            "include_name": autogenerate.include_name,
            "include_object": autogenerate.include_object,
        }
        both: Any = [base.metadata, Tallied.metadata]
        opts = {"target_metadata": both, "compare_server_default": True, **own, **options}
        context = MigrationContext.configure(connection, opts=opts)
        return [
            (item[0], item[3].name if item[0].endswith("_column") else item[1].name)
            for item in compare_metadata(context, both)
        ]

    return compare


async def ask(database: Database, base: Any, **options: Any) -> list[tuple[str, Any]]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(proposed(base, **options))


@pytest.mark.exhaustive
@pytest.mark.parametrize("schemas", [False, True], ids=["one schema", "all schemas"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
async def test_autogenerate_proposes_nothing_of_tallied(
    migrated: Database, named: bool, schemas: bool
) -> None:
    base = models(named=named)
    options = {"include_schemas": schemas and not migrated.is_sqlite}
    result = await ask(migrated, base, **options)
    assert {item for item in result if item[0] == "add_table"} == {
        ("add_table", "article"),
        ("add_table", "user_account"),
    }
    assert all(name.startswith(("article", "user_account", "ix_article")) for _, name in result)
    await run_sync(migrated, base.metadata.create_all)
    assert await ask(migrated, base, **options) == []
    await execute(
        migrated,
        "DROP INDEX ix_article_thread_id",
        "DROP INDEX ix_tallied_thread_created_at_id",
        "CREATE TABLE tallied_later (id INTEGER)",
        "CREATE TABLE of_nobody (id INTEGER)",
    )
    assert sorted(await ask(migrated, base, **options)) == [
        ("add_index", "ix_article_thread_id"),
        ("remove_table", "of_nobody"),
    ]


async def test_host_may_add_conditions(migrated: Database) -> None:
    base = models()
    await execute(migrated, "CREATE TABLE of_nobody (id INTEGER)")

    def include_name(name: str | None, type_: str, parents: Any) -> bool:
        return name != "of_nobody" and autogenerate.include_name(name, type_, parents)

    def include_object(obj: Any, name: Any, type_: Any, reflected: Any, compare_to: Any) -> bool:
        if isinstance(obj, Table) and name == "user_account":
            return False
        return autogenerate.include_object(obj, name, type_, reflected, compare_to)

    result = await ask(migrated, base, include_name=include_name, include_object=include_object)
    assert result == [("add_table", "article"), ("add_index", "ix_article_thread_id")]


@pytest.fixture
async def elsewhere(empty_url: str) -> AsyncIterator[Database]:
    """PostgreSQL, with Tallied's tables in a schema of their own."""
    database = Database(empty_url, schema="forum")
    await execute(database, "CREATE SCHEMA forum", "CREATE SCHEMA press")
    await migrate(database)
    yield database
    await database.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("schema", ["public", "press"])
async def test_autogenerate_ignores_tallied_in_another_schema(
    elsewhere: Database, schema: str
) -> None:
    base = models(schema)
    async with elsewhere.engine.begin() as connection:
        await connection.execution_options(schema_translate_map={None: "forum"})
        await connection.run_sync(base.metadata.create_all)
        keys = await connection.run_sync(
            lambda sync: inspect(sync).get_foreign_keys("article", schema)
        )
    assert [key["referred_schema"] for key in keys] == ["forum"]
    options = {"include_schemas": True}
    assert await ask(elsewhere, base, **options) == []
    # Any other difference is proposed, on both sides.
    other = models(schema, ondelete="CASCADE")
    name = "fk_article_thread_id_tallied_thread"
    assert await ask(elsewhere, other, **options) == [("remove_fk", name), ("add_fk", name)]
    await execute(elsewhere, f"ALTER TABLE {schema}.article DROP CONSTRAINT {name}")
    assert await ask(elsewhere, base, **options) == [("add_fk", name)]


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_foreign_key_to_another_schema_is_proposed(elsewhere: Database) -> None:
    """What differs by its schema alone is a change, where both schemas are named."""

    def linked(schema: str) -> Any:
        class Base(DeclarativeBase):
            metadata = MetaData(naming_convention=NAMES)

        class Paper(Base):
            __tablename__ = "paper"
            __table_args__ = {"schema": schema}  # noqa: RUF012
            id: Mapped[int] = mapped_column(primary_key=True)

        class Page(Base):
            __tablename__ = "page"
            __table_args__ = {"schema": "press"}  # noqa: RUF012
            id: Mapped[int] = mapped_column(primary_key=True)
            paper_id: Mapped[int] = mapped_column(ForeignKey(Paper.id))

        return Base

    async with elsewhere.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA archive"))
        await connection.run_sync(linked("archive").metadata.create_all)
        await connection.execute(text("CREATE TABLE press.paper (id serial PRIMARY KEY)"))
    options = {"include_schemas": True}
    name = "fk_page_paper_id_paper"
    assert await ask(elsewhere, linked("archive"), **options) == [("remove_table", "paper")]
    result = await ask(elsewhere, linked("press"), **options)
    assert [item for item in result if item[1] == name] == [("remove_fk", name), ("add_fk", name)]
