"""What is written to a connection in one turn of the event loop is sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
import uvloop

from tallied.server.batching_transport import MAX_BATCH, BatchingTransport
from tallied.server.http_protocol import BoundedProtocol
from tallied.settings import Settings

Use = Callable[[BatchingTransport, asyncio.StreamReader, list[bytes]], Awaitable[None]]
"""What uses the server's side of a connection, the client's side, and the list of what is sent."""


class RecordingTransport:
    """A real transport, with a list of what is sent by it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.sent: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self._transport.write(data)


async def with_connection(use: Use) -> None:
    """Call a function with a connection over TCP."""
    accepted: asyncio.Future[RecordingTransport] = asyncio.get_running_loop().create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            accepted.set_result(RecordingTransport(transport))

    loop = asyncio.get_running_loop()
    async with await loop.create_server(Protocol, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        recording = await accepted
        await use(BatchingTransport(recording), reader, recording.sent)  # type: ignore[arg-type]
        if not recording.is_closing():
            recording.abort()
        writer.close()


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request: pytest.FixtureRequest) -> Callable[[Use], None]:
    """Return what calls a function with a connection, by either event loop."""

    def call(use: Use) -> None:
        request.param(with_connection(use))

    return call


async def _expect(
    transport: BatchingTransport, reader: asyncio.StreamReader, content: bytes
) -> None:
    async with asyncio.timeout(10):
        assert await reader.readexactly(len(content)) == content
    assert transport.get_write_buffer_size() == 0


def test_writes_of_one_turn_are_sent_together(run: Callable[[Use], None]) -> None:
    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        for piece in (b"head, ", b"body, ", b"rest"):
            transport.write(piece)
        assert (sent, transport.get_write_buffer_size()) == ([], 16)
        await _expect(transport, reader, b"head, body, rest")
        transport.write(b"next")
        await _expect(transport, reader, b"next")
        assert sent == [b"head, body, rest", b"next"]

    run(use)


def test_large_batch_is_sent_at_once(run: Callable[[Use], None]) -> None:
    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        piece = bytes(1024)
        for _ in range(3 * MAX_BATCH // 1024):
            transport.write(piece)
        assert [len(data) for data in sent] == 2 * [MAX_BATCH + 1024]
        await _expect(transport, reader, bytes(3 * MAX_BATCH))

    run(use)


@pytest.mark.parametrize("method", ["close", "write_eof"])
def test_end_comes_after_what_was_written(run: Callable[[Use], None], method: str) -> None:
    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        transport.write(b"the last ")
        transport.write(b"response")
        getattr(transport, method)()
        async with asyncio.timeout(10):
            assert await reader.read() == b"the last response"

    run(use)


def test_lost_connection_is_sent_no_batch(run: Callable[[Use], None]) -> None:
    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        problems: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, problem: problems.append(problem)
        )
        transport.write(b"too late")
        transport.abort()
        await asyncio.sleep(0.05)
        assert (sent, problems) == ([], [])

    run(use)


def test_write_after_end_of_client_follows_what_is_unsent(run: Callable[[Use], None]) -> None:
    """The event loop closes a connection whose client has sent all, and sends what is left."""

    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        transport.write(bytes(20_000_000))
        transport._transport.close()
        transport.write(b"the last response")
        async with asyncio.timeout(10):
            assert (await reader.read())[20_000_000:] == b"the last response"

    run(use)


def test_response_is_sent_in_one_piece(run: Callable[[Use], None]) -> None:
    """uvicorn alone sends the head before the body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"1,234"})

    config = uvicorn.Config(app)
    config.settings = Settings()  # type: ignore[attr-defined]
    config.load()
    state = uvicorn.Server(config).server_state

    async def use(
        transport: BatchingTransport, reader: asyncio.StreamReader, sent: list[bytes]
    ) -> None:
        protocol = BoundedProtocol(config, server_state=state, app_state={})
        protocol.connection_made(transport._transport)
        protocol.data_received(2 * b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            for _ in range(2):
                assert (await reader.readuntil(b"1,234")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert [(data[:8], data[-5:]) for data in sent] == 2 * [(b"HTTP/1.1", b"1,234")]
        protocol.connection_lost(None)

    run(use)
