"""Commands wait for a database that starts at the same time, if the setting allows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from support.commands import Commands
from support.server import Server, free_port
from support.waiting import eventually

from tallied.benchmarks.faulty_proxy import FaultyProxy
from tallied.errors import ConfigurationError
from tallied.migrations import opener
from tallied.migrations.opener import Wait, open_database
from tallied.settings import Settings


def proxy_to(server: URL, port: int) -> FaultyProxy:
    """Return a proxy to the tests' PostgreSQL, which listens on a port once it is entered."""
    proxy = FaultyProxy(Path(str(server.query["host"]), ".s.PGSQL.5432"))
    proxy.port = port
    return proxy


def url_at(server: URL, port: int, database: str = "postgres") -> str:
    return f"postgresql+asyncpg://{server.username}@127.0.0.1:{port}/{database}"


class Refusing:
    """Answers each connection with an error of PostgreSQL's, as long as it is entered."""

    def __init__(self, port: int, sqlstate: str) -> None:
        self._port = port
        self._sqlstate = sqlstate
        self.count = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"N")
        await reader.readexactly(4)  # of the startup message
        fields = f"SFATAL\0VFATAL\0C{self._sqlstate}\0Mrefused\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        writer.close()

    async def __aenter__(self) -> Refusing:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


async def open_at(url: str, seconds: float, lines: list[str]) -> None:
    async with open_database(Settings(database=url), wait=Wait(seconds, lines.append)):
        pass


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "RETRY_TIME", 0.05)


async def test_commands_wait_for_starting_database(postgresql: URL) -> None:
    port, lines = free_port(), list[str]()
    task = asyncio.create_task(open_at(url_at(postgresql, port), 20, lines))
    await eventually(lambda: lines)
    async with Refusing(port, "57P03") as starting:  # the database system is starting up
        await eventually(lambda: starting.count > 2)
        assert not task.done()
    async with proxy_to(postgresql, port):
        await task
    assert len(lines) == 1
    assert f"@127.0.0.1:{port}/postgres does not answer yet (" in lines[0]
    assert "waiting up to 20 seconds for it (TALLIED_DATABASE_WAIT" in lines[0]


async def test_commands_wait_for_host_name() -> None:
    lines: list[str] = []
    with pytest.raises(ConfigurationError, match=r"nowhere\.invalid/d does not answer \("):
        await open_at("postgresql+asyncpg://u@nowhere.invalid/d", 0.3, lines)
    assert len(lines) == 1


async def fail_quickly(opening_it: Awaitable[None], lines: list[str], reason: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match=reason):
        await opening_it
    assert time.monotonic() - began < 10
    assert lines == []


async def test_missing_database_fails_at_once(postgresql: URL) -> None:
    lines: list[str] = []
    async with proxy_to(postgresql, free_port()) as proxy:
        url = url_at(postgresql, proxy.port, "nothing")
        await fail_quickly(open_at(url, 60, lines), lines, '"nothing" does not exist')


@pytest.mark.parametrize("sqlstate", ["28P01", "28000", "3D000", "42501"])
async def test_wrong_password_or_role_fails_at_once(sqlstate: str) -> None:
    lines: list[str] = []
    port = free_port()
    async with Refusing(port, sqlstate):
        url = f"postgresql+asyncpg://u:s3cret@127.0.0.1:{port}/d"
        await fail_quickly(open_at(url, 60, lines), lines, "refused")


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(["migrate"], 0), (["migrate"], 1), (["verify", "--format", "json"], 1)],
)
def test_commands_wait_as_long_as_setting_says(
    arguments: list[str],
    seconds: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALLIED_DATABASE_WAIT", str(seconds))
    url = f"postgresql+asyncpg://u:s3cret@127.0.0.1:{free_port()}/d"
    began = time.monotonic()
    result = Commands(capsys)(*arguments, "--database", url)
    assert time.monotonic() - began >= seconds
    assert result.code == 2
    assert [line for line in result.err.splitlines() if "waiting" not in line] == [
        result.err.splitlines()[-1]
    ]
    assert result.err.count("waiting up to 1 seconds") == seconds
    assert result.err.startswith("{") == ("json" in arguments)
    assert "s3cret" not in result.err


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_serve_begins_once_database_is_there(
    postgresql: URL, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes as long as a server process takes to start."""
    monkeypatch.setenv("TALLIED_DATABASE_WAIT", "60")
    port = free_port()
    database = str(make_url(empty_url).database)
    server = Server(tmp_path, url_at(postgresql, port, database))
    try:
        await asyncio.to_thread(server.wait, "does not answer yet")
        async with proxy_to(postgresql, port):
            await asyncio.to_thread(server.wait)
            query = "{ threads(first: 1) { totalCount } }"
            answer = await asyncio.to_thread(server.ask, query)
        assert answer == {"threads": {"totalCount": 0}}
    finally:
        server.kill()
