"""A read-only database: reads succeed, changes are refused, and both are reported."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import BACKENDS
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from support.api import Api, mutation
from support.commands import Commands, sql
from support.server import Server

from tallied.checks import Finding, check_database
from tallied.checks.readiness import READ_ONLY, Readiness
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.migrations.runner import migrate
from tallied.models import Base
from tallied.settings import Settings

ROLE = "only_reads"
ADD = mutation("addComment", "comment { id } userErrors { code }")
READ = "{ threads(first: 9) { nodes { title commentCount } } }"

on_postgresql = pytest.mark.parametrize("backend", [BACKENDS[1]], indirect=True)


@pytest.fixture
async def filled(empty_url: str) -> tuple[str, str]:
    """The URL of a migrated database, and the id of its thread, which has two comments."""
    database = Database(empty_url)
    await migrate(database)
    thread = await Api(database).thread("Engines", "one two", "three four five")
    await database.dispose()
    return empty_url, thread


@pytest.fixture
def read_only_url(filled: tuple[str, str]) -> Iterator[str]:
    """The URL by which the same database may only be read, tables and version alike."""
    url = make_url(filled[0])
    if url.get_backend_name() == "sqlite":
        yield f"sqlite+aiosqlite:///file:{url.database}?mode=ro&uri=true"
        return
    sql(
        filled[0],
        f"CREATE ROLE {ROLE} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}",
    )
    yield url.set(username=ROLE).render_as_string(False)
    sql(filled[0], f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


@pytest.fixture
async def reading(read_only_url: str) -> AsyncIterator[Database]:
    database = Database(read_only_url)
    yield database
    await database.dispose()


def of_access(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.id == "tallied.W018"]


async def test_reads_succeed_and_changes_are_refused(
    reading: Database, filled: tuple[str, str]
) -> None:
    api = Api(reading)
    expected = {"nodes": [{"title": "Engines", "commentCount": 2}]}
    assert await api(READ) == expected
    error = await api.error(
        ADD, i={"threadId": filled[1], "authorName": "Ada", "message": "one two three"}
    )
    assert error["code"] == "UNAVAILABLE"
    assert error["message"].startswith("The database may only be read at present")
    assert await api(READ) == expected


async def test_check_and_probe_report_read_only(reading: Database) -> None:
    readiness = Readiness(reading)
    try:
        (sentence,) = of_access(await check_database(reading))
        if reading.is_sqlite:
            assert sentence.startswith("The database may only be read: its file, its folder or")
        else:
            assert sentence == (
                "The database's role lacks rights that changes need:"
                + ";".join(
                    f" {right} on {', '.join(sorted(Base.metadata.tables))}"
                    for right in ("INSERT", "UPDATE", "DELETE")
                )
                + "."
            )
        assert await readiness.find_problem() == READ_ONLY
    finally:
        await readiness.close()


@on_postgresql
async def test_one_missing_right_is_named(filled: tuple[str, str], reading: Database) -> None:
    sql(
        filled[0],
        f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}",
        f"REVOKE DELETE ON tallied_comment FROM {ROLE}",
    )
    assert of_access(await check_database(reading)) == [
        "The database's role lacks rights that changes need: DELETE on tallied_comment."
    ]
    readiness = Readiness(reading)
    try:
        assert await readiness.find_problem() is None, "nearly everything can be done"
    finally:
        await readiness.close()
    sql(filled[0], f"GRANT DELETE ON tallied_comment TO {ROLE}")
    assert of_access(await check_database(reading)) == []


@on_postgresql
async def test_read_only_transactions_are_reported(filled: tuple[str, str]) -> None:
    arguments = {"server_settings": {"default_transaction_read_only": "on"}}
    reading = Database(filled[0], connect_args=arguments)
    try:
        (sentence,) = of_access(await check_database(reading))
        assert "default_transaction_read_only" in sentence
        error = await Api(reading).error(
            ADD, i={"threadId": filled[1], "authorName": "Ada", "message": "one two three"}
        )
        assert error["code"] == "UNAVAILABLE"
    finally:
        await reading.dispose()


async def test_writable_database_is_not_reported(filled: tuple[str, str]) -> None:
    database = Database(filled[0])
    try:
        assert of_access(await check_database(database)) == []
    finally:
        await database.dispose()


async def test_start_of_discussion_warns(
    reading: Database, caplog: pytest.LogCaptureFixture
) -> None:
    discussion = Discussion(reading, settings=Settings(guests="write", environment="development"))
    with caplog.at_level(logging.WARNING, "tallied"):
        async with discussion.lifespan():
            pass
    assert [m for m in caplog.messages if "tallied.W018" in m]


@on_postgresql
async def test_migrating_passes_on_database_error(
    filled: tuple[str, str], reading: Database
) -> None:
    sql(filled[0], "UPDATE tallied_alembic_version SET version_num = 'tallied_0004'")
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        await migrate(reading)


def test_command_prints_warning(read_only_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    checked = Commands(capsys)("check", "--database", read_only_url)
    assert checked.code == 0
    assert "warning tallied.W018" in checked.out


@pytest.mark.parametrize("backend", [BACKENDS[0]], indirect=True)
def test_commands_read_file_without_wal(
    filled: tuple[str, str], read_only_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(filled[0], "PRAGMA journal_mode = DELETE")
    commands = Commands(capsys)
    checked = commands("check", "--database", read_only_url)
    assert (checked.code, checked.err) == (0, "")
    assert "warning tallied.W018" in checked.out
    verified = commands("verify", "--database", read_only_url)
    assert (verified.code, verified.err) == (0, "")
    assert "are right." in verified.out


@on_postgresql
def test_serve_warns_and_serves_reads(
    filled: tuple[str, str], read_only_url: str, tmp_path: Path
) -> None:
    with Server(tmp_path, read_only_url, guests="write") as server:
        assert "warning: (tallied.W018)" in server.printed
        assert server.ask(READ) == {"threads": {"nodes": [{"title": "Engines", "commentCount": 2}]}}
        comment: dict[str, Any] = {"threadId": filled[1], "authorName": "Ada", "message": "one"}
        answer = httpx.post(
            f"{server.url}/graphql", json={"query": ADD, "variables": {"i": comment}}
        ).json()
        assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        ready = httpx.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": READ_ONLY})
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.stop() == 0
        assert "Traceback" not in server.printed
