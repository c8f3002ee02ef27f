"""A stopping server answers the requests that are already on their way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.sockets import Serving

from tallied.server.http_protocol import DRAIN_TIME
from tallied.settings import Settings

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"counted"})


async def send_after_stop(before: bytes, *after: bytes) -> tuple[bytes, float]:
    """Return what a server answers from the moment on at which it stops, and how long that takes.

    :param before: sent, and answered, before it stops.
    :param after: the packets sent once it has begun to stop.
    """
    server = Serving(app, Settings())
    await server.__aenter__()
    host, port = server.host.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(before)
    if before:
        await reader.readuntil(b"counted")
    while not server.connections:
        await asyncio.sleep(0.01)
    stopping = asyncio.create_task(server.__aexit__())
    await asyncio.sleep(0.2)  # uvicorn looks every 0.1 s whether it is to stop
    began = time.monotonic()
    for packet in after:
        writer.write(packet)
        await asyncio.sleep(0.02)
    answer = await reader.read()
    seconds = time.monotonic() - began
    writer.close()
    await stopping
    return answer, seconds


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["opened", "kept_alive"])
@pytest.mark.parametrize("after", [(REQUEST,), (REQUEST[:9], REQUEST[9:])], ids=["whole", "split"])
async def test_request_sent_as_server_stops_is_answered(
    before: bytes, after: tuple[bytes, ...]
) -> None:
    answer, _ = await send_after_stop(before, *after)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"counted")


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["opened", "kept_alive"])
async def test_idle_connection_is_closed_as_server_stops(before: bytes) -> None:
    answer, seconds = await send_after_stop(before)
    assert answer == b""
    assert seconds < DRAIN_TIME + 1


async def test_no_websocket_is_opened_as_server_stops() -> None:
    answer, _ = await send_after_stop(b"", UPGRADE)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"UNAVAILABLE"' in answer
