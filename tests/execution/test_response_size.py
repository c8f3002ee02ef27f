"""The size of responses is bounded, in memory too; large JSON is built in slices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from graphql import GraphQLError
from support.api import Api

from tallied.concurrency import scheduler
from tallied.database import Database, UnitOfWork
from tallied.error_codes import make_extensions
from tallied.errors import BadUserInput
from tallied.execution import context, response_size
from tallied.execution.errors import report_errors
from tallied.models import Comment, Thread

LEAST = 65_536
OURS = {"Accept": "application/graphql-response+json"}
MESSAGES = "{ threads(first: 99) { nodes { comments(first: 99) { nodes { message } } } } }"


async def fill(database: Database, threads: int, comments: int, message: str) -> None:
    """Make so many threads, each with so many comments of that message."""

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(
            Thread(
                title=f"T{number}",
                comments=[Comment(author_name="Ada", message=message) for _ in range(comments)],
            )
            for number in range(threads)
        )

    await database.write(work)


async def ask(api: Api, query: str, **variables: Any) -> httpx.Response:
    body = {"query": query, "variables": variables}
    return await api.http.post("/graphql", json=body, headers=OURS)


def refused(answer: httpx.Response, status: int = 422) -> str:
    """Return the one error of a response without data."""
    assert answer.status_code == status
    body = answer.json()
    (error,) = body.pop("errors")
    assert body == {}
    message: str = error.pop("message")
    limit = {"limit": "answer_size", "maximum": LEAST}
    assert error == {"extensions": make_extensions("LIMIT_EXCEEDED", limit)}
    return message


@pytest.mark.parametrize("selection", ["message", "messageHtml"])
async def test_too_large_response_names_limit_and_remedy(
    database: Database, selection: str
) -> None:
    await fill(database, 2, 4, "word " * 1999)
    query = MESSAGES.replace("message", selection)
    message = refused(await ask(Api(database, answer_size=LEAST), query))
    assert message == (
        "The answer would have more than 65536 bytes; ask for smaller pages or fewer fields."
    )
    assert len((await ask(Api(database), query)).json()["data"]["threads"]["nodes"]) == 2


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("text", ['plain "quoted" \n', "\N{GREEK SMALL LETTER ALPHA}\N{EURO SIGN}"])
async def test_limit_counts_sent_bytes(database: Database, text: str) -> None:
    await fill(database, 3, 3, text * 2000)
    whole = await ask(Api(database), MESSAGES)
    count = len(whole.content)
    assert count > LEAST
    assert (await ask(Api(database, answer_size=count), MESSAGES)).content == whole.content
    assert (await ask(Api(database, answer_size=count - 1), MESSAGES)).status_code == 422


async def test_too_large_response_stops_reading(
    database: Database, monkeypatch: pytest.MonkeyPatch, statements: Callable[[], Any]
) -> None:
    monkeypatch.setattr(context, "MAX_MESSAGES", 8)
    await fill(database, 12, 3, "x" * 9000)
    query = MESSAGES.replace("first: 99) { nodes { m", "first: 3) { nodes { m")
    with statements() as all_of_it:
        answer = await ask(Api(database), query)
    nodes = answer.json()["data"]["threads"]["nodes"]
    assert [len(node["comments"]["nodes"]) for node in nodes] == [3] * 12
    assert len(all_of_it) == 1 + 6  # two threads in each: 2 x (3 + 1) rows
    with statements() as some_of_it:
        refused(await ask(Api(database, answer_size=LEAST), query))
    assert len(some_of_it) == 1 + 2  # 12 messages of 9,000 are past the limit
    with statements() as numbers:
        await ask(Api(database), query.replace("message", "wordCount"))
    assert len(numbers) == 1 + 1


async def test_change_with_too_large_payload_is_reported_as_made(database: Database) -> None:
    await fill(database, 1, 9, "x" * 9000)
    api = Api(database, answer_size=LEAST)
    (thread,) = (await api("{ threads(first: 1) { nodes { id } } }"))["nodes"]
    answer = await ask(
        api,
        """mutation($t: ID!) {
          a: renameThread(input: {threadId: $t, title: "New"}) { thread {
            comments(first: 9) { nodes { message } } } }
          b: renameThread(input: {threadId: $t, title: "Never"}) { thread { title } } }""",
        t=thread["id"],
    )
    message = refused(answer, 500)
    assert message.endswith("; changes made before: 1. Do not send those again.")
    (thread,) = (await api("{ threads(first: 1) { nodes { title } } }"))["nodes"]
    assert thread == {"title": "New"}


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_large_response_is_same_in_slices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, 3, 9, 'some "words" \n\N{EURO SIGN} ' * 700)
    api = Api(database)
    at_once = await ask(api, MESSAGES)
    monkeypatch.setattr(response_size, "MAX_INLINE_CHARACTERS", 0)
    assert (await ask(api, MESSAGES)).content == at_once.content
    monkeypatch.setattr("tallied.transport.caching.MAX_INLINE_BYTES", 0)
    got = await api.http.get("/graphql", params={"query": MESSAGES})
    assert got.json() == at_once.json()
    value = {"If-None-Match": got.headers["etag"]}
    again = await api.http.get("/graphql", params={"query": MESSAGES}, headers=value)
    assert (again.status_code, again.content) == (304, b"")


async def test_json_of_large_response_is_made_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    monkeypatch.setattr(response_size, "MAX_INLINE_CHARACTERS", 0)
    body = {"data": {"a": [{"b": [1, None, "\N{EURO SIGN}"]}, [], {}] * 9, "c": {"d": 1.5}}}
    rounds = 0

    async def go_round() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(go_round())
    counted = response_size.ResponseSize(10**6)
    counted.write("x")
    assert await counted.dump(body) == orjson.dumps(body)
    others.cancel()
    assert rounds >= 27 + 27


async def test_many_errors_are_all_reported_and_some_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [GraphQLError("no", original_error=BadUserInput(f"No {n}.")) for n in range(30)]
    with caplog.at_level(logging.INFO, "tallied.api"):
        reply = await report_errors(errors, of_mutation=False)
    assert [item["message"] for item in reply] == [f"No {n}." for n in range(30)]
    lines = [item.getMessage() for item in caplog.records]
    assert lines[:2] == ["BAD_USER_INPUT: 'No 0.'", "BAD_USER_INPUT: 'No 1.'"]
    assert lines[10:] == ["and 20 more mistakes in the same request"]
