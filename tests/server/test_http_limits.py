"""The limits of the transport: headers, slow clients, how many and how long."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from support.api import Api, mutation
from support.commands import Commands
from support.server import Server, free_port
from support.slow_threads import running, slow_down

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.models import Thread

GRAPHQL = "application/graphql-response+json"
COUNT = "{ threads(first: 1) { totalCount } }"
HEAD = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LIMITS = {"header_size": 4096, "header_time": 1, "body_time": 1, "execution_time": 1}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with small limits."""
    folder = tmp_path_factory.mktemp("limited")
    with pytest.MonkeyPatch.context() as environ:
        for name, value in LIMITS.items():
            environ.setenv(f"TALLIED_{name.upper()}", str(value))
        server = Server(folder, f"sqlite:///{folder / 'forum.db'}")
    with server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def server(limited: Server) -> Iterator[Server]:
    """That server, which must still be well when the test is over."""
    printed = limited.printed
    yield limited
    assert limited.ask(COUNT) == {"threads": {"totalCount": 0}}
    assert "Traceback" not in limited.printed.removeprefix(printed)


class Connection:
    """A bare connection to the server."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened

    def send(self, *parts: bytes) -> Connection:
        for part in parts:
            self.socket.sendall(part)
        return self

    def remainder(self) -> bytes:
        """Return all that the server sends until it closes the connection."""
        received = b""
        try:
            while data := self.socket.recv(65536):
                received += data
        except ConnectionError:
            pass
        return received


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], Connection]]:
    """Opens connections, which are closed when the test is over."""
    with ExitStack() as opened:

        def connect() -> Connection:
            address = ("127.0.0.1", server.port)
            return Connection(opened.enter_context(socket.create_connection(address, 20)))

        yield connect


Connect = Callable[[], Connection]


def refused(answer: bytes, status: int, code: str) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    assert b"application/json" in head
    assert b"connection: close" in head.lower()
    (error,) = json.loads(body)["errors"]
    assert error["extensions"]["code"] == code
    message: str = error["message"]
    return message


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"x-a: " + b"a" * 5000 + b"\r\n\r\n"],
        [HEAD, b"x-a: ", b"a" * 5000],
        [HEAD, *[b"x-a: %.90d\r\n" % number for number in range(90)]],
    ],
    ids=["at once", "one without an end", "many"],
)
def test_headers_past_limit_are_431(connect: Connect, parts: list[bytes]) -> None:
    connection = connect()
    try:
        connection.send(*parts)
    except ConnectionError:
        pass  # The server has closed it before all was sent.
    else:
        assert "4096 bytes" in refused(connection.remainder(), 431, "HEADERS_TOO_LARGE")


def test_address_past_limit_is_414(connect: Connect) -> None:
    answer = connect().send(b"GET /graphql?query=" + b"a" * 5000).remainder()
    assert "POST" in refused(answer, 414, "URI_TOO_LONG")


def test_headers_and_address_within_limit_are_accepted(server: Server) -> None:
    query = "{ __typename }".ljust(2000, "\t")
    for _ in range(2):
        answer = httpx.get(
            f"{server.url}/graphql", params={"query": query[:600]}, headers={"x-a": "a" * 1800}
        )
        assert answer.json()["data"] == {"__typename": "Query"}


def test_bodies_do_not_count_as_headers(server: Server) -> None:
    with httpx.Client() as client:
        for size in (100, 3000, 5000, 50_000, 500_000) * 3:
            body = {"query": "{ __typename }", "extensions": {"padding": "x" * size}}
            answer = client.post(f"{server.url}/graphql", json=body)
            assert answer.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\xfc", b"NONSENSE\r\n\r\n", b"\0" * 99]
)
def test_garbage_is_400_in_json(connect: Connect, garbage: bytes) -> None:
    refused(connect().send(garbage).remainder(), 400, "BAD_REQUEST")


def test_slow_headers_close_connection(connect: Connect) -> None:
    silent, blank, begun = (connect() for _ in range(3))
    blank.send(b"\r\n")
    begun.send(HEAD)
    for _ in range(4):  # A byte now and then does not help.
        begun.send(b"x")
        time.sleep(0.2)
    assert "1 seconds" in refused(begun.remainder(), 408, "REQUEST_TIMEOUT")
    assert silent.remainder() == b""
    blank.remainder()


def test_slow_bodies_close_connection(server: Server, connect: Connect) -> None:
    slow = [connect().send(HEAD + b"content-length: 50\r\n\r\n{") for _ in range(150)]
    # There are more of them than requests may be executed at once, and they take nobody's place.
    assert server.ask(COUNT) == {"threads": {"totalCount": 0}}
    for connection in slow:
        assert "1 seconds" in refused(connection.remainder(), 408, "REQUEST_TIMEOUT")


def test_unread_responses_close_connection(server: Server, connect: Connect) -> None:
    whole = len(httpx.get(f"{server.url}/introspection.json").content)
    requests = 40_000_000 // whole
    connection = connect()
    asking = b"GET /introspection.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * requests
    with suppress(ConnectionError):
        connection.socket.settimeout(15)
        connection.send(asking)
    time.sleep(4)
    assert len(connection.remainder()) < whole * requests


def test_slowly_read_responses_arrive_complete(server: Server, connect: Connect) -> None:
    whole = len(httpx.get(f"{server.url}/introspection.json").content)
    requests = 8_000_000 // whole
    connection = connect()
    asking = b"GET /introspection.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * requests
    connection.send(asking)
    received = 0
    while received < whole * requests:
        part = len(connection.socket.recv(1_000_000))
        assert part
        received += part
        time.sleep(0.05)


def test_unwanted_body_closes_connection(connect: Connect) -> None:
    head = b"POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\n"
    connection = connect().send(head)
    started = time.monotonic()
    try:
        while time.monotonic() < started + 20:
            connection.send(b"x")
            time.sleep(0.1)
    except ConnectionError:
        return
    pytest.fail("the connection is still open")


def test_timeout_starts_again_with_each_request(connect: Connect) -> None:
    request = b'%scontent-length: 26\r\n\r\n{"query":"{ __typename }"}' % HEAD
    connection = connect()
    for _ in range(5):
        connection.send(request[:-1])
        time.sleep(0.3)
        connection.send(request[-1:])
        answer = b""
        while b"__typename" not in answer:
            data = connection.socket.recv(65536)
            assert data, "the server has closed the connection"
            answer += data
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_body_past_limit_closes_connection(connect: Connect) -> None:
    connection = connect().send(HEAD + b"content-length: 99999999\r\n\r\n{")
    refused(connection.remainder(), 413, "CONTENT_TOO_LARGE")


async def ask(api: Api, query: str, **more: Any) -> httpx.Response:
    body = {"query": query, **more}
    return await api.http.post("/graphql", json=body, headers={"accept": GRAPHQL})


@pytest.mark.parametrize("nested", [False, True], ids=["at the root", "nested"])
async def test_request_past_its_time_is_stopped_with_its_statement(
    database: Database, nested: bool, request: pytest.FixtureRequest
) -> None:
    api = Api(database, execution_time=2)
    comment = await api.comment(await api.thread("Engines"))
    await slow_down(database)
    query = "query($id: ID!) { comment(id: $id) { message thread { title } } }" if nested else COUNT
    variables = {"id": comment} if nested else {}
    waiting = asyncio.create_task(ask(api, query, variables=variables))
    while not database.is_sqlite and running(request) != 1:
        assert not waiting.done()
        await asyncio.sleep(0.05)
    response = await waiting
    assert response.status_code == 503, response.text
    assert "retry-after" not in response.headers
    (error,) = response.json()["errors"]
    assert error["extensions"] == make_extensions("TIMEOUT")
    assert "2 seconds" in error["message"]
    if not database.is_sqlite:
        assert running(request) == 0
    # The connection is free again, and another request works.
    query = "query($id: ID!) { comment(id: $id) { id } }"
    answer = await ask(api, query, variables={"id": comment})
    assert answer.json()["data"] == {"comment": {"id": comment}}


async def test_mutation_past_its_time_changes_nothing(database: Database) -> None:
    patient = Database(database.url.render_as_string(False), patience=2)
    api = Api(patient, execution_time=1)
    thread = await api.thread("Engines")
    before = await api.contents()
    async with database.sessions() as session, session.begin():
        (await session.scalars(select(Thread))).one().title = "Looms"
        await session.flush()
        query = mutation("renameThread", "thread { title }")
        answer = await ask(api, query, variables={"i": {"threadId": thread, "title": "Mills"}})
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["extensions"] == make_extensions("TIMEOUT")
        await session.rollback()
    assert await api.contents() == before
    await patient.dispose()


async def test_requests_past_limit_are_503_with_retry_after(database: Database) -> None:
    api = Api(database, concurrent_requests=3, execution_time=2)
    await api.thread("Engines")
    await slow_down(database)
    waiting = [asyncio.create_task(ask(api, COUNT)) for _ in range(3)]
    await asyncio.sleep(0.5)
    for accept in ("application/json", GRAPHQL):
        response = await api.http.post(
            "/graphql", json={"query": "{ __typename }"}, headers={"accept": accept}
        )
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        (error,) = response.json()["errors"]
        assert error["extensions"] == make_extensions("OVERLOADED")
    assert [response.status_code for response in await asyncio.gather(*waiting)] == [503] * 3
    assert (await ask(api, "{ __typename }")).json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_list_of_documents_that_cannot_be_used_stops_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLIED_PERSISTED_DOCUMENTS", "none.json")
    done = Commands(capsys)("serve", "--port", str(free_port()), "--workers", workers)
    assert done.code == 2
    assert done.err.startswith(
        "error: TALLIED_PERSISTED_DOCUMENTS (Settings.persisted_documents): none.json cannot"
    )
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_limits_hold_with_several_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_HEADER_SIZE", "4096")
    with Server(tmp_path, f"sqlite:///{tmp_path / 'forum.db'}", "--workers", "2") as server:
        answer = httpx.get(f"{server.url}/health", headers={"x-a": "a" * 5000})
        assert answer.status_code == 431
        assert httpx.get(f"{server.url}/health").status_code == 200
