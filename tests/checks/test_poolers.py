"""Checks of poolers: one that is not configured, and one that does not suit the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from support.commands import Commands
from support.pooler import pgbouncer, through

from tallied.checks import check, check_database, poolers
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.settings import Settings

SETTINGS = Settings(playground=False, environment="development", guests="write")

UNNAMED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}

pytestmark = [
    pytest.mark.parametrize("backend", ["postgresql"], indirect=True),
    pytest.mark.usefixtures("with_tables"),
]


@pytest.fixture(params=["transaction", "session"])
def mode(request: pytest.FixtureRequest) -> str:
    """What the pooler lends its sessions for."""
    return str(request.param)


@pytest.fixture
def pooled(empty_url: str, postgresql: URL, mode: str) -> Iterator[str]:
    """The database's URL behind a pooler."""
    with pgbouncer(postgresql, mode) as port:
        yield through(empty_url, port)


@pytest.fixture
async def engine_of() -> AsyncIterator[Any]:
    """What makes a host's engines, which are closed at the end."""
    engines = []

    def make(url: str, **arguments: Any) -> Any:
        engines.append(create_async_engine(url, connect_args=arguments))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.dispose()


async def ids(database: Database) -> set[str]:
    return {finding.id for finding in await check_database(database)}


@pytest.mark.parametrize("query", ["", "&pgbouncer=true"])
async def test_pooler_is_warning_until_configured(pooled: str, query: str) -> None:
    database = Database(pooled + query)
    findings = await check(database, SETTINGS)
    await database.dispose()
    assert ("tallied.W017" in {finding.id for finding in findings}) == (query == "")


async def test_server_without_pooler_is_no_pooler(empty_url: str, engine_of: Any) -> None:
    database = Database(empty_url)
    assert "tallied.W017" not in await ids(database)
    await database.dispose()
    assert "tallied.E027" not in await ids(Database(engine_of(empty_url)))


async def test_engine_that_names_statements_is_error(
    pooled: str, mode: str, engine_of: Any
) -> None:
    finding_ids = await ids(Database(engine_of(pooled)))
    assert ("tallied.E027" in finding_ids) == (mode == "transaction")
    if mode == "transaction":
        assert finding_ids == {"tallied.E027"}


async def test_engine_without_names_suits_any_pooler(pooled: str, engine_of: Any) -> None:
    database = Database(engine_of(pooled, **UNNAMED))
    for _ in range(3):
        assert "tallied.E027" not in await ids(database)


@pytest.mark.parametrize("mode", ["transaction"], indirect=True)
async def test_discussion_with_named_statements_does_not_start(pooled: str, engine_of: Any) -> None:
    discussion = Discussion(engine_of(pooled), settings=SETTINGS)
    with pytest.raises(ConfigurationError, match=r"E027.*pgbouncer=true"):
        async with discussion.lifespan():
            pass


@pytest.mark.parametrize("mode", ["transaction"], indirect=True)
def test_command_reports_pooler(pooled: str, capsys: pytest.CaptureFixture[str]) -> None:
    checked = Commands(capsys)("check", "--database", pooled)
    assert "warning tallied.W017" in checked.out
    assert "pgbouncer=true" in checked.out


@pytest.mark.parametrize("mode", ["session"], indirect=True)
async def test_check_does_not_wait_for_session_pool_of_one(
    empty_url: str, postgresql: URL, mode: str, engine_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolers, "PATIENCE", 0.1)
    with pgbouncer(postgresql, mode, size=1) as port:
        database = Database(engine_of(through(empty_url, port)))
        assert "tallied.E027" not in await ids(database)
