"""Readiness while the network to PostgreSQL is silent, cut or refused, and afterwards."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL, make_url
from support.databases import new_database
from support.rows import add_threads, writing
from support.waiting import eventually

from tallied.asgi import create_app
from tallied.benchmarks.faulty_proxy import FaultyProxy
from tallied.checks.readiness import NO_ANSWER, Readiness
from tallied.database import Database
from tallied.settings import Settings

PATIENCE = 0.6


@pytest.fixture
async def proxy(postgresql: URL) -> AsyncIterator[FaultyProxy]:
    """A proxy in front of the test run's PostgreSQL."""
    async with FaultyProxy(Path(str(postgresql.query["host"])) / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
async def distant(
    proxy: FaultyProxy, postgresql: URL, postgresql_template: str
) -> AsyncIterator[Database]:
    """A fresh PostgreSQL database behind the proxy, with a pool of one connection."""
    with new_database(postgresql, postgresql_template) as text:
        url = make_url(text).set(host="127.0.0.1", port=proxy.port, query={})
        database = Database(url.render_as_string(False), pool_size=1, max_overflow=0, patience=1)
        yield database
        proxy.resume()
        proxy.reopen()
        await database.dispose()


@pytest.fixture
async def readiness(distant: Database) -> AsyncIterator[Readiness]:
    readiness = Readiness(distant, interval=0.1, patience=PATIENCE)
    yield readiness
    await readiness.close()


async def wait_until_ready(readiness: Readiness) -> float:
    """Probe every 20 ms, and return the seconds until the answer is that all is well."""
    start = time.monotonic()
    while await readiness.find_problem() is not None:
        assert time.monotonic() < start + 5
        await asyncio.sleep(0.02)
    return time.monotonic() - start


@pytest.mark.parametrize("was_asked", [True, False], ids=["kept connection", "no connection"])
async def test_silent_network_is_reported_within_limit(
    proxy: FaultyProxy, readiness: Readiness, was_asked: bool
) -> None:
    if was_asked:
        assert await readiness.find_problem() is None
        await asyncio.sleep(0.11)
    proxy.stall()
    for _ in range(2):
        start = time.monotonic()
        answers = await asyncio.gather(*(readiness.find_problem() for _ in range(24)))
        assert answers == [NO_ANSWER] * 24
        assert time.monotonic() - start < PATIENCE + 1
        await asyncio.sleep(0.1)
    assert proxy.accepted <= 3  # one a question
    proxy.resume()
    assert await wait_until_ready(readiness) < 3


async def test_pools_connection_is_not_taken(
    proxy: FaultyProxy, distant: Database, readiness: Readiness
) -> None:
    """While probes wait for a silent network, and once it is back."""
    async with writing(distant):
        assert await readiness.find_problem() is None
        proxy.stall()
        answers = await asyncio.gather(*(readiness.find_problem() for _ in range(24)))
        assert set(answers) <= {NO_ANSWER, None}
        proxy.resume()
    assert await wait_until_ready(readiness) < 3
    await asyncio.wait_for(distant.write(lambda unit: add_threads(unit, 1)), 1)


async def test_connection_that_has_died_is_replaced(
    proxy: FaultyProxy, readiness: Readiness
) -> None:
    assert await readiness.find_problem() is None
    proxy.cut()
    await asyncio.sleep(0.15)
    assert await readiness.find_problem() is None


async def test_refused_connection_is_logged_once(
    proxy: FaultyProxy, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    assert await readiness.find_problem() is None
    proxy.shut()
    with caplog.at_level(logging.INFO, "tallied"):
        for _ in range(4):
            await asyncio.sleep(0.11)
            assert await readiness.find_problem() == NO_ANSWER
        proxy.reopen()
        assert await wait_until_ready(readiness) < 3
    first, last = [record for record in caplog.records if record.name == "tallied"]
    assert first.getMessage().startswith(f"the server is not ready: {NO_ANSWER} (The database at")
    assert first.exc_info is None
    assert last.getMessage() == "the server is ready again"


async def test_abandoned_queries_leave_nothing(
    proxy: FaultyProxy, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(asyncio.all_tasks())
    proxy.stall()
    for _ in range(2):
        assert await readiness.find_problem() == NO_ANSWER
        await asyncio.sleep(0.1)
    proxy.resume()
    assert await wait_until_ready(readiness) < 3
    await readiness.close()
    await eventually(lambda: not proxy.connections, 3)
    assert len(asyncio.all_tasks()) <= before
    assert not any(record.exc_info for record in caplog.records)


async def test_closing_does_not_wait_for_silent_network(
    proxy: FaultyProxy, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    assert await readiness.find_problem() is None
    proxy.stall()
    start = time.monotonic()
    await readiness.close()
    assert time.monotonic() - start < PATIENCE
    assert not any(record.exc_info for record in caplog.records)


async def test_live_succeeds_without_database() -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")
    app = create_app(Settings(), database)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tallied.test")
    async with http, app.router.lifespan_context(app):
        assert (await http.get("/health/live")).status_code == 200
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": NO_ANSWER})
    await database.dispose()
