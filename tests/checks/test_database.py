"""Checks of a database: each finds its problem, and a sound database passes."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Open
from sqlalchemy import ForeignKey, MetaData, Table, text
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.rows import execute, fetch_values, run_sync
from support.statements import recorded

from tallied.checks import check, check_database
from tallied.counters import Sum
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.migrations.runner import VERSION_TABLE, migrate
from tallied.models import Thread
from tallied.models.counters import counters
from tallied.settings import Settings

SETTINGS = Settings(playground=False, environment="development", guests="write")

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


async def read(database: Database, statement: str) -> list[str]:
    return await fetch_values(database, text(statement))


async def find(database: Database, **options: Any) -> dict[str, str]:
    """Return the sentences of the findings by their ids; each id once."""
    findings = await check(database, SETTINGS, **options)
    assert len({finding.id for finding in findings}) == len(findings), findings
    assert all(item.sentence.endswith(".") and item.hint.endswith(".") for item in findings)
    return {finding.id: finding.sentence for finding in findings}


async def test_migrated_database_is_sound(migrated: Database) -> None:
    assert await find(migrated) == {}
    assert await find(migrated, start=False, deep=True) == {}


async def test_start_costs_few_statements(migrated: Database) -> None:
    await find(migrated)
    with recorded(migrated.engine.sync_engine) as executed:
        await find(migrated)
    # Two are for the counters of hosts, which this process has, and one or two find out whether the
    # database may be written; SQLite's file takes one to look at.
    assert len(executed) <= 10 + 2 * migrated.is_sqlite, executed
    assert not any("tallied_comment" in item and "FROM tallied" in item for item in executed)


async def test_tables_made_by_host_need_no_revision(database: Database) -> None:
    assert await find(database) == {}


async def test_database_without_tables_is_reported(empty: Database) -> None:
    assert await find(empty) == {"tallied.E010": "The database has not been set up for Tallied."}


VERSION = f"UPDATE {VERSION_TABLE} SET version_num = "
DAMAGES = [
    (
        VERSION + "'tallied_0001'",
        "tallied.E011",
        "at revision tallied_0001, and this Tallied needs",
    ),
    (VERSION + "'tallied_9999'", "tallied.E012", "tallied_9999"),
    ("DROP TABLE tallied_revision", "tallied.E013", "The table tallied_revision is missing."),
    (
        "ALTER TABLE tallied_comment DROP COLUMN word_count",
        "tallied.E014",
        "The column tallied_comment.word_count is missing.",
    ),
    *(
        (
            f"ALTER TABLE tallied_{table} DROP COLUMN {name}",
            "tallied.E014",
            f"The column tallied_{table}.{name} is missing.",
        )
        for table, name in (("comment", "thread_reply_count"), ("thread", "top_level_count"))
    ),
    ("DROP INDEX ix_tallied_comment_parent_id_created_at_id", "tallied.W011", "starts with parent"),
    ("DROP INDEX ix_tallied_comment_root_id", "tallied.W011", "starts with root_id"),
    *(
        (f"DROP INDEX ix_tallied_{name}", "tallied.W012", name)
        for name in (
            "thread_last_activity_id",
            "thread_word_count_id",
            "comment_thread_id_created_at_id",
            "comment_thread_id_created_at_id_top_level",
        )
    ),
]


@pytest.mark.sampled
@pytest.mark.parametrize(("statement", "id", "part"), DAMAGES)
async def test_damaged_database_is_reported(
    migrated: Database, statement: str, id: str, part: str
) -> None:
    await execute(migrated, statement)
    for options in ({}, {"start": False}):
        texts = await find(migrated, **options)
        assert list(texts) == [id]
        assert part in texts[id]


async def test_missing_foreign_key(migrated: Database) -> None:
    if migrated.is_sqlite:  # which can only make a table anew
        (created,) = await read(
            migrated, "SELECT sql FROM sqlite_master WHERE name = 'tallied_comment'"
        )
        other = created.replace("ON DELETE CASCADE", "")
        assert other != created
        indexes = await read(
            migrated, "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        )
        own = [sql for sql in indexes if "ON tallied_comment" in sql]
        await execute(migrated, "DROP TABLE tallied_comment", other, *own)
    else:
        key = "fk_tallied_comment_thread_id_tallied_thread"
        await execute(migrated, f"ALTER TABLE tallied_comment DROP CONSTRAINT {key}")
    texts = await find(migrated)
    assert list(texts) == ["tallied.E018"]
    assert "tallied_comment.thread_id has no foreign key to tallied_thread" in texts["tallied.E018"]
    assert "ON DELETE CASCADE" in texts["tallied.E018"]


async def test_missing_unique_index_is_reported(migrated: Database) -> None:
    await execute(migrated, "DROP INDEX uq_tallied_thread_target_type_target_id")
    texts = await find(migrated)
    assert list(texts) == ["tallied.E015"]
    assert "tallied_thread (target_type, target_id)" in texts["tallied.E015"]
    await execute(
        migrated,
        "CREATE UNIQUE INDEX a_part ON tallied_thread (target_type, target_id)"
        " WHERE locked_at IS NULL",
    )
    assert list(await find(migrated)) == ["tallied.E015"], "a part is not the whole"
    await execute(migrated, "CREATE UNIQUE INDEX mine ON tallied_thread (target_id, target_type)")
    assert await find(migrated) == {}, "its name does not matter"


async def test_index_of_counter_is_missing(migrated: Database) -> None:
    await execute(migrated, "DROP INDEX ix_tallied_comment_author_id_thread_id_created_at_id")
    texts = await find(migrated)
    assert list(texts) == ["tallied.W011"]
    assert "tallied_comment starts with author_id" in texts["tallied.W011"]
    assert "Author.comment_count" in texts["tallied.W011"]
    await execute(migrated, "CREATE INDEX mine ON tallied_comment (created_at, author_id)")
    assert list(await find(migrated)) == ["tallied.W011"], "it must come first"
    await execute(migrated, "CREATE INDEX other ON tallied_comment (author_id)")
    assert list(await find(migrated)) == ["tallied.W012"], "counters do, a page of an author not"


@on_postgresql
async def test_unfinished_index_is_missing(migrated: Database) -> None:
    await execute(
        migrated,
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ix_tallied_thread_word_count_id'::regclass",
    )
    assert list(await find(migrated)) == ["tallied.W012"]


@on_postgresql
async def test_index_of_titles_is_for_postgresql_alone(migrated: Database) -> None:
    await execute(migrated, "DROP INDEX ix_tallied_thread_title_folded")
    assert list(await find(migrated)) == ["tallied.W012"]
    await execute(migrated, "DROP EXTENSION pg_trgm")
    texts = await find(migrated)
    assert list(texts) == ["tallied.W013"]
    assert "pg_trgm" in texts["tallied.W013"]


@on_postgresql
async def test_tables_in_another_schema(open_database: Open) -> None:
    database = open_database(schema="Forum")
    await execute(database, 'CREATE SCHEMA "Forum"')
    assert list(await find(database)) == ["tallied.E010"]
    await migrate(database)
    assert await find(database, start=False, deep=True) == {}
    await execute(database, 'DROP INDEX "Forum".ix_tallied_thread_word_count_id')
    assert list(await find(database)) == ["tallied.W012"]


class Uncounted(Session):
    """A session class of a host that forgot the counters."""


async def test_session_class_without_listeners(migrated: Database) -> None:
    for sessions in (
        Uncounted,
        async_sessionmaker(migrated.engine),
        async_sessionmaker(migrated.engine, class_=AsyncSession, sync_session_class=Uncounted),
    ):
        texts = await find(migrated, session_class=sessions)
        assert list(texts) == ["tallied.E020"]
    assert "Uncounted" in (await find(migrated, session_class=Uncounted))["tallied.E020"]


async def test_session_classes_with_listeners(migrated: Database) -> None:
    class Own(migrated.session_class):  # type: ignore[name-defined, misc]
        pass

    assert await find(migrated, session_class=Own) == {}
    assert await find(migrated, session_class=migrated.sessions) == {}


class HostBase(DeclarativeBase):
    pass


class Report(HostBase):
    __tablename__ = "report"
    id: Mapped[int] = mapped_column(primary_key=True)
    comments: Mapped[int] = mapped_column(server_default=sql_text("0"))
    thread_id: Mapped[Any] = mapped_column(ForeignKey(Thread.id), index=True)
    thread: Mapped[Thread] = relationship(Thread)


class HostSession(Session):
    """The session class of a host with a counter of its own."""


class Elsewhere(DeclarativeBase):
    metadata = MetaData(schema="elsewhere")


class Digest(Elsewhere):
    """Of another host of this process, in a schema that most databases do not have."""

    __tablename__ = "digest"
    id: Mapped[int] = mapped_column(primary_key=True)
    comments: Mapped[int] = mapped_column(server_default=sql_text("0"))
    thread_id: Mapped[Any] = mapped_column(ForeignKey(Thread.id), index=True)
    thread: Mapped[Thread] = relationship(Thread)


class ElsewhereSession(Session):
    pass


counters.extend(Sum(Digest.comments, of=Thread.comment_count, via=Digest.thread)).install(
    ElsewhereSession
)


extended = counters.extend(Sum(Report.comments, of=Thread.comment_count, via=Report.thread))
extended.install(HostSession)


async def test_counters_of_host_need_indexes(migrated: Database) -> None:
    table = Report.__table__
    assert isinstance(table, Table)
    await run_sync(migrated, table.create)
    assert counters.installed_on(HostSession) is extended
    assert await find(migrated, session_class=HostSession, start=False, deep=True) == {}
    await execute(migrated, "DROP INDEX ix_report_thread_id")
    texts = await find(migrated, session_class=HostSession)
    assert list(texts) == ["tallied.W011"]
    assert "report starts with thread_id" in texts["tallied.W011"]
    texts = await find(migrated)
    assert list(texts) == ["tallied.E024"], "their indexes matter only where they are in use"


async def test_host_counter_on_other_session_class_is_reported(migrated: Database) -> None:
    class Plain(Session):
        """A session class of the same host, which knows of Tallied's counters alone."""

    counters.install(Plain)
    for sessions in (None, Plain):
        assert await find(migrated, session_class=sessions) == {}, "of a host with no such table"
    await execute(migrated, "CREATE TABLE report (id integer PRIMARY KEY)")
    assert await find(migrated) == {}, "of a host whose table has the same name"
    await execute(migrated, "DROP TABLE report")
    await run_sync(migrated, HostBase.metadata.tables["report"].create)
    for sessions, name in ((None, "CountedSession"), (Plain, "Plain")):
        for options in ({"start": True}, {"start": False, "deep": True}):
            texts = await find(migrated, session_class=sessions, **options)
            assert list(texts) == ["tallied.E024"]
            assert "Report.comments is kept on HostSession" in texts["tallied.E024"]
            assert name in texts["tallied.E024"]
    (finding,) = await check(migrated, SETTINGS, session_class=Plain)
    assert "session_class=HostSession" in finding.hint
    Namesake: Any = type("HostSession", (Session,), {"__module__": "forum.sessions"})
    counters.install(Namesake)
    (sentence,) = (await find(migrated, session_class=Namesake)).values()
    assert f"kept on {__name__}.HostSession, and not on forum.sessions.HostSession: " in sentence
    assert await find(migrated, session_class=HostSession) == {}
    with pytest.raises(ConfigurationError, match=r"tallied\.E024"):
        async with Discussion(migrated, settings=SETTINGS).lifespan():
            raise AssertionError


def bulletin() -> tuple[type[Session], MetaData]:
    """Return a host whose table has a name that is not its alone, and its session class."""

    class Base(DeclarativeBase):
        pass

    class Bulletin(Base):
        __tablename__ = "bulletin"

        id: Mapped[int] = mapped_column(primary_key=True)
        thread_id: Mapped[Any] = mapped_column(ForeignKey(Thread.id), index=True)
        comments: Mapped[int] = mapped_column(server_default=sql_text("0"))
        thread: Mapped[Thread | None] = relationship(Thread)

    class Own(Session):
        pass

    link = Sum(Bulletin.comments, of=Thread.comment_count, via=Bulletin.thread)
    counters.extend(link).install(Own)
    return Own, Base.metadata


async def test_tables_of_equal_name_belong_to_their_hosts(migrated: Database) -> None:
    (one, tables), (other, _) = bulletin(), bulletin()
    await run_sync(migrated, tables.create_all)
    for sessions in (one, other):
        assert await find(migrated, session_class=sessions) == {}


async def test_missing_tables_of_host_counter_are_reported(migrated: Database) -> None:
    for start in (True, False):
        texts = await find(migrated, session_class=HostSession, start=start, deep=not start)
        assert list(texts) == ["tallied.E019"]
        assert "The table report is missing, without which Report.comments" in texts["tallied.E019"]
    await execute(migrated, "CREATE TABLE report (id integer PRIMARY KEY, thread_id integer)")
    texts = await find(migrated, session_class=HostSession, start=False, deep=True)
    assert "tallied.E001" not in texts
    assert texts["tallied.E019"].startswith("The column report.comments is missing, without which")


async def test_unreachable_postgresql_is_reported() -> None:
    database = Database("postgresql://u:s3cret@localhost:1/d")
    findings = await check(database, Settings())
    assert [finding.id for finding in findings] == ["tallied.E001", "tallied.W003"]
    assert "does not answer" in findings[0].sentence
    assert "s3cret" not in str(findings)
    await database.dispose()


@on_postgresql
async def test_failure_halfway_keeps_findings(migrated: Database) -> None:
    await execute(
        migrated,
        "CREATE ROLE powerless LOGIN",
        f"GRANT SELECT ON {VERSION_TABLE} TO powerless",
        "DROP INDEX ix_tallied_thread_word_count_id",
    )
    powerless = Database(migrated.url.set(username="powerless").render_as_string(False))
    try:
        findings = await check_database(powerless, start=False)
        assert [finding.id for finding in findings] == [
            "tallied.W018",
            "tallied.W012",
            "tallied.E001",
        ]
        assert "permission denied" in findings[2].sentence
    finally:
        await powerless.dispose()
        await execute(migrated, "DROP OWNED BY powerless", "DROP ROLE powerless")
