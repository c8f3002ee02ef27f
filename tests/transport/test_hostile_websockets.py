"""Clients that break the protocol, ask for too much, do not read, or are gone."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import strawberry
from support.host import Gate, number
from support.server import Server
from support.slow_threads import running, slow_down
from support.sockets import Site, Socket, opened, site

from tallied.database import Database
from tallied.models import Thread
from tallied.schema.build import merge_schemas

START = 'mutation { createThread(input: {title: "Engines"}) { userErrors { code } } }'
COUNT = "{ threads(first: 1) { totalCount } }"
ACK_FIRST = "Send connection_init first, and await connection_ack."

pytestmark = pytest.mark.sqlite


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


def subscribe(id: Any = "1", **message: Any) -> str:
    return json.dumps(
        {"type": "subscribe", "id": id, "payload": {"query": "{ __typename }"}, **message}
    )


BAD = [
    ("", 4400, "The message is not valid JSON in UTF-8."),
    ("{", 4400, "The message is not valid JSON in UTF-8."),
    ('{"type": "ping", "payload": {"n": NaN}}', 4400, "The message is not valid JSON in UTF-8."),
    ("[" * 100_000, 4400, "The message is not valid JSON in UTF-8."),
    ("null", 4400, 'A message must be a JSON object with a "type".'),
    ('["ping"]', 4400, 'A message must be a JSON object with a "type".'),
    ('{"type": 3}', 4400, 'A message must be a JSON object with a "type".'),
    ('{"type": "start", "id": "1"}', 4400, "Unknown message type: start"),
    (json.dumps({"type": "é" * 500}), 4400, "Unknown message type: " + "é" * 50),
    ('{"type": "ping", "payload": 3}', 4400, "payload must be an object."),
    (subscribe(id=3), 4400, "id must be a string of 1 to 255 characters."),
    (subscribe(id=""), 4400, "id must be a string of 1 to 255 characters."),
    (subscribe(id=["1"]), 4400, "id must be a string of 1 to 255 characters."),
    (subscribe(id="x" * 256), 4400, "id must be a string of 1 to 255 characters."),
    (subscribe(payload=None), 4400, "payload must be an object: the GraphQL request."),
    (subscribe(payload="{ a }"), 4400, "payload must be an object: the GraphQL request."),
    ('{"type": "complete"}', 4400, "id must be a string of 1 to 255 characters."),
    ('{"type": "connection_init"}', 4429, "Too many initialisation requests"),
    (b"\x00", 4400, "Send messages as text."),
]


@pytest.mark.parametrize(("message", "code", "reason"), BAD)
async def test_what_is_not_of_the_protocol_closes_the_connection_and_no_other(
    database: Database, message: str | bytes, code: int, reason: str
) -> None:
    async with site(database) as there, there.socket() as other, there.socket() as socket:
        await socket.connection.send(message)
        assert await socket.closed() == (code, reason)
        assert await other("{ __typename }") == "Query"


async def test_messages_that_need_no_answer_get_none(database: Database) -> None:
    async with site(database) as there, there.socket() as socket:
        await socket.send("complete", id="nobody's")
        await socket.send("pong", payload={"n": 1})
        await socket.send("ping")
        assert await socket.receive() == {"type": "pong"}


async def test_nothing_is_asked_before_the_connection_is_opened(database: Database) -> None:
    async with site(database) as there:
        async with there.socket(init=False) as socket:
            await socket.connection.send(subscribe())
            assert await socket.closed() == (4401, ACK_FIRST)
        async with there.socket(init=False) as socket:
            await socket.send("connection_init", payload="me")
            assert await socket.closed() == (4400, "payload must be an object.")
        async with there.socket(init=False) as socket:
            await socket.send("connection_init", payload=None)
            assert await socket.receive() == {"type": "connection_ack"}


async def test_who_says_nothing_is_not_waited_for(database: Database) -> None:
    async with (
        site(database, settings={"header_time": 1}) as there,
        there.socket(init=False) as silent,
        there.socket() as socket,
    ):
        assert await silent.closed() == (4408, "Connection initialisation timeout")
        assert await socket("{ __typename }") == "Query"


async def test_an_id_stands_for_one_operation(database: Database) -> None:
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as there, there.socket() as socket:
        await socket.subscribe(START, id="one" * 80)
        await gate.arrived.wait()
        await socket.connection.send(subscribe(id="one" * 80))
        code, reason = await socket.closed()
        assert code == 4409
        assert reason.startswith("Subscriber for oneone")
    assert await number(database, Thread) == 0  # The first was not committed.


@pytest.mark.parametrize("frames", [1, 3])
async def test_a_message_is_no_larger_than_a_body(database: Database, frames: int) -> None:
    def message(size: int) -> list[str]:
        text = subscribe() + " " * (size - len(subscribe()))
        step = -(-size // frames)
        return [text[start : start + step] for start in range(0, size, step)]

    async with site(database, settings={"body_size": 3000}) as there:
        async with there.socket() as socket:
            await socket.connection.send(message(3000))
            assert (await socket.receive())["payload"]["data"] == {"__typename": "Query"}
        async with there.socket() as socket:
            await socket.connection.send(message(3001))
            assert (await socket.closed())[0] == 1009


async def test_the_size_holds_under_any_server(database: Database) -> None:
    """A host's server may let larger messages through."""
    async with site(database, settings={"body_size": 3000}) as there:
        there.server.config.ws_max_size = 2**24
        async with there.socket() as socket:
            await socket.connection.send(subscribe() + "\N{SNOWMAN}" * 1000)
            assert await socket.closed() == (1009, "A message must have at most 3000 bytes.")


async def test_a_message_of_many_frames_or_none_that_is_text_is_refused(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(database) as there:
        async with there.socket() as socket:
            await socket.connection.send("" for _ in range(5000))
            assert await socket.closed() == (1009, "A message has at most 4096 frames.")
        async with there.socket() as socket:
            await socket.connection.send(b"\xff\xfe", text=True)
            assert await socket.closed() == (1007, "A message must be text in UTF-8.")
    assert not any(record.exc_info for record in caplog.records)


async def test_operations_past_the_number_are_refused_and_the_others_are_not(
    database: Database,
) -> None:
    gate = Gate("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"socket_operations": 3}}
    async with site(database, **options) as there, there.socket() as socket:
        ids = [await socket.subscribe(START) for _ in range(3)]
        await gate.arrived.wait()
        told = await socket.answer({"query": "{ __typename }"})
        (error,) = told["errors"]
        assert error["extensions"] == {
            "code": "LIMIT_EXCEEDED",
            "limit": "socket_operations",
            "maximum": 3,
        }
        gate.open.set()
        answered = [await socket.receive() for _ in range(6)]
        assert {message["id"] for message in answered} == set(ids)
        assert await socket("{ __typename }") == "Query"
    assert await number(database, Thread) == 3


async def test_operations_under_way_are_no_larger_together_than_a_body(
    database: Database,
) -> None:
    gate = Gate("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"body_size": 3000}}
    async with site(database, **options) as there, there.socket() as socket:
        padded = START + " " * 1200
        for _ in range(2):
            await socket.subscribe(padded)
        await gate.arrived.wait()
        (error,) = (await socket.answer({"query": padded}))["errors"]
        assert error["extensions"] == {
            "code": "LIMIT_EXCEEDED",
            "limit": "body_size",
            "maximum": 3000,
        }
        gate.open.set()
        for _ in range(4):
            await socket.receive()
        for _ in range(5):  # which are there one after the other
            assert await socket(padded) == {"userErrors": []}
    assert await number(database, Thread) == 7


async def test_completing_operations_does_not_make_room_before_they_have_ended(
    database: Database,
) -> None:
    class Slow(Gate):
        """Takes its time, also when it is cancelled."""

        async def _stand(self, event: Any, session: Any) -> None:
            self.came += 1
            try:
                await asyncio.sleep(3600)
            finally:
                await self.open.wait()

    gate = Slow("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"socket_operations": 3}}
    async with site(database, **options) as there, there.socket() as socket:
        for _ in range(3):
            id = await socket.subscribe(START)
            await socket.send("complete", id=id)
        assert "errors" in await socket.answer({"query": "{ __typename }"})
        gate.open.set()
        async with asyncio.timeout(20):
            while "errors" in await socket.answer({"query": "{ __typename }"}):
                await asyncio.sleep(0.01)


async def test_sockets_past_the_number_are_told_to_come_again(database: Database) -> None:
    async with site(database, settings={"concurrent_sockets": 2}) as there:
        async with there.socket(), there.socket(init=False):
            refusal = await there.refusal()
            assert refusal.status_code == 503
            assert refusal.headers["retry-after"] == "1"
            assert refusal.json()["errors"][0]["extensions"] == {"code": "OVERLOADED"}
            answer = await there.post({"query": "{ __typename }"})
            assert answer["data"] == {"__typename": "Query"}
        async with asyncio.timeout(20):
            while (await there.refusal()).status_code == 503:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocols", [None, "graphql-ws", "chat, graphql-ws"])
async def test_another_sub_protocol_opens_nothing(
    database: Database, protocols: str | None
) -> None:
    async with site(database) as there:
        refusal = await there.refusal(**{"sec-websocket-protocol": protocols})
        assert refusal.status_code == 400
        (error,) = refusal.json()["errors"]
        assert error["extensions"] == {"code": "BAD_REQUEST"}
        assert "graphql-transport-ws" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-long": "x" * 9000}, 400, "BAD_REQUEST"),
        ({f"x-{number}": "x" for number in range(130)}, 431, "HEADERS_TOO_LARGE"),
    ],
    ids=["a long one", "many"],
)
async def test_a_handshake_that_cannot_be_read_is_answered(
    database: Database,
    headers: dict[str, str],
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(database) as there:
        refusal = await there.refusal(**headers)
        assert refusal.status_code == status
        assert refusal.json()["errors"][0]["extensions"] == {"code": code}
        assert (await there.refusal(origin="https://evil.example")).status_code == 403
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_websocket_has_a_connection_of_its_own(database: Database) -> None:
    """An answer that is still to come would be written into it."""
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as there:
        body = json.dumps({"query": START}).encode()
        first = (
            f"POST /graphql HTTP/1.1\r\nHost: {there.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        upgrade = (
            f"GET /graphql HTTP/1.1\r\nHost: {there.host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        host, port = there.host.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(first + body)
        await gate.arrived.wait()
        writer.write(upgrade)
        gate.open.set()
        async with asyncio.timeout(20):
            received = await reader.read()
        writer.close()
        assert received.count(b"HTTP/1.1 200 OK") == received.count(b"HTTP/1.1 ") - 1 == 1
        assert b"HTTP/1.1 400 " in received


@strawberry.type
class Query:
    answered = 0

    @strawberry.field
    def text(self, size: int) -> str:
        Query.answered += 1
        return "x" * size


@asynccontextmanager
async def reading_little(there: Site, buffer: int = 4096) -> AsyncIterator[Socket]:
    """A client that reads no further than to the message that it is asked for."""
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffer)
    host, port = there.host.split(":")
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (host, int(port)))
    options = {"max_queue": 1, "max_size": None, "ping_interval": None}
    async with opened(there.url, sock=small, **options) as socket:
        yield socket
        socket.connection.transport.abort()


async def test_answers_that_nobody_reads_do_not_pile_up(database: Database) -> None:
    settings = {"body_time": 1, "concurrent_sockets": 1}
    async with site(database, schema=merge_schemas(Query), settings=settings) as there:
        Query.answered = 0
        async with reading_little(there) as socket:
            for _ in range(40):
                await socket.subscribe("{ text(size: 9000000) }")
            await eventually(lambda: Query.answered > 0)
            # The server closes, after a second in which nothing was read.
            async with asyncio.timeout(20):
                while (await there.refusal()).status_code == 503:
                    await asyncio.sleep(0.05)
            assert Query.answered <= 10
        async with there.socket() as socket:
            assert await socket("{ __typename }") == "Query"


async def test_neither_do_pongs(database: Database) -> None:
    async with site(database, settings={"body_time": 1}) as there, reading_little(there) as socket:
        (protocol,) = there.server.connections
        ping = b"\x89\xfd" + bytes(4) + b"x" * 125  # masked by zeros
        largest = 0
        async with asyncio.timeout(20):
            while not protocol.transport.is_closing():
                socket.connection.transport.write(ping * 1000)
                await asyncio.sleep(0)
                largest = max(largest, protocol.transport.get_write_buffer_size())
        assert 0 < largest < 1_000_000


async def fill(there: Site, socket: Socket) -> None:
    """Have the server wait for a client that reads no further."""
    for _ in range(20):
        await socket.subscribe("{ text(size: 9000000) }")
    (protocol,) = there.server.connections
    left = 0
    async with asyncio.timeout(20):
        while not left or protocol.transport.get_write_buffer_size() != left:
            left = protocol.transport.get_write_buffer_size()
            await asyncio.sleep(0.3)


async def test_a_server_that_stops_does_not_wait_for_who_does_not_read(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    there = Site(database, {"schema": merge_schemas(Query), "settings": {}})
    await there.server.__aenter__()
    async with reading_little(there) as socket, there.http:
        await fill(there, socket)
        await there.server.__aexit__()
    assert "Cancel" not in caplog.text  # as uvicorn says where it has to wait too long


async def test_nothing_is_left_of_a_client_that_is_gone_under_any_server(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn's own protocol waits for as long as it may for the client to read on."""
    there = Site(database, {"schema": merge_schemas(Query), "settings": {}})
    there.server.config.ws = "websockets-sansio"
    there.server.config.timeout_graceful_shutdown = 1
    await there.server.__aenter__()
    async with reading_little(there) as socket, there.http:
        await fill(there, socket)
        await there.server.__aexit__()
    assert "Cancel 0 running task(s)" in caplog.text
    assert "Exception" not in caplog.text


async def test_a_slow_reader_is_waited_for(database: Database) -> None:
    async with (
        site(database, schema=merge_schemas(Query), settings={"body_time": 2}) as there,
        reading_little(there, buffer=262_144) as socket,
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
@pytest.mark.parametrize("how", ["complete", "close", "abort"])
async def test_a_client_that_is_gone_takes_its_statement_along(
    database: Database, how: str, request: pytest.FixtureRequest
) -> None:
    settings = {"execution_time": 60}
    async with site(database, settings=settings) as there, there.socket() as socket:
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
        told = await there.post({"query": '{ comment(id: "x") { id } }'})
        assert told["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        if how == "complete":
            assert await socket("{ __typename }") == "Query"


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@pytest.mark.parametrize("how", ["complete", "close", "abort"])
async def test_a_mutation_whose_client_is_gone_is_rolled_back(database: Database, how: str) -> None:
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as there, there.socket() as socket:
        id = await socket.subscribe(START)
        await gate.arrived.wait()
        await stopped(socket, id, how)
        pool: Any = database.engine.pool
        await eventually(lambda: pool.checkedout() == 0)
        assert await number(database, Thread) == 0
        async with there.socket() as other:  # The lock is free: another can write.
            assert await other(START) == {"userErrors": []}
    assert await number(database, Thread) == 1


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
async def test_a_mutation_that_is_committed_is_followed_to_its_end(database: Database) -> None:
    hook = After()
    async with site(database, hooks=[hook]) as there, there.socket() as socket:
        await socket.subscribe(START)
        await hook.arrived.wait()
        await stopped(socket, "", "abort")
        await asyncio.sleep(0.1)
        hook.open.set()
        await asyncio.wait_for(hook.ended.wait(), 20)
    assert await number(database, Thread) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_that_is_told_to_stop_closes_its_sockets(
    tmp_path: Path, workers: str
) -> None:
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
