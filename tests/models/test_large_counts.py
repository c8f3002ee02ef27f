"""Counts past 2**31 - 1 are stored, served, ordered and paged through."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import strawberry
from sqlalchemy import select, update
from support.host import Client, Host, key
from support.sockets import site

from tallied.database import Database
from tallied.execution.requested_fields import Info
from tallied.models import Comment
from tallied.models import Thread as ThreadModel
from tallied.models.counters import counters
from tallied.schema.build import merge_schemas
from tallied.schema.types import Thread

WORDS = 2_147_483_640
"""Of one comment: 7 fewer than 32 bits hold."""

LARGE = {"Looms": WORDS + 3, "Mills": 2 * WORDS + 3, "Wheels": 3 * WORDS + 3, "Small": 2}

ADD = """mutation($i: AddCommentInput!) { addComment(input: $i) {
    comment { id wordCount } thread { wordCount author { wordCount } } userErrors { code } } }"""
PAGE = """query($after: String, $before: String, $first: Int, $last: Int, $d: OrderDirection!) {
    threads(first: $first, last: $last, after: $after, before: $before,
            orderBy: {field: WORD_COUNT, direction: $d}) {
        edges { cursor node { title wordCount } } pageInfo { hasNextPage hasPreviousPage } } }"""


@pytest.fixture
async def host(database: Database) -> Host:
    """Ada's threads, three of which have more words than 32 bits hold."""
    host = Host(database, settings={"guests": "write"})
    for title, comments in (("Looms", 1), ("Mills", 2), ("Wheels", 3), ("Small", 0)):
        thread = await host.ada.thread(title)
        for _ in range(comments):
            comment = await host.ada.comment(thread, "as many")
            await claim_words(database, comment)
        await host.ada.comment(thread, "two more words" if comments else "just two")
    await rebuild(database)
    return host


async def claim_words(database: Database, comment: str) -> None:
    """Store a number of words that no test can write."""
    statement = update(Comment.__table__).where(Comment.__table__.c.id == key(comment))
    async with database.engine.begin() as connection:
        await connection.execute(statement.values(word_count=WORDS))


async def rebuild(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.run_sync(counters.rebuild)


async def assert_exact(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda it: list(counters.verify(it, derived=False))) == []


async def read_pages(ask: Client, direction: str, **page: Any) -> list[tuple[str, int]]:
    """Return every thread by its words, two at a time, from either end."""
    rows: list[tuple[str, int]] = []
    size = "first" if "first" in page else "last"
    edge, place = ("after", -1) if size == "first" else ("before", 0)
    while True:
        result = await ask(PAGE, d=direction, **page)
        part = [(item["node"]["title"], item["node"]["wordCount"]) for item in result["edges"]]
        rows = rows + part if size == "first" else part + rows
        info = result["pageInfo"]
        if not info["hasNextPage" if size == "first" else "hasPreviousPage"]:
            return rows
        page[edge] = result["edges"][place]["cursor"]


async def test_page_with_large_counts_is_served(host: Host) -> None:
    result = await host.guest(PAGE, first=9, d="DESC")
    assert {item["node"]["title"]: item["node"]["wordCount"] for item in result["edges"]} == LARGE
    author = await host.ada("{ viewer { author { id wordCount commentCount } } }")
    total = 6 * WORDS + 3 * 3 + 2
    expected = {"id": author["author"]["id"], "wordCount": total, "commentCount": 10}
    assert author == {"author": expected}
    query = "query($id: ID!) { author(id: $id) { id wordCount commentCount } }"
    assert await host.guest(query, id=expected["id"]) == expected
    await assert_exact(host.database)


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", ["first", "last"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_large_counts_are_paged_through(host: Host, direction: str, size: str) -> None:
    ordered = sorted(LARGE.items(), key=lambda row: row[1], reverse=direction == "DESC")
    assert await read_pages(host.guest, direction, **{size: 1}) == ordered
    assert await read_pages(host.guest, direction, **{size: 3}) == ordered


async def test_counter_passes_32_bits(host: Host) -> None:
    query = 'query { threads(first: 9, filterBy: {titleContains: "looms"}) { nodes { id } } }'
    (thread,) = (await host.guest(query))["nodes"]
    words = "a b c d e f g h i j"
    added = await host.ada(ADD, i={"threadId": thread["id"], "message": words})
    assert added["thread"] == {
        "wordCount": WORDS + 13,
        "author": {"wordCount": 6 * WORDS + 3 * 3 + 2 + 10},
    }
    deleted = await host.moderator.do(
        "deleteComment", "thread { wordCount }", commentId=added["comment"]["id"]
    )
    assert deleted["thread"] == {"wordCount": WORDS + 3}
    await assert_exact(host.database)


async def test_subscription_has_large_counts(host: Host) -> None:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def longest(self, info: Info) -> AsyncGenerator[Thread, None]:
            columns = (ThreadModel.id, ThreadModel.title, ThreadModel.word_count)
            query = select(*columns).order_by(ThreadModel.word_count.desc())
            for row in await info.context.read(lambda it: it.execute(query)):
                yield Thread.from_record(row._asdict())

    schema = merge_schemas(subscription=Subscription)
    async with site(host.database, schema=schema) as server, server.socket() as socket:
        await socket.subscribe("subscription { longest { title wordCount } }")
        events = [await socket.receive() for _ in LARGE]
    rows = [event["payload"]["data"]["longest"] for event in events]
    assert [(row["title"], row["wordCount"]) for row in rows] == sorted(
        LARGE.items(), key=lambda row: -row[1]
    )
