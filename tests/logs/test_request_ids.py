"""Request ids in responses and in log lines."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.sockets import PROTOCOL, Serving, opened

from tallied.asgi import create_app
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.logs.request_ids import (
    RequestIdFilter,
    RequestIds,
    choose_request_id,
    current_request_id,
)
from tallied.settings import Settings

NEW_ID = re.compile("[0-9a-f]{32}")
SAFE = [
    "7",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "host/Xy_1-000003",
    "1-67891233:a@b+c=",
    "x" * 128,
]
UNSAFE = ["", " ", "a b", "x" * 129, "a\tb", 'a"b', "a;b", "a\\nb", "\u00e9", "<b>", "${jndi:x}"]
WRONG = {"query": "{ unknown }"}

pytestmark = pytest.mark.sqlite


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The records of the log, with ids."""
    id_filter = RequestIdFilter()
    caplog.handler.addFilter(id_filter)
    caplog.set_level(logging.INFO, "tallied")
    yield caplog
    caplog.handler.removeFilter(id_filter)


def ids(records: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.request_id for record in records.records if record.name == name]  # type: ignore[attr-defined]


@pytest.mark.parametrize("id", SAFE)
def test_safe_request_id_is_kept(id: str) -> None:
    assert choose_request_id([(b"host", b"x"), (b"x-request-id", id.encode())]) == id


@pytest.mark.parametrize("id", UNSAFE)
def test_unsafe_request_id_is_replaced(id: str) -> None:
    new_ids = {choose_request_id([(b"x-request-id", id.encode())]) for _ in range(3)}
    assert len(new_ids) == 3
    assert all(NEW_ID.fullmatch(new_id) for new_id in new_ids)


def test_two_ids_are_replaced() -> None:
    assert NEW_ID.fullmatch(choose_request_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")]))


async def test_every_answer_has_id(database: Database, records: pytest.LogCaptureFixture) -> None:
    settings = Settings(guests="write", header_size=2048, allowed_hosts="a.test")
    app = create_app(settings, database)
    own, name = {"host": "a.test"}, "x-request-id"
    async with (
        Serving(app, settings) as server,
        httpx.AsyncClient(base_url=f"http://{server.host}") as client,
    ):
        requests: list[tuple[int, str, str, dict[str, str]]] = [
            (200, "GET", "/health", {}),
            (200, "GET", "/schema.graphql", own),
            (404, "GET", "/nowhere", own),
            (405, "DELETE", "/graphql", own),
            (415, "POST", "/graphql", own),
            (400, "POST", "/graphql", {}),  # another name
            (403, "POST", "/graphql", {**own, "origin": "https://evil.example"}),
            (403, "OPTIONS", "/graphql", PREFLIGHT),
            (431, "GET", "/graphql", {**own, "x-long": "x" * 4000}),
            (400, "GET", "/graphql", {"host": "a/b"}),
        ]
        for place, (status, method, path, headers) in enumerate(requests):
            for own_id in ({name: f"id-{place}"}, {}):
                response = await client.request(method, path, headers={**own_id, **headers})
                assert response.status_code == status, path
                (id,) = response.headers.get_list(name)
                assert id == f"id-{place}" if own_id else NEW_ID.fullmatch(id)
                logged = ids(records, "tallied.access") + ids(records, "tallied.api")
                assert id in logged, path


PREFLIGHT = {"origin": "https://evil.example", "access-control-request-method": "POST"}


async def test_pipelined_requests_have_own_ids(database: Database) -> None:
    """uvicorn begins the next request in the context of the one before it."""

    async def show(_: Request) -> JSONResponse:
        return JSONResponse(current_request_id())

    app = Starlette(routes=[Route("/", show)], middleware=[Middleware(RequestIds)])
    async with Serving(app, Settings()) as server:
        host, port = server.host.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        first = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n"
        last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        writer.write(first + last)
        answers = (await reader.read()).decode()
        writer.close()
    assert answers.count('"first"') == answers.lower().count("x-request-id: first") == 1
    ((id, body),) = re.findall(r"x-request-id: ([0-9a-f]{32}).*?\"(\w+)\"", answers, re.DOTALL)
    assert id == body


async def test_websocket_has_id_of_its_handshake(
    database: Database, records: pytest.LogCaptureFixture
) -> None:
    settings = Settings()
    async with Serving(create_app(settings, database), settings) as server:
        headers = {"x-request-id": "socket-3"}
        options: dict[str, Any] = {"additional_headers": headers, "subprotocols": [PROTOCOL]}
        async with opened(f"ws://{server.host}/graphql", **options) as socket:
            response = socket.connection.response
            assert response is not None
            assert response.headers.get_all("x-request-id") == ["socket-3"]
            for _ in range(2):
                answer = await socket.answer(WRONG)
                assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert ids(records, "tallied.api")[:2] == ["socket-3", "socket-3"]
    (access,) = (record for record in records.records if record.name == "tallied.access")
    assert access.getMessage().startswith('127.0.0.1 "WEBSOCKET /graphql" 101 in ')


@pytest.mark.parametrize("outer", [True, False])
async def test_host_has_ids_in_lines_and_may_have_them_in_answers(
    database: Database, records: pytest.LogCaptureFixture, outer: bool
) -> None:
    app = Starlette(middleware=[Middleware(RequestIds)] if outer else [])
    Discussion(database).install(app, "/discussion")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as client:
        headers = {"x-request-id": "host-9"}
        response = await client.post("/discussion/graphql", json=WRONG, headers=headers)
    assert ids(records, "tallied.api") == ["host-9"]
    assert response.headers.get_list("x-request-id") == (["host-9"] if outer else [])
    assert ids(records, "tallied.access") == []
