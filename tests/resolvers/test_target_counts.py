"""The counts of many objects of the host, by the API and by Python."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.host import ADA, Discreet, Host, numbered_titles
from support.plans import PlannedApi

from tallied.database import Database
from tallied.errors import BadUserInput, UnknownTargetType
from tallied.host.targets import Target
from tallied.resolvers import views
from tallied.resolvers.view_types import TargetCounts

COUNTS = """query($targets: [TargetInput!]!) { counts(targets: $targets) {
  target { type key } commentCount wordCount lastCommentAt } }"""
ARTICLES, FILMS = (Target(name, numbered_titles) for name in ("article", "film"))


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, policy=Discreet(), targets=[ARTICLES, FILMS])


def about(type: str, key: object) -> dict[str, str]:
    return {"type": type, "key": str(key)}


async def fill(host: Host) -> list[dict[str, str]]:
    """Write two discussions, and a hidden one; return their objects, and others."""
    targets = [about("article", 1), about("film", 1), about("article", 2)]
    for number, target in enumerate(targets, 1):
        thread = (await host.ada.do("threadFor", "thread { id }", target=target))["thread"]["id"]
        for _ in range(number):
            await host.bob.comment(thread, "one two")
    await host.moderator.do("renameThread", "thread { id }", threadId=thread, title="Secret plans")
    return [*targets, about("article", 3), about("film", "x" * 300), about("film", "\0")]


def numbers(counts: Any) -> list[tuple[int, int, bool]]:
    return [(row["commentCount"], row["wordCount"], bool(row["lastCommentAt"])) for row in counts]


async def test_counts_are_in_order_and_hidden_ones_are_zero(host: Host, statements: Any) -> None:
    targets = await fill(host)
    none = (0, 0, False)
    expected = [(1, 2, True), (2, 4, True), none, none, none, none]
    planned = PlannedApi(host.database, host.discussion.rules)
    requested = [*targets, targets[1], targets[1]]
    counts = await host.guest(COUNTS, targets=requested)
    assert numbers(counts) == [*expected, expected[1], expected[1]]
    assert [row["target"] for row in counts] == requested
    hidden, missing = counts[2:4]
    assert {**hidden, "target": None} == {**missing, "target": None}
    assert numbers(await host.moderator(COUNTS, targets=targets))[2] == (3, 6, True)
    compiled = await planned(COUNTS, targets=requested)
    assert compiled == await planned.by_core(COUNTS, targets=requested)
    assert compiled["data"]["counts"] == counts
    assert planned.counts.executed == 1
    assert compiled["extensions"]["cost"]["nodes"] == len(requested)

    access = host.discussion.access(None)
    pairs = [(target["type"], target["key"]) for target in requested]
    async with host.database.read() as connection:
        rows = await views.read_counts(connection, access, pairs)
        as_host = await views.read_counts(connection, host.discussion.access_as_host(), pairs[2:3])
    assert [(row.target_type, row.target_id) for row in rows] == pairs
    assert [(row.comment_count, row.word_count, bool(row.last_comment_at)) for row in rows] == [
        *expected,
        expected[1],
        expected[1],
    ]
    assert (as_host[0].comment_count, rows[2]) == (3, TargetCounts("article", "2", 0, 0, None))
    for size in (1, 10, 100):
        many = [about(("article", "film")[number % 2], number) for number in range(size)]
        for client in (host.guest, planned):
            await client(COUNTS, targets=many)
            with statements() as executed:
                await client(COUNTS, targets=many)
            assert executed.verbs == ["SELECT tallied_thread"]
    with statements() as executed:
        assert await host.guest(COUNTS, targets=[]) == []
    assert executed.verbs == []


async def test_wrong_targets_are_refused_in_one_sentence(host: Host) -> None:
    many = [about("article", number) for number in range(101)]
    for targets, code, field, sentence in (
        (many, "BAD_USER_INPUT", "targets", "targets has 101 objects; ask for at most 100 at once"),
        ([many[0], about("song", 1)], "UNKNOWN_TARGET_TYPE", "targets[1].type", "article, film"),
    ):
        for _ in range(3):
            error = await host.guest.error(COUNTS, targets=targets)
            assert (error["code"], error["field"]) == (code, field)
            assert sentence in error["message"]
        pairs = [(target["type"], target["key"]) for target in targets]
        async with host.database.read() as connection:
            with pytest.raises((BadUserInput, UnknownTargetType)) as refused:
                await views.read_counts(connection, host.discussion.access(ADA), pairs)
            assert str(refused.value) == error["message"]


@pytest.mark.sqlite
async def test_counts_by_get_are_cacheable(host: Host) -> None:
    targets = await fill(host)
    query = {"query": COUNTS, "variables": json.dumps({"targets": targets[:4]})}
    first = await host.guest.http.get("/graphql", params=query)
    assert first.headers["cache-control"] == "public, no-cache"
    tag = {"if-none-match": first.headers["etag"]}
    assert (await host.guest.http.get("/graphql", params=query, headers=tag)).status_code == 304
    thread = (await host.ada.do("threadFor", "thread { id }", target=targets[3]))["thread"]["id"]
    assert (await host.guest.http.get("/graphql", params=query, headers=tag)).status_code == 304
    await host.ada.comment(thread)
    assert (await host.guest.http.get("/graphql", params=query, headers=tag)).status_code == 200
