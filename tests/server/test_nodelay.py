"""Every connection sends at once (TCP_NODELAY), however its listener came about."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from support.tls import Authority

from tallied.server.http_protocol import BoundedProtocol
from tallied.server.process import listen
from tallied.settings import Settings


def by_descriptor(host: str, port: int) -> socket.socket:
    """Return a listener as uvicorn has it of ``--fd``, ``--workers`` and ``--reload``."""
    with listen(host, port) as listener:
        return socket.socket(fileno=os.dup(listener.fileno()))


async def option_of_connection(
    listener: socket.socket, context: ssl.SSLContext | None
) -> tuple[bool, ...]:
    """Return the option of the connection that a client opens, as the server has it."""
    options: list[bool] = []

    class Protocol(BoundedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            descriptor = transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            options.append(bool(option))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("no request is sent")

    config = uvicorn.Config(app)
    config.settings = Settings()  # type: ignore[attr-defined]
    config.load()
    state = uvicorn.Server(config).server_state

    def protocol() -> Protocol:
        return Protocol(config, server_state=state, app_state={})

    loop = asyncio.get_running_loop()
    async with await loop.create_server(protocol, sock=listener, ssl=context):
        client = ssl._create_unverified_context() if context else None
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2], ssl=client)
        writer.close()
        await asyncio.sleep(0)
    return tuple(options)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("make", [listen, by_descriptor])
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_connection_sends_at_once(
    run: Callable[..., tuple[bool, ...]],
    make: Callable[[str, int], socket.socket],
    is_encrypted: bool,
    tmp_path: Path,
) -> None:
    context = Authority(tmp_path, "authority").context("localhost") if is_encrypted else None
    listener = make("127.0.0.1", 0)
    assert run(option_of_connection(listener, context)) == (True,)
