"""Database errors in the log name statements and never the values of users."""

from __future__ import annotations

import logging
import sqlite3
import traceback
from typing import Any

import pytest
from graphql import GraphQLError, build_schema, graphql_sync
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from support.api import Api, mutation

from tallied.database import Database
from tallied.logs.errors import MAX_ERROR_LENGTH, OutageLog, format_error, log_error, redact
from tallied.models import Thread

VALUE = "hunter2"
DDL = (
    "CREATE TABLE member (email varchar(20) PRIMARY KEY, age integer NOT NULL CHECK (age > 17))",
    "INSERT INTO member VALUES ('hunter2', 42)",
)
INSERT = "INSERT INTO member VALUES (:email, :age)"
FAILING = [
    (INSERT, {"email": VALUE, "age": 42}, "23505", "member"),
    (INSERT, {"email": f"{VALUE}!", "age": 7}, "23514", "age"),
    (INSERT, {"email": f"{VALUE}!", "age": None}, "23502", "age"),
    (INSERT, {"email": VALUE * 4, "age": 42}, "22001", "varchar|SQLSTATE"),
    ("SELECT CAST(CAST(:v AS text) AS integer)", {"v": VALUE}, "22P02", "SQLSTATE"),
    ("SELECT :v FROM nowhere", {"v": VALUE}, "42P01", "nowhere"),
]
"""A statement that fails on PostgreSQL, its parameters, its SQLSTATE, and what is still named."""


def printed(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """Return what a plain formatter of a host's makes of an error."""
    log_error(logging.getLogger("tallied.api"), "unexpected error", error=error)
    return caplog.text


@pytest.fixture
async def engine(empty_url: str) -> Any:
    """An engine of a host's own, which hides nothing."""
    engine = create_async_engine(empty_url)
    async with engine.begin() as connection:
        for statement in DDL:
            await connection.execute(text(statement))
    yield engine
    await engine.dispose()


async def failure(engine: AsyncEngine, statement: str, parameters: Any) -> DBAPIError:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as raised:
            await connection.execute(text(statement), parameters)
    return raised.value


@pytest.mark.parametrize(("statement", "parameters", "state", "named"), FAILING)
async def test_database_error_is_logged_without_values(
    engine: AsyncEngine,
    statement: str,
    parameters: dict[str, Any],
    state: str,
    named: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if engine.dialect.name == "sqlite" and state.startswith("22"):
        pytest.skip("SQLite stores a value of any length and type")
    error = await failure(engine, statement, parameters)
    before = "".join(traceback.format_exception(error))
    assert VALUE in before
    logged = printed(error, caplog)
    assert VALUE not in logged
    assert named.split("|")[-1] in logged
    assert statement.partition(" ")[0] in logged  # the statement itself
    if engine.dialect.name == "postgresql":
        assert f"[SQLSTATE {state}]" in logged
    assert VALUE not in format_error(error)  # a second time changes nothing
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error


@pytest.mark.postgresql  # SQLite takes a value of any type
async def test_parameter_of_another_type_is_not_quoted(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncpg finds that by itself, before it sends anything."""
    error = await failure(engine, "SELECT CAST(:v AS integer)", {"v": VALUE})
    logged = printed(error, caplog)
    assert VALUE not in logged
    assert "DataError" in logged


async def test_other_drivers_errors_are_logged_without_values(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of synchronous hosts: psycopg has the DETAIL in its message."""
    name = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[engine.dialect.name]
    plain: Engine = create_engine(engine.url.set(drivername=name))
    parameters = {"email": VALUE, "age": 42}
    with plain.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text(INSERT), parameters)
    plain.dispose()
    assert VALUE in "".join(traceback.format_exception(raised.value))
    assert VALUE not in printed(raised.value, caplog)


class Base(DeclarativeBase):
    pass


class Member(Base):
    __tablename__ = "member"
    email: Mapped[str] = mapped_column(primary_key=True)
    age: Mapped[int]


def test_error_that_quotes_another_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A session that was not rolled back repeats the first error in the message of the next."""
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(PendingRollbackError) as raised:
        for statement in DDL:
            session.execute(text(statement))
        session.add(Member(email=VALUE, age=42))
        with pytest.raises(DBAPIError):
            session.flush()
        session.scalar(text("SELECT 1"))
    engine.dispose()
    assert VALUE in str(raised.value)
    logged = printed(raised.value, caplog)
    assert VALUE not in logged
    assert "has been rolled back due to a previous exception during flush" in logged


async def test_refused_value_is_not_quoted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with database.read() as connection:
        with pytest.raises(StatementError) as raised:
            await connection.execute(Thread.__table__.select().where(Thread.id == VALUE))
    logged = printed(raised.value, caplog)
    assert VALUE not in logged
    assert type(raised.value).__name__ in logged


def test_error_of_graphql_does_not_print_document(caplog: pytest.LogCaptureFixture) -> None:
    schema = build_schema("type Query { size(of: String): Int }")
    result = graphql_sync(schema, f'{{ size(of: "{VALUE}") }}', root_value={"size": 2**40})
    assert result.errors is not None
    (error,) = result.errors
    assert isinstance(error, GraphQLError)
    assert VALUE in str(error)
    assert VALUE not in printed(error, caplog)
    assert error.formatted["path"] == ["size"]


def test_nested_errors_are_redacted() -> None:
    inner = sqlite3.IntegrityError("constraint failed\nDETAIL:  hunter2")
    try:
        try:
            raise inner
        except sqlite3.IntegrityError as error:
            raise ExceptionGroup("two", [ValueError("seven"), error]) from None
    except ExceptionGroup as group:
        redact(group)
        visible = format_error(group)
    assert VALUE not in visible
    assert "seven" in visible
    assert "constraint failed" in visible


def test_long_traceback_keeps_its_beginning_and_end() -> None:
    try:
        raise RuntimeError("word " * 5000 + "at the end")
    except RuntimeError as error:
        visible = format_error(error)
    assert len(visible) < MAX_ERROR_LENGTH + 100
    assert visible.startswith("Traceback")
    assert visible.endswith("at the end")
    assert "characters left out" in visible


async def test_own_engines_hide_parameters(database: Database) -> None:
    error = await failure(database.engine, "SELECT :v FROM nowhere", {"v": VALUE})
    assert VALUE not in str(error)
    assert "nowhere" in str(error)


async def test_masked_error_has_no_text_of_users(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """On a host's own engine, with a plain formatter."""
    engine = create_async_engine(database.url.render_as_string(hide_password=False))
    api = Api(Database(engine))
    thread = await api.thread()
    cascade = "" if database.is_sqlite else " CASCADE"
    async with engine.begin() as connection:
        table = Thread.comments.property.target.name
        await connection.execute(text(f"DROP TABLE {table}{cascade}"))
    fields = {"threadId": thread, "message": VALUE, "authorName": VALUE}
    add = mutation("addComment", "comment { id }")
    error = await api.error(add, i=fields)
    assert error["code"] == "INTERNAL_SERVER_ERROR"
    assert error["id"] in caplog.text
    assert VALUE not in caplog.text
    (record,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert record.error_id == error["id"]  # type: ignore[attr-defined]
    await engine.dispose()


def test_outage_is_logged_seldom(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    outages = OutageLog(10, lambda: now)
    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 5432)")
    for now in (100.0, 101.0, 109.9, 110.0, 111.0, 500.0, 511.0):  # noqa: B007
        outages.write(refused)
    kind = "ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)"
    assert [record.getMessage() for record in caplog.records] == [
        f"The database cannot be used ({kind}).",
        f"The database cannot be used ({kind}); 2 more since the line before.",
        f"The database cannot be used ({kind}); 1 more since the line before.",
        f"The database cannot be used ({kind}).",
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_probes_during_outage_write_one_line(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql+asyncpg://ada:pass@127.0.0.1:1/forum")
    api = Api(database)
    for _ in range(5):
        assert (await api.http.get("/health")).status_code == 503
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.getMessage().startswith("the server is not ready: ")
    await database.dispose()
