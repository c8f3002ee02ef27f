"""Subscriptions of a host, served over WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from sqlalchemy import select
from support.host import ADA, HEADER, get_viewer
from support.sockets import Socket, site
from support.waiting import eventually

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.errors import NotFound, Unauthenticated
from tallied.execution.requested_fields import Info
from tallied.models import Thread
from tallied.schema.build import merge_schemas

ended: list[str] = []


@strawberry.type
class Tick:
    number: int

    @strawberry.field
    def viewer(self, info: Info) -> str | None:
        return info.context.viewer.name if info.context.viewer else None

    @strawberry.field
    async def titles(self, info: Info) -> list[str]:
        rows = await info.context.read(lambda it: it.execute(select(Thread.title)))
        return [row.title for row in rows]

    @strawberry.field
    async def wait(self, seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return True

    @strawberry.field
    def text(self, size: int) -> str:
        return "x" * size


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, info: Info, to: int, pause: float = 0) -> AsyncGenerator[Tick, None]:
        try:
            for number in range(to):
                yield Tick(number=number)
                await asyncio.sleep(pause)
        finally:
            ended.append(f"ticks to {to}")

    @strawberry.subscription
    async def dry(self, secret: bool) -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("s3cret") if secret else NotFound("The well has run dry.")


SCHEMA = merge_schemas(subscription=Subscription)
FOREVER = "subscription { ticks(to: 1000000, pause: 0.01) { number } }"


@pytest.fixture(autouse=True)
def forget() -> None:
    ended.clear()


async def numbers(socket: Socket, id: str) -> list[Any]:
    """Return the data of a subscription's events, to its end."""
    reply = []
    while (message := await socket.receive())["type"] == "next":
        assert message["id"] == id
        reply.append(message["payload"])
    assert message == {"type": "complete", "id": id}
    return reply


async def refused(socket: Socket, id: str) -> dict[str, Any]:
    while (message := await socket.receive())["type"] == "next":
        pass
    assert (message["type"], message["id"]) == ("error", id)
    (error,) = message["payload"]
    return {"message": error["message"], **error["extensions"]}


async def test_each_event_is_executed_for_its_viewer(database: Database) -> None:
    value = {HEADER: json.dumps([ADA.subject, ADA.name, False])}
    query = "subscription($n: Int!) { ticks(to: $n) { number viewer titles } }"
    async with (
        site(database, schema=SCHEMA, get_viewer=get_viewer) as server,
        server.socket(additional_headers=value) as socket,
    ):
        await socket('mutation { createThread(input: {title: "Engines"}) { thread { id } } }')
        reply = await numbers(socket, await socket.subscribe(query, n=3))
        assert [item["data"]["ticks"] for item in reply] == [
            {"number": number, "viewer": "Ada", "titles": ["Engines"]} for number in range(3)
        ]
        assert "cost" in reply[0]["extensions"]
    assert ended == ["ticks to 3"]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_subscription_ends_with_client(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server, server.socket() as socket:
        id = await socket.subscribe(FOREVER)
        await socket.receive()
        await socket.send("complete", id=id)
        await eventually(lambda: ended)
        other = await socket.subscribe(FOREVER, id="other")
        while (await socket.receive())["id"] != other:
            pass
        await socket.connection.close()
        async with asyncio.timeout(20):
            while len(ended) < 2:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_limits_apply_to_document_and_events(database: Database) -> None:
    settings = {"execution_time": 1, "answer_size": 70_000, "document_depth": 5}
    async with (
        site(database, schema=SCHEMA, settings=settings) as server,
        server.socket() as socket,
    ):
        deep = "subscription { ticks(to: 1) { number { a { b { c { d { e } } } } } } }"
        assert (await refused(socket, await socket.subscribe(deep)))["limit"] == "document_depth"
        bad = await refused(socket, await socket.subscribe("subscription { ticks { number } }"))
        assert bad["code"] == "GRAPHQL_VALIDATION_FAILED"
        slow = "subscription { ticks(to: 2) { wait(seconds: 60) } }"
        for reply in await numbers(socket, await socket.subscribe(slow)):
            assert reply["errors"][0]["extensions"] == make_extensions("TIMEOUT")
        large = "subscription { ticks(to: 2) { text(size: 70000) } }"
        for reply in await numbers(socket, await socket.subscribe(large)):
            assert reply["errors"][0]["extensions"]["limit"] == "answer_size"
        # Longer than one operation may take, but no event does.
        long = "subscription { ticks(to: 4, pause: 0.4) { number } }"
        assert len(await numbers(socket, await socket.subscribe(long))) == 4


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_error_of_event_source_is_reported_once(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server, server.socket() as socket:
        dry = await refused(socket, await socket.subscribe("subscription { dry(secret: false) }"))
        assert dry == {"message": "The well has run dry.", **make_extensions("NOT_FOUND")}
        masked = await refused(socket, await socket.subscribe("subscription { dry(secret: true) }"))
        assert masked["code"] == "INTERNAL_SERVER_ERROR"
        assert "s3cret" not in str(masked)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_subscription_ends_with_authentication(database: Database) -> None:
    value = True

    def get_viewer(_: object) -> None:
        if not value:
            raise Unauthenticated("The session is over; sign in again.")

    async with (
        site(database, schema=SCHEMA, get_viewer=get_viewer) as server,
        server.socket() as socket,
    ):
        await socket.subscribe(FOREVER)
        await socket.receive()
        value = False
        assert await socket.closed() == (4403, "The session is over; sign in again.")
    assert ended == ["ticks to 1000000"]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_subscriptions_are_not_for_http(database: Database) -> None:
    async with site(database, schema=SCHEMA) as server:
        for reply in (
            await server.post({"query": FOREVER}),
            (await server.http.get("/graphql", params={"query": FOREVER})).json(),
        ):
            (error,) = reply["errors"]
            assert error["extensions"] == make_extensions("BAD_REQUEST")
            assert "graphql-transport-ws" in error["message"]
