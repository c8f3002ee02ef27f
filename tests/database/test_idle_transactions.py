"""A transaction of a vanished client is ended, and its locks are released."""

from __future__ import annotations

import asyncio
import socket

import pytest
from conftest import Open
from sqlalchemy import text
from support.outages import execute, idle_transactions, proxied
from support.rows import add_threads, count_rows, fetch_value

from tallied.database import UnitOfWork
from tallied.database.network import KEEPALIVES, timeouts
from tallied.discussion import Discussion
from tallied.models import Thread
from tallied.settings import Settings

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


async def test_silent_network_leaves_no_lock_behind(with_tables: None, empty_url: str) -> None:
    async with proxied(empty_url, patience=0.5, idle_timeout=0.3) as (proxy, database):
        (thread,) = await database.write(add_threads)

        async def work(unit: UnitOfWork) -> None:
            loaded = await unit.session.get_one(Thread, thread.id)
            loaded.title = "Locked"
            await unit.session.flush()
            proxy.stall()
            assert idle_transactions(empty_url) == 0
            execute(empty_url, "UPDATE tallied_thread SET title = 'Free'")
            raise LookupError

        with pytest.raises(LookupError):
            await database.write(work)
    assert execute(empty_url, "SELECT title FROM tallied_thread") == [("Free",)]


async def test_idle_unit_runs_again(with_tables: None, open_database: Open) -> None:
    database = open_database(idle_timeout=0.1)
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tries.append(1)
        await add_threads(unit)
        await asyncio.sleep(0.3 if len(tries) == 1 else 0)

    await database.write(work)
    assert len(tries) == 2
    assert await count_rows(database) == 1


async def test_connection_has_each_timeout(with_tables: None, empty_url: str) -> None:
    async with (
        proxied(empty_url, patience=2, idle_timeout=7) as (_, database),
        database.read() as connection,
    ):
        values = [
            await connection.scalar(text(f"SHOW {name}"))
            for name in timeouts(patience=2, idle_timeout=7) | KEEPALIVES
        ]
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        end = raw.driver_connection._transport.get_extra_info("socket")
        stored = end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = [
            end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        ]
    # The server's own end is a Unix socket, for which it says 0 of TCP.
    assert values == ["2s", "7s", "0", "0", "0", "0"]
    assert stored
    assert options == [15, 5, 3, 30_000]


async def test_requests_unit_may_idle_for_its_execution_time(
    with_tables: None, empty_url: str
) -> None:
    discussion = Discussion(empty_url, settings=Settings(execution_time=4))
    value = await fetch_value(discussion.database, text("SHOW idle_in_transaction_session_timeout"))
    assert value == "12s"
    await discussion.database.dispose()
