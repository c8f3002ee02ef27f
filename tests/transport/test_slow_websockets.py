"""WebSocket clients that do not read or have vanished: the server waits for none of them."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import strawberry
from support.host import Gate
from support.rows import count_rows
from support.server import Server
from support.slow_threads import running, slow_down
from support.sockets import Site, Socket, opened, site
from support.waiting import eventually

from tallied.database import Database
from tallied.models import Thread
from tallied.schema.build import merge_schemas

START = 'mutation { createThread(input: {title: "Engines"}) { userErrors { code } } }'
COUNT = "{ threads(first: 1) { totalCount } }"

pytestmark = pytest.mark.sqlite


@strawberry.type
class Query:
    answered = 0

    @strawberry.field
    def text(self, size: int) -> str:
        Query.answered += 1
        return "x" * size


@asynccontextmanager
async def reading_little(live: Site, buffer: int = 4096) -> AsyncIterator[Socket]:
    """Yield a client that reads no further than to the message that it is asked for."""
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffer)
    host, port = live.host.split(":")
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (host, int(port)))
    options = {"max_queue": 1, "max_size": None, "ping_interval": None}
    async with opened(live.url, sock=small, **options) as socket:
        yield socket
        socket.connection.transport.abort()


async def test_unread_responses_do_not_accumulate(database: Database) -> None:
    settings = {"body_time": 1, "concurrent_sockets": 1}
    async with site(database, schema=merge_schemas(Query), settings=settings) as live:
        Query.answered = 0
        async with reading_little(live) as socket:
            for _ in range(40):
                await socket.subscribe("{ text(size: 9000000) }")
            await eventually(lambda: Query.answered > 0)
            # The server closes, after a second in which nothing was read.
            async with asyncio.timeout(20):
                while (await live.refusal()).status_code == 503:
                    await asyncio.sleep(0.05)
            assert Query.answered <= 10
        async with live.socket() as socket:
            assert await socket("{ __typename }") == "Query"


async def test_unread_pongs_do_not_accumulate(database: Database) -> None:
    async with site(database, settings={"body_time": 1}) as live, reading_little(live) as socket:
        (protocol,) = live.server.connections
        socket.connection.transport.pause_reading()
        ping = b"\x89\xfd" + bytes(4) + b"x" * 125  # masked by zeros
        largest = 0
        async with asyncio.timeout(20):
            while not protocol.transport.is_closing():
                socket.connection.transport.write(ping * 1000)
                await asyncio.sleep(0)
                largest = max(largest, protocol.transport.get_write_buffer_size())
        assert 0 < largest < 1_000_000


async def fill(live: Site, socket: Socket) -> None:
    """Have the server wait for a client that reads no further."""
    for _ in range(20):
        await socket.subscribe("{ text(size: 9000000) }")
    (protocol,) = live.server.connections
    remaining = 0
    async with asyncio.timeout(20):
        while not remaining or protocol.transport.get_write_buffer_size() != remaining:
            remaining = protocol.transport.get_write_buffer_size()
            await asyncio.sleep(0.3)


async def test_stopping_server_does_not_wait_for_slow_reader(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    live = Site(database, {"schema": merge_schemas(Query), "settings": {}})
    await live.server.__aenter__()
    async with reading_little(live) as socket, live.http:
        await fill(live, socket)
        await live.server.__aexit__()
    assert "Cancel" not in caplog.text  # as uvicorn says where it has to wait too long


async def test_vanished_client_leaves_nothing_under_any_server(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn's own protocol waits for as long as it may for the client to read on."""
    live = Site(database, {"schema": merge_schemas(Query), "settings": {}})
    live.server.config.ws = "websockets-sansio"
    live.server.config.timeout_graceful_shutdown = 1
    await live.server.__aenter__()
    async with reading_little(live) as socket, live.http:
        await fill(live, socket)
        await live.server.__aexit__()
    assert "Cancel 0 running task(s)" in caplog.text
    assert "Exception" not in caplog.text


async def test_slow_reader_gets_all_messages(database: Database) -> None:
    async with (
        site(database, schema=merge_schemas(Query), settings={"body_time": 2}) as live,
        reading_little(live, buffer=262_144) as socket,
    ):
        began = time.monotonic()
        for _ in range(3):
            await socket.subscribe("{ text(size: 9000000) }")
        for _ in range(6):
            await asyncio.sleep(0.4)
            message = await socket.receive()
            assert message["type"] == "complete" or len(message["payload"]["data"]["text"])
        assert time.monotonic() - began > 2  # The server has looked.


async def stopped(socket: Socket, id: str, how: str) -> None:
    if how == "complete":
        await socket.send("complete", id=id)
    elif how == "close":
        await socket.connection.close()
    else:
        socket.connection.transport.abort()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    "how", ["complete", "close", pytest.param("abort", marks=pytest.mark.slow)]
)
async def test_vanished_client_cancels_its_statement(
    database: Database, how: str, request: pytest.FixtureRequest
) -> None:
    settings = {"execution_time": 60}
    async with site(database, settings=settings) as live, live.socket() as socket:
        await socket(START)
        await slow_down(database)
        id = await socket.subscribe(COUNT)
        pool: Any = database.engine.pool
        await eventually(lambda: pool.checkedout() == 1)
        if not database.is_sqlite:
            await eventually(lambda: running(request) == 1)
        await stopped(socket, id, how)
        if not database.is_sqlite:
            await eventually(lambda: running(request) == 0)
        await eventually(lambda: pool.checkedout() == 0)
        # Its connection is free, and whole.
        reply = await live.post({"query": '{ comment(id: "x") { id } }'})
        assert reply["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        if how == "complete":
            assert await socket("{ __typename }") == "Query"


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    "how", ["complete", "close", pytest.param("abort", marks=pytest.mark.slow)]
)
async def test_mutation_of_vanished_client_is_rolled_back(database: Database, how: str) -> None:
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as live, live.socket() as socket:
        id = await socket.subscribe(START)
        await gate.arrived.wait()
        await stopped(socket, id, how)
        pool: Any = database.engine.pool
        await eventually(lambda: pool.checkedout() == 0)
        assert await count_rows(database, Thread) == 0
        async with live.socket() as other:  # The lock is free: another can write.
            assert await other(START) == {"userErrors": []}
    assert await count_rows(database, Thread) == 1


class After(Gate):
    """Waits in ``after_create_thread``: when the change is in."""

    def __init__(self) -> None:
        super().__init__("nothing")
        self.ended = asyncio.Event()

    async def after_create_thread(self, event: Any) -> None:
        self.arrived.set()
        await self.open.wait()
        self.ended.set()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_hooks_after_commit_survive_disconnect(database: Database) -> None:
    hook = After()
    async with site(database, hooks=[hook]) as live, live.socket() as socket:
        await socket.subscribe(START)
        await hook.arrived.wait()
        await stopped(socket, "", "abort")
        await asyncio.sleep(0.1)
        hook.open.set()
        await asyncio.wait_for(hook.ended.wait(), 20)
    assert await count_rows(database, Thread) == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_stopping_server_closes_sockets(tmp_path: Path, workers: str) -> None:
    url = f"sqlite:///{tmp_path / 'forum.db'}"
    with Server(tmp_path, url, "--workers", workers) as server:
        address = f"ws://127.0.0.1:{server.port}/graphql"
        async with opened(address) as first, opened(address) as second:
            assert await first(START) == {"userErrors": []}
            assert await second(COUNT) == {"totalCount": 1}
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            assert (await first.closed())[0] == (await second.closed())[0] == 1012
            assert await stopping == 0
        assert "Cancel" not in server.printed  # as uvicorn says where it has to wait too long
        assert "Traceback" not in server.printed
        assert server.printed.endswith("Tallied has stopped.\n")
