"""The API over WebSocket has the responses, limits and codes of HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
import strawberry
from graphql import get_introspection_query
from support.host import Gate
from support.sockets import site

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.execution.requested_fields import Info
from tallied.schema.build import merge_schemas

BEGIN = """mutation($i: CreateThreadInput!) { createThread(input: $i) {
             thread { id title wordCount commentCount } userErrors { field code message } } }"""
READ = """query($n: Int!) { threads(first: $n, orderBy: {field: CREATED_AT, direction: ASC}) {
            totalCount nodes { title wordCount comments(first: 5) { nodes { message } } } } }"""
PAGE = "query($n: Int!) { threads(first: $n) { totalCount } }"
COUNT = "{ threads(first: 1) { totalCount } }"


async def begin(socket: Any, title: str, message: str) -> Any:
    comment = {"authorName": "Ada", "message": message}
    return await socket(BEGIN, i={"title": title, "comment": comment})


async def test_responses_equal_http(database: Database) -> None:
    async with site(database) as server, server.socket() as socket:
        for title, message in (("Engines", "one two"), ("Looms", "three"), ("Mills", "four five")):
            created = await begin(socket, title, message)
            words = len(message.split())
            assert created["thread"] | {"id": 0} == {
                "id": 0,
                "title": title,
                "wordCount": words,
                "commentCount": 1,
            }
        rejected = await socket(BEGIN, i={"title": " "})
        assert [error["code"] for error in rejected["userErrors"]] == ["BLANK"]
        body = {"query": READ, "variables": {"n": 2}}
        answer = await socket.answer(body)
        assert answer == await server.post(body)
        assert answer["data"]["threads"]["totalCount"] == 3
        assert [node["wordCount"] for node in answer["data"]["threads"]["nodes"]] == [2, 1]


async def test_concurrent_operations_are_matched_by_id(database: Database) -> None:
    async with site(database) as server, server.socket() as socket:
        aliases = {f"id {number}": f"alias{number}" for number in range(20)}
        for id, alias in aliases.items():
            await socket.subscribe(f"{{ {alias}: __typename }}", id=id)
        reply: dict[str, list[Any]] = {id: [] for id in aliases}
        for _ in range(2 * len(aliases)):
            message = await socket.receive()
            reply[message["id"]].append(message)
        for id, alias in aliases.items():
            first, last = reply[id]
            assert first["payload"]["data"] == {alias: "Query"}
            assert last == {"type": "complete", "id": id}
        # An id that has been completed is free.
        await socket.subscribe("{ __typename }", id="id 7")
        assert (await socket.receive())["payload"]["data"] == {"__typename": "Query"}


def hashed(text: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"persistedQuery": {"version": 1, "sha256Hash": digest}}


LIMITS = {
    "document_size": 2000,
    "document_tokens": 300,
    "document_fields": 60,
    "document_depth": 5,
    "document_aliases": 3,
    "document_root_fields": 2,
    "document_fragments": 2,
    "document_directives": 2,
    "document_operations": 2,
    "operation_cost": 100,
    "page_size": 20,
}
BAD = {
    "an unknown hash": {"extensions": hashed("{ never: __typename }")},
    "another hash": {"query": COUNT, "extensions": hashed("{ other: __typename }")},
    "syntax": {"query": "{ threads("},
    "no such field": {"query": "{ thread { nope } }"},
    "two operations": {"query": "query A { __typename } query B { __typename }"},
    "no such operation": {"query": "query A { __typename }", "operationName": "B"},
    "a subscription": {"query": "subscription { __typename }"},
    "a variable": {"query": PAGE, "variables": {"n": "many"}},
    "a size": {"query": "{ threads(first: -1) { totalCount } }"},
    "a page": {"query": "{ threads(first: 21) { totalCount } }"},
    "an id": {"query": '{ thread(id: "x") { title } }'},
    "document_size": {"query": "{ __typename }" + " " * 2000},
    "document_tokens": {"query": "{" + " id" * 301 + "}"},
    "document_fields": {"query": "{ ...F } fragment F on Query {" + " __typename" * 70 + "}"},
    "document_depth": {"query": "{threads(first:1){nodes{comments(first:1){nodes{thread{id}}}}}}"},
    "document_aliases": {"query": "{ a: __typename b: __typename c: __typename d: __typename }"},
    "document_root_fields": {
        "query": "{ a: node(id: 1) {id} b: node(id: 1) {id} node(id: 1) {id}}"
    },
    "document_directives": {"query": "{ __typename @skip(if: 1) @skip(if: 1) @skip(if: 1) }"},
    "document_operations": {"query": "query A {id} query B {id} query C {id}"},
    "operation_cost": {"query": "{threads(first:20){nodes{comments(first:20){nodes{id}}}}}"},
}


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_limits_and_codes_equal_http(database: Database) -> None:
    async with site(database, settings=LIMITS) as server, server.socket() as socket:
        codes = set()
        for name, body in BAD.items():
            expected = await server.post(body)
            reply = await socket.answer(body)
            assert reply == expected, name
            codes |= {error["extensions"]["code"] for error in reply["errors"]}
            limit = {error["extensions"].get("limit") for error in reply["errors"]}
            assert limit == ({name} if name in LIMITS else {None}), name
        assert {"BAD_REQUEST", "LIMIT_EXCEEDED", "PERSISTED_QUERY_NOT_FOUND"} <= codes
        assert await socket("{ __typename }") == "Query"  # which no mistake has closed


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_persisted_documents_equal_http(database: Database, tmp_path: Path) -> None:
    listing = tmp_path / "documents.json"
    listing.write_bytes(orjson.dumps({"count": COUNT}))
    async with site(database) as server, server.socket() as socket:
        first = await socket.answer({"extensions": hashed(COUNT)})
        assert first["errors"][0]["extensions"] == make_extensions("PERSISTED_QUERY_NOT_FOUND")
        for body in ({"query": COUNT, "extensions": hashed(COUNT)}, {"extensions": hashed(COUNT)}):
            assert (await socket.answer(body))["data"] == {"threads": {"totalCount": 0}}
        assert "data" in await server.post({"extensions": hashed(COUNT)})
    settings = {"persisted_documents": str(listing), "only_persisted": True, "introspection": False}
    async with site(database, settings=settings) as server, server.socket() as socket:
        assert "data" in await socket.answer({"documentId": "count"})
        for query in ("{ __typename }", get_introspection_query()):
            (error,) = (await socket.answer({"query": query}))["errors"]
            assert error["extensions"] == make_extensions("DOCUMENT_NOT_ALLOWED")


@strawberry.type
class Query:
    @strawberry.field
    def text(self, size: int) -> str:
        return "x" * size

    @strawberry.field
    def fail(self) -> str:
        raise ValueError("s3cret")

    @strawberry.field
    async def wait(self, info: Info) -> str:
        await asyncio.sleep(3600)
        return "never"


SCHEMA = merge_schemas(Query)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_size_timeout_and_faults_equal_http(database: Database) -> None:
    settings = {"answer_size": 70_000, "execution_time": 1}
    async with (
        site(database, schema=SCHEMA, settings=settings) as server,
        server.socket() as socket,
    ):
        large = {"query": "{ text(size: 70000) }"}
        assert await socket.answer(large) == await server.post(large)
        assert len(await socket("{ text(size: 69000) }")) == 69_000
        (error,) = (await socket.answer({"query": "{ wait }"}))["errors"]
        assert error["extensions"] == make_extensions("TIMEOUT")
        assert "1 seconds" in error["message"]
        failed = await socket.answer({"query": "{ __typename fail }"})
        (error,) = failed["errors"]
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert "s3cret" not in str(failed)
        assert await socket("{ __typename }") == "Query"


@pytest.mark.slow
async def test_transports_share_operation_limit(database: Database) -> None:
    gate = Gate("create_thread")
    options: dict[str, Any] = {"hooks": [gate], "settings": {"concurrent_requests": 1}}
    async with site(database, **options) as server, server.socket() as socket:
        id = await socket.subscribe(BEGIN, i={"title": "Engines"})
        await gate.arrived.wait()
        reply = await server.post({"query": "{ __typename }"})
        assert reply["errors"][0]["extensions"] == make_extensions("OVERLOADED")
        assert await socket.answer({"query": "{ __typename }"}) == reply
        async with server.socket(init=False) as other:
            await other.send("connection_init")
            assert (await other.closed())[0] == 1013  # "Try Again Later"
        gate.open.set()
        assert (await socket.receive())["payload"]["data"]["createThread"]["userErrors"] == []
        assert await socket.receive() == {"type": "complete", "id": id}
        assert "data" in await server.post({"query": "{ __typename }"})
