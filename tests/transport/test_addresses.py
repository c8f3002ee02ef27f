"""Limits of WebSockets and connections per client address."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.sockets import Serving, Socket, site
from websockets.exceptions import InvalidStatus

from tallied.auth.networks import client_network
from tallied.database import Database
from tallied.settings import Settings
from tallied.transport.addresses import AddressLimit

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_ipv6_clients_share_their_network(host: str, network: str) -> None:
    assert client_network(host) == network


def test_released_address_is_forgotten() -> None:
    limit = AddressLimit(2, "a_setting")
    assert [limit.acquire(f"2001:db8::{end}") for end in (1, 2, 3)] == [True, True, False]
    assert [limit.acquire(None) for _ in range(3)] == [True, True, True]
    limit.release("2001:db8::1")
    assert limit.acquire("2001:db8::9")
    limit.release("2001:db8::9")
    limit.release("2001:db8::2")
    assert not limit._counts


async def refusal_of(opening: Any) -> tuple[int, Any, Any]:
    """Return the status, the error and Retry-After by which a WebSocket is not opened."""
    with pytest.raises(InvalidStatus) as raised:
        async with opening:
            pass
    response = raised.value.response
    return response.status_code, response.body, response.headers["retry-after"]


def opened_for(live: Any, client: str) -> Any:
    """Return a WebSocket of a client for which a trusted proxy asks, as it says."""
    return live.socket(additional_headers={"x-forwarded-for": client})


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_sockets_past_limit_of_address_are_refused(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(database, settings={"sockets_per_address": 2}) as live:
        async with opened_for(live, "2001:db8::1"), opened_for(live, "2001:db8::2"):
            for _ in range(2):
                # What a client sends itself stands before the address that the proxy has seen.
                opening = opened_for(live, "203.0.113.5, 2001:db8::3")
                status, body, retry_after = await refusal_of(opening)
                assert (status, retry_after) == (429, "1")
                assert b'"code":"TOO_MANY_CONNECTIONS"' in body
                assert b"Your address has 2 WebSockets open" in body
            async with opened_for(live, "203.0.113.5") as other:
                assert await other("{ __typename }") == "Query"
        await asyncio.sleep(0.1)
        async with opened_for(live, "2001:db8::3") as next_one:
            assert await next_one("{ __typename }") == "Query"
    warnings = [item.getMessage() for item in caplog.records if item.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("2001:db8::/64 has reached TALLIED_SOCKETS_PER_ADDRESS")


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_address_is_not_forged_without_trusted_proxy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
    async with (
        site(database, settings={"sockets_per_address": 1}) as live,
        opened_for(live, "203.0.113.5"),
    ):
        assert (await refusal_of(opened_for(live, "203.0.113.6")))[0] == 429


async def answer(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"counted"})


class Client:
    """Opens connections to a server."""

    def __init__(self, server: Serving) -> None:
        self.host, port = server.host.split(":")
        self.port = int(port)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    async def ask(self) -> bytes:
        """Return the beginning of the answer to a request on a new connection."""
        reader, writer = await self.open()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        content = await reader.readexactly(7)
        writer.close()
        return head + content


async def test_connections_past_limit_of_address_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
    async with Serving(answer, Settings(connections_per_address=3)) as server:
        client = Client(server)
        open_connections = [await client.open() for _ in range(3)]
        for _ in range(2):
            refused = await client.ask()
            assert refused.startswith(b"HTTP/1.1 429 ")
            assert refused.endswith(b'{"error')
        open_connections[0][1].write(REQUEST)  # Those that are open are served.
        assert (await open_connections[0][0].readuntil(b"counted")).startswith(b"HTTP/1.1 200 ")
        open_connections[1][1].close()
        await asyncio.sleep(0.1)
        assert (await client.ask()).startswith(b"HTTP/1.1 200 ")
        for _, writer in open_connections:
            writer.close()


async def test_connections_of_trusted_proxy_are_not_bounded() -> None:
    async with Serving(answer, Settings(connections_per_address=3)) as server:
        client = Client(server)
        open_connections = [await client.open() for _ in range(5)]
        assert (await client.ask()).startswith(b"HTTP/1.1 200 ")
        for _, writer in open_connections:
            writer.close()


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_open_websocket_is_no_connection_for_http(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
    async with (
        site(database, settings={"connections_per_address": 1}) as live,
        live.socket() as first,
        live.socket() as second,
    ):
        sockets: list[Socket] = [first, second]
        assert [await socket("{ __typename }") for socket in sockets] == ["Query", "Query"]
        assert await live.post({"query": "{ __typename }"})
