"""HTTP/1.1 framing: what belongs to a request, and to which, whatever packets it comes in."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.server import free_port
from support.sockets import Serving

from tallied.server.http_protocol import MAX_HEADERS, MAX_WAITING
from tallied.settings import Settings

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Echo:
    """An application that answers with the request that it has received."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        await self.go_on.wait()
        self.paths.append(scope["path"])
        headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        answer = json.dumps({"headers": headers, "body": body.decode(), "path": scope["path"]})
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer.encode()})


class Exchange:
    """A server on a free port, and bare connections to it."""

    def __init__(self, server: Serving, app: Echo) -> None:
        self.server = server
        self.app = app

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.server.host.split(":")
        return await asyncio.open_connection(host, int(port), limit=2**24)

    async def send(self, *packets: bytes) -> list[tuple[int, Any]]:
        """Return the status and the content of each answer until the connection is closed."""
        reader, writer = await self.open()
        for packet in packets:
            if writer.is_closing() or reader.at_eof():
                break
            writer.write(packet)
            await asyncio.sleep(0.01)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answers(received)


def answers(received: bytes) -> list[tuple[int, Any]]:
    """Split `received` into the status and the JSON of each answer."""
    parts: list[tuple[int, Any]] = []
    while received:
        head, _, remainder = received.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(lines[b"content-length"])
        parts.append((int(head.split()[1]), json.loads(remainder[:size])))
        received = remainder[size:]
    return parts


@pytest_asyncio.fixture
async def exchange() -> AsyncIterator[Exchange]:
    app = Echo()
    settings = Settings(header_size=4096, header_time=2, body_time=2)
    async with Serving(app, settings) as server:
        yield Exchange(server, app)
        app.go_on.set()


def packets_of(message: bytes) -> dict[str, tuple[bytes, ...]]:
    """Cut `message` into packets in three ways."""
    size = max(7, len(message) // 30)
    middle = message.index(b"\r\n\r\n") + 4
    return {
        "one": (message,),
        "head and rest": (message[:middle], message[middle:]),
        "pieces": tuple(message[start : start + size] for start in range(0, len(message), size)),
    }


WAYS = ["one", "head and rest", "pieces"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["x-user", "cookie", "authorization", "content-type"])
async def test_trailer_is_no_header(exchange: Exchange, way: str, name: str) -> None:
    message = CHUNKED + b"3\r\nabc\r\n0\r\n%s: moderator\r\n\r\n" % name.encode() + NEXT
    first, second = await exchange.send(*packets_of(message)[way])
    assert first[1] == {
        "headers": [["host", "x"], ["transfer-encoding", "chunked"]],
        "body": "abc",
        "path": "/a",
    }
    assert second[1]["headers"] == [["host", "x"], ["connection", "close"]]


OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "TLS": b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
    "two lines": b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: HTTP/2.0, h2c\r\n",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offer", OFFERS)
async def test_offered_upgrade_is_ignored(exchange: Exchange, way: str, offer: str) -> None:
    message = HEAD + OFFERS[offer] + b"Content-Length: 40\r\n\r\n" + NEXT[:40] + NEXT
    first, second = await exchange.send(*packets_of(message)[way])
    assert first[1]["body"] == NEXT[:40].decode()
    names = [name for name, _ in first[1]["headers"]]
    assert names.count("host") == 1
    assert {"upgrade", "http2-settings"}.isdisjoint(names)
    assert second[1]["path"] == "/next"
    assert exchange.app.paths == ["/a", "/next"]


async def test_offered_upgrade_before_chunked_body_is_ignored(exchange: Exchange) -> None:
    message = HEAD + OFFERS["h2c"] + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    first, second = await exchange.send(message + NEXT)
    assert first[1]["body"] == "abc"
    assert second[1]["path"] == "/next"


async def test_connect_is_refused(exchange: Exchange) -> None:
    ((status, content),) = await exchange.send(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\nabc")
    assert status == 400
    assert content["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert exchange.app.paths == []


@pytest.mark.slow
async def test_pipelined_requests_are_bounded(exchange: Exchange) -> None:
    exchange.app.go_on.clear()
    reader, writer = await exchange.open()
    request = b"GET / HTTP/1.1\r\nHost: \r\n\r\n"
    writer.write(request * 3000 + NEXT)
    await asyncio.sleep(0.3)
    (connection,) = exchange.server.connections
    assert len(connection.pipeline) <= MAX_WAITING
    exchange.app.go_on.set()
    most = 0
    received = asyncio.create_task(reader.read())
    while not received.done():
        most = max(most, len(connection.pipeline))
        await asyncio.sleep(0)
    writer.close()
    assert most <= MAX_WAITING
    replies = answers(received.result())
    assert [reply[1]["path"] for reply in replies] == ["/"] * 3000 + ["/next"]


async def test_reading_stops_while_request_is_answered(exchange: Exchange) -> None:
    exchange.app.go_on.clear()
    _, writer = await exchange.open()
    writer.write(b"GET / HTTP/1.1\r\nHost: \r\n\r\n" * 1_000_000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 1)
    (connection,) = exchange.server.connections
    assert len(connection.unread) < 1_000_000
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_headers_past_their_number_are_refused(exchange: Exchange) -> None:
    fields = b"".join(b"a%d:\r\n" % number for number in range(MAX_HEADERS - 1))
    head = b"GET / HTTP/1.1\r\nHost: x\r\n"
    ((status, _),) = await exchange.send(head + b"b:\r\n" + fields + b"\r\n")
    assert status == 431
    replies = await exchange.send(head + fields + b"\r\n" + NEXT)
    assert [reply[0] for reply in replies] == [200, 200]
    assert len(replies[0][1]["headers"]) == MAX_HEADERS


MALFORMED = {
    "a chunk's size that is none": CHUNKED + b"zz\r\nabc\r\n",
    "a chunk longer than its size": CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
    "an unknown transfer coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length and chunks": HEAD
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a long trailer": CHUNKED + b"3\r\nabc\r\n0\r\nx: " + b"y" * 9000 + b"\r\n\r\n",
    "many trailers": CHUNKED + b"3\r\nabc\r\n0\r\n" + b"x: y\r\n" * 2000 + b"\r\n",
    "long chunk extensions": CHUNKED + b"3;" + b"y" * 9000 + b"\r\nabc\r\n0\r\n\r\n",
    "many chunk extensions": CHUNKED + b"1;abcdefghijkl\r\na\r\n" * 2000 + b"0\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MALFORMED)
async def test_malformed_request_is_400(exchange: Exchange, way: str, kind: str) -> None:
    ((status, content),) = await exchange.send(*packets_of(MALFORMED[kind])[way])
    assert status == 400
    assert content["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert exchange.app.paths == []


async def test_malformed_request_waits_for_earlier_answers(exchange: Exchange) -> None:
    exchange.app.go_on.clear()
    reader, writer = await exchange.open()
    writer.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + CHUNKED + b"zz\r\n" + NEXT)
    await asyncio.sleep(0.1)
    exchange.app.go_on.set()
    replies = answers(await asyncio.wait_for(reader.read(), 10))
    writer.close()
    assert [status for status, _ in replies] == [200, 200, 200, 400]
    assert exchange.app.paths == ["/first"] * 3


async def test_body_in_tiny_chunks_is_read(exchange: Exchange) -> None:
    first, second = await exchange.send(CHUNKED + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n" + NEXT)
    assert first[1]["body"] == "a" * 5000
    assert second[1]["path"] == "/next"


def test_plain_uvicorn_serves_with_protocol_by_name(tmp_path: Path) -> None:
    environ = {**os.environ, "TALLIED_HEADER_SIZE": "1024", "PYTHONPATH": str(tmp_path)}
    source = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        names = b",".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": names})
"""
    (tmp_path / "plain.py").write_text(source)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--http",
        "tallied.server.http_protocol:BoundedProtocol",
    ]
    server = subprocess.Popen([*command, "--port", str(port), "plain:app"], env=environ)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"a": "b" * 500})
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer.status_code == 200
        assert "a" in answer.text.split(",")
        too_long = httpx.get(f"http://127.0.0.1:{port}/", headers={"a": "b" * 1500})
        assert too_long.status_code == 431
    finally:
        server.terminate()
        server.wait(20)


async def test_large_bodies_are_read_whole(exchange: Exchange) -> None:
    body = bytes(range(32, 127)) * 8000
    message = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    first, second, third = await exchange.send(message * 2 + NEXT)
    assert first[1]["body"] == second[1]["body"] == body.decode()
    assert third[1]["path"] == "/next"
