"""WebSocket clients that break the protocol or exceed the limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.host import Gate
from support.rows import count_rows
from support.sockets import site

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.models import Thread

START = 'mutation { createThread(input: {title: "Engines"}) { userErrors { code } } }'
COUNT = "{ threads(first: 1) { totalCount } }"
ACK_FIRST = "Send connection_init first, and await connection_ack."

pytestmark = pytest.mark.sqlite


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
    (subscribe(payload={}), 4400, "query must be a string: the GraphQL document."),
    (subscribe(payload={"query": None}), 4400, "query must be a string: the GraphQL document."),
    *(
        (subscribe(payload={"query": "{ __typename }", **part}), 4400, reason)
        for part, reason in (
            ({"query": 7}, "query must be a string: the GraphQL document, not a number."),
            ({"query": ["x"]}, "query must be a string: the GraphQL document, not an array."),
            (
                {"variables": "{}"},
                "variables must be an object: the variables by their names, not a string.",
            ),
            (
                {"operationName": 7},
                "operationName must be a string: the name of one of the document's operations,"
                " not a number.",
            ),
            ({"extensions": "x"}, "extensions must be an object, not a string."),
        )
    ),
    ('{"type": "complete"}', 4400, "id must be a string of 1 to 255 characters."),
    ('{"type": "connection_init"}', 4429, "Too many initialisation requests"),
    (b"\x00", 4400, "Send messages as text."),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("message", "code", "reason"), BAD)
async def test_bad_message_closes_its_connection_alone(
    database: Database, message: str | bytes, code: int, reason: str
) -> None:
    async with site(database) as server, server.socket() as other, server.socket() as socket:
        await socket.connection.send(message)
        assert await socket.closed() == (code, reason)
        assert await other("{ __typename }") == "Query"


async def test_pong_and_complete_get_no_reply(database: Database) -> None:
    async with site(database) as server, server.socket() as socket:
        await socket.send("complete", id="nobody's")
        await socket.send("pong", payload={"n": 1})
        await socket.send("ping")
        assert await socket.receive() == {"type": "pong"}


async def test_operation_before_init_is_refused(database: Database) -> None:
    async with site(database) as server:
        async with server.socket(init=False) as socket:
            await socket.connection.send(subscribe())
            assert await socket.closed() == (4401, ACK_FIRST)
        async with server.socket(init=False) as socket:
            await socket.send("connection_init", payload="me")
            assert await socket.closed() == (4400, "payload must be an object.")
        async with server.socket(init=False) as socket:
            await socket.send("connection_init", payload=None)
            assert await socket.receive() == {"type": "connection_ack"}


async def test_silent_client_times_out(database: Database) -> None:
    async with (
        site(database, settings={"header_time": 1}) as server,
        server.socket(init=False) as silent,
        server.socket() as socket,
    ):
        assert await silent.closed() == (4408, "Connection initialisation timeout")
        assert await socket("{ __typename }") == "Query"


async def test_repeated_operation_id_is_refused(database: Database) -> None:
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as server, server.socket() as socket:
        await socket.subscribe(START, id="one" * 80)
        await gate.arrived.wait()
        await socket.connection.send(subscribe(id="one" * 80))
        code, reason = await socket.closed()
        assert code == 4409
        assert reason.startswith("Subscriber for oneone")
    assert await count_rows(database, Thread) == 0  # The first was not committed.


@pytest.mark.parametrize("frames", [1, 3])
async def test_message_is_no_larger_than_body(database: Database, frames: int) -> None:
    def message(size: int) -> list[str]:
        text = subscribe() + " " * (size - len(subscribe()))
        step = -(-size // frames)
        return [text[start : start + step] for start in range(0, size, step)]

    async with site(database, settings={"body_size": 3000}) as server:
        async with server.socket() as socket:
            await socket.connection.send(message(3000))
            assert (await socket.receive())["payload"]["data"] == {"__typename": "Query"}
        async with server.socket() as socket:
            await socket.connection.send(message(3001))
            assert (await socket.closed())[0] == 1009


async def test_size_holds_under_any_server(database: Database) -> None:
    """A host's server may let larger messages through."""
    async with site(database, settings={"body_size": 3000}) as server:
        server.server.config.ws_max_size = 2**24
        async with server.socket() as socket:
            await socket.connection.send(subscribe() + "\N{SNOWMAN}" * 1000)
            assert await socket.closed() == (1009, "A message must have at most 3000 bytes.")


async def test_fragmented_or_binary_message_is_refused(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(database) as server:
        async with server.socket() as socket:
            await socket.connection.send("" for _ in range(5000))
            assert await socket.closed() == (1009, "A message has at most 4096 frames.")
        async with server.socket() as socket:
            await socket.connection.send(b"\xff\xfe", text=True)
            assert await socket.closed() == (1007, "A message must be text in UTF-8.")
    assert not any(record.exc_info for record in caplog.records)


async def test_operations_past_limit_are_refused(database: Database) -> None:
    gate = Gate("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"socket_operations": 3}}
    async with site(database, **options) as server, server.socket() as socket:
        ids = [await socket.subscribe(START) for _ in range(3)]
        await gate.arrived.wait()
        reply = await socket.answer({"query": "{ __typename }"})
        (error,) = reply["errors"]
        assert error["extensions"] == make_extensions(
            "LIMIT_EXCEEDED", {"limit": "socket_operations", "maximum": 3}
        )
        gate.open.set()
        answered = [await socket.receive() for _ in range(6)]
        assert {message["id"] for message in answered} == set(ids)
        assert await socket("{ __typename }") == "Query"
    assert await count_rows(database, Thread) == 3


async def test_running_operations_are_bounded_in_size(database: Database) -> None:
    gate = Gate("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"body_size": 3000}}
    async with site(database, **options) as server, server.socket() as socket:
        padded = START + " " * 1200
        for _ in range(2):
            await socket.subscribe(padded)
        await gate.arrived.wait()
        (error,) = (await socket.answer({"query": padded}))["errors"]
        assert error["extensions"] == make_extensions(
            "LIMIT_EXCEEDED", {"limit": "body_size", "maximum": 3000}
        )
        gate.open.set()
        for _ in range(4):
            await socket.receive()
        for _ in range(5):  # which are there one after the other
            assert await socket(padded) == {"userErrors": []}
    assert await count_rows(database, Thread) == 7


async def test_cancelled_operations_count_until_they_end(database: Database) -> None:
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
    async with site(database, **options) as server, server.socket() as socket:
        for _ in range(3):
            id = await socket.subscribe(START)
            await socket.send("complete", id=id)
        assert "errors" in await socket.answer({"query": "{ __typename }"})
        gate.open.set()
        async with asyncio.timeout(20):
            while "errors" in await socket.answer({"query": "{ __typename }"}):
                await asyncio.sleep(0.01)


async def test_sockets_past_limit_are_503_with_retry_after(database: Database) -> None:
    async with site(database, settings={"concurrent_sockets": 2}) as server:
        async with server.socket(), server.socket(init=False):
            refusal = await server.refusal()
            assert refusal.status_code == 503
            assert refusal.headers["retry-after"] == "1"
            assert refusal.json()["errors"][0]["extensions"] == make_extensions("OVERLOADED")
            answer = await server.post({"query": "{ __typename }"})
            assert answer["data"] == {"__typename": "Query"}
        async with asyncio.timeout(20):
            while (await server.refusal()).status_code == 503:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocols", [None, "graphql-ws", "chat, graphql-ws"])
async def test_other_subprotocol_is_refused(database: Database, protocols: str | None) -> None:
    async with site(database) as server:
        refusal = await server.refusal(**{"sec-websocket-protocol": protocols})
        assert refusal.status_code == 400
        (error,) = refusal.json()["errors"]
        assert error["extensions"] == make_extensions("BAD_REQUEST")
        assert "graphql-transport-ws" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-long": "x" * 9000}, 400, "BAD_REQUEST"),
        ({f"x-{number}": "x" for number in range(130)}, 431, "HEADERS_TOO_LARGE"),
    ],
    ids=["a long one", "many"],
)
async def test_bad_handshake_is_answered(
    database: Database,
    headers: dict[str, str],
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(database) as server:
        refusal = await server.refusal(**headers)
        assert refusal.status_code == status
        assert refusal.json()["errors"][0]["extensions"] == make_extensions(code)
        assert (await server.refusal(origin="https://evil.example")).status_code == 403
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.slow
async def test_upgrade_after_request_is_refused(database: Database) -> None:
    """An answer that is still to come would be written into it."""
    gate = Gate("create_thread")
    async with site(database, hooks=[gate]) as server:
        body = json.dumps({"query": START}).encode()
        first = (
            f"POST /graphql HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        upgrade = (
            f"GET /graphql HTTP/1.1\r\nHost: {server.host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        host, port = server.host.split(":")
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
