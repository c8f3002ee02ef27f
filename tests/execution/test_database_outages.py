"""Responses to clients while the database cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import strawberry
from sqlalchemy import event, text
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route
from support.api import Api, mutation
from support.outages import execute, proxied
from support.sockets import site

from tallied.auth.viewer import Viewer
from tallied.benchmarks.faulty_proxy import FaultyProxy
from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.errors import Unavailable
from tallied.execution.requested_fields import Info
from tallied.schema.build import merge_schemas
from tallied.settings import Settings
from tallied.transport.http_endpoint import GraphQLEndpoint

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

GRAPHQL = "application/graphql-response+json"
ADD = mutation("addComment", "comment { id }")
BOTH = """mutation($i: AddCommentInput!) {
  a: addComment(input: $i) { comment { id } } b: addComment(input: $i) { comment { id } } }"""


@dataclass
class Outage:
    """An API whose database is behind a proxy."""

    api: Api
    proxy: FaultyProxy

    async def ask(self, query: str, accept: str = GRAPHQL, **variables: Any) -> httpx.Response:
        return await self.api.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers={"accept": accept}
        )


@asynccontextmanager
async def outage(url: str) -> AsyncIterator[Outage]:
    async with proxied(url, patience=0.3) as (proxy, database):
        api = Api(database)
        yield Outage(api, proxy)


@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
async def test_query_without_database_is_503(
    with_tables: None, empty_url: str, accept: str
) -> None:
    async with outage(empty_url) as it:
        it.proxy.shut()
        response = await it.ask("{ threads { totalCount } }", accept)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["data"] is None
        (error,) = response.json()["errors"]
        assert error["extensions"] == make_extensions("UNAVAILABLE")
        assert error["message"] == (
            "The database cannot be reached at present; send the same request again later."
        )
        it.proxy.reopen()
        response = await it.ask("{ threads { totalCount } }", accept)
        assert response.json()["data"] == {"threads": {"totalCount": 0}}


async def test_root_field_that_needs_no_database_is_answered(
    with_tables: None, empty_url: str
) -> None:
    async with outage(empty_url) as it:
        it.proxy.shut()
        response = await it.ask("{ limits { pageSize } threads { totalCount } }")
        assert response.status_code == 294
        assert "retry-after" not in response.headers
        assert response.json()["data"] == {"limits": {"pageSize": 100}, "threads": None}


async def test_mutation_without_database_is_503(with_tables: None, empty_url: str) -> None:
    async with outage(empty_url) as it:
        thread = await it.api.thread("Engines")
        it.proxy.shut()
        response = await it.ask(BOTH, i={"threadId": thread, "authorName": "A", "message": "m"})
        assert response.status_code == 503
        errors = response.json()["errors"]
        assert [error["path"] for error in errors] == [["a"], ["b"]]
        assert {error["extensions"]["code"] for error in errors} == {"UNAVAILABLE"}
        it.proxy.reopen()
    assert execute(empty_url, "SELECT count(*) FROM tallied_comment") == [(0,)]


async def test_commit_without_answer_has_own_code(with_tables: None, empty_url: str) -> None:
    async with outage(empty_url) as it:
        thread = await it.api.thread("Engines", "one two")
        writer = it.api.database._writer.sync_engine
        event.listen(writer, "commit", lambda _: it.proxy.stall())
        sent = {"threadId": thread, "authorName": "A", "message": "three more words"}
        response = await it.ask(ADD, i=sent)
        assert response.status_code == 294
        assert response.json()["data"] == {"addComment": None}
        (error,) = response.json()["errors"]
        assert error["path"] == ["addComment"]
        assert error["extensions"] == make_extensions("OUTCOME_UNKNOWN")
        assert "look before you send it again" in error["message"]


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def threads_added(self, info: Info) -> AsyncGenerator[int, None]:
        """Ask the database in the host's own way."""
        while True:
            async with info.context.database.engine.connect() as connection:
                yield await connection.scalar(text("SELECT count(*) FROM tallied_thread"))
            await asyncio.sleep(0.05)


async def test_outage_ends_subscription(with_tables: None, empty_url: str) -> None:
    schema = merge_schemas(subscription=Subscription)
    async with (
        proxied(empty_url, patience=0.3) as (proxy, database),
        site(database, schema=schema) as server,
        server.socket() as socket,
    ):
        await socket.subscribe("subscription { threadsAdded }")
        assert (await socket.receive())["payload"]["data"] == {"threadsAdded": 0}
        proxy.shut()
        while (message := await socket.receive())["type"] == "next":
            pass
    assert message["type"] == "error"
    (error,) = message["payload"]
    assert error["extensions"] == make_extensions("UNAVAILABLE")


async def test_viewer_without_database_is_503(with_tables: None, empty_url: str) -> None:
    async with proxied(empty_url, patience=0.3) as (proxy, database):

        async def get_viewer(_: HTTPConnection) -> Viewer | None:
            async with database.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
            return None

        endpoint = GraphQLEndpoint(database, Settings(), get_viewer=get_viewer)
        app = Starlette()
        app.add_route("/graphql", endpoint)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t.test") as client:
            proxy.shut()
            response = await client.post("/graphql", json={"query": "{ limits { pageSize } }"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["errors"][0]["extensions"] == make_extensions("UNAVAILABLE")


async def test_outage_after_change_of_same_request_is_no_503(database: Database) -> None:
    @strawberry.type
    class Mutation:
        @strawberry.mutation
        async def like(self) -> int:
            raise Unavailable("The host's database cannot be used.")

    schema = merge_schemas(mutation=Mutation)
    endpoint = GraphQLEndpoint(database, Settings(guests="moderate"), schema=schema)
    app = Starlette(routes=[Route("/graphql", endpoint)])
    transport = httpx.ASGITransport(app)
    query = 'mutation { createThread(input: {title: "Engines"}) { thread { title } } like }'
    async with httpx.AsyncClient(transport=transport, base_url="http://tallied.test") as http:
        response = await http.post("/graphql", json={"query": query})
    assert response.status_code == 200
    assert "Retry-After" not in response.headers
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
