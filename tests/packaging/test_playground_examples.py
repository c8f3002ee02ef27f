"""The served playground: the page, its assets and examples that run."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallied import __version__
from tallied.asgi import create_app
from tallied.database import Database
from tallied.settings import Environment, Settings
from tallied.transport.playground import FOLDER

EXAMPLES = FOLDER / "examples"


SETTINGS = Settings(
    guests="moderate", environment="development", secret="Xk3vQ9rT1mZ7pB5wLs2Yd8Hc4Nf6Gj0U"
)


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(SETTINGS, database))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def run(client: httpx.AsyncClient, name: str, variables: Any = None) -> Any:
    """Return the answer to an example, asked as the playground asks for a guest."""
    document = (EXAMPLES / f"{name}.graphql").read_text("utf-8")
    if name == "start":
        variables = read_variables("start") | {"authorName": "Ada"}
    answer = await client.post("/graphql", json={"query": document, "variables": variables})
    return answer.json()


def read_variables(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))


async def test_examples_run_one_after_another(client: httpx.AsyncClient) -> None:
    started = (await run(client, "start"))["data"]["createThread"]
    words = len(started["comment"]["message"].split())
    assert words > 1
    assert started["comment"]["wordCount"] == words
    assert started["thread"]["wordCount"] == words
    assert started["thread"]["commentCount"] == 1

    variables = read_variables("comment")
    assert (variables["threadId"], variables["authorName"]) == (None, None)
    variables |= {"threadId": started["thread"]["id"], "authorName": "Grace"}
    added = (await run(client, "comment", variables))["data"]["addComment"]
    assert added["thread"]["commentCount"] == 2
    words += len(variables["message"].split())
    assert added["thread"]["wordCount"] == words

    listed = (await run(client, "threads"))["data"]["threads"]
    assert [thread["id"] for thread in listed["nodes"]] == [started["thread"]["id"]]
    messages = {comment["message"] for comment in listed["nodes"][0]["comments"]["nodes"]}
    assert messages == {started["comment"]["message"], variables["message"]}
    assert listed["nodes"][0]["wordCount"] == words


async def test_examples_of_replies_and_moderation_run(client: httpx.AsyncClient) -> None:
    started = (await run(client, "start"))["data"]["createThread"]
    ids = {"threadId": started["thread"]["id"], "commentId": started["comment"]["id"]}

    async def field(name: str) -> Any:
        path = EXAMPLES / f"{name}.json"
        variables = read_variables(name) if path.is_file() else {}
        filled = {key: ids.get(key, "Ada") for key, value in variables.items() if value is None}
        answer = await run(client, name, variables | filled)
        assert "errors" not in answer, answer
        return next(reversed(answer["data"].values()))

    added = await field("reply")
    assert (added["comment"]["depth"], added["comment"]["parent"]["replyCount"]) == (1, 1)
    top = (await field("tree"))["comments"]["nodes"]
    assert [node["message"] for node in top[0]["replies"]["nodes"]] == [added["comment"]["message"]]
    codes = [(await field("edit"))["userErrors"] for _ in range(2)]
    assert [[error["code"] for error in errors] for errors in codes] == [[], ["CONFLICT"]]
    assert [error["code"] for error in (await field("react"))["userErrors"]] == ["SIGN_IN_REQUIRED"]
    assert [node["seq"] for node in (await field("unread"))["commentsSince"]["nodes"]] == [1, 2]
    assert (await field("queue"))["totalCount"] == 0


async def test_start_example_shows_rejection(client: httpx.AsyncClient) -> None:
    document = (EXAMPLES / "start.graphql").read_text("utf-8")
    blank = document.replace('"Which tree by the pond?"', '""')
    assert blank != document
    body = {"query": blank, "variables": {"authorName": "Ada"}}
    answer = (await client.post("/graphql", json=body)).json()
    rejected = answer["data"]["createThread"]
    assert (rejected["thread"], rejected["comment"]) == (None, None)
    assert [error["field"] for error in rejected["userErrors"]] == ["title"]


async def test_paging_example_walks_both_ways(client: httpx.AsyncClient) -> None:
    started = [
        (await run(client, "start"))["data"]["createThread"]["thread"]["id"] for _ in range(7)
    ]
    variables = json.loads((EXAMPLES / "page.json").read_text("utf-8"))
    assert variables == {"first": 3, "after": None, "last": None, "before": None}

    forwards: list[str] = []
    while True:
        page = (await run(client, "page", variables))["data"]["threads"]
        forwards += [edge["node"]["id"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        variables["after"] = page["pageInfo"]["endCursor"]
    assert forwards == started[::-1]

    variables |= {"first": None, "after": None, "last": 3}
    backwards: list[str] = []
    while True:
        page = (await run(client, "page", variables))["data"]["threads"]
        backwards = [edge["node"]["id"] for edge in page["edges"]] + backwards
        if not page["pageInfo"]["hasPreviousPage"]:
            break
        variables["before"] = page["pageInfo"]["startCursor"]
    assert backwards == forwards


async def test_comment_example_asks_for_thread(client: httpx.AsyncClient) -> None:
    answer = await run(client, "comment", read_variables("comment"))
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
    assert "threadId" in answer["errors"][0]["message"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.graphql")), ids=lambda path: path.stem)
def test_no_example_names_type_that_prefix_renames(path: Path) -> None:
    types = re.findall(r"\$\w+: \[?(\w+)", path.read_text("utf-8"))
    assert set(types) <= {"ID", "Int", "String"}


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_page_and_its_assets_are_served(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    plain = re.sub(r"(playground/)[0-9a-f]{16}/", r"\1", page.text)
    assert plain.replace(' data-guests="moderate"', "") == (FOLDER / "index.html").read_text(
        "utf-8"
    )
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for reference in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        answer = await client.get(f"/{reference}")
        assert answer.status_code == 200, reference
        assert answer.headers["content-type"].startswith(kinds[reference.rsplit(".", 1)[1]])


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_links_of_landing_page_are_served(client: httpx.AsyncClient) -> None:
    page = await client.get("/", headers={"accept": "text/html"})
    assert f"version {__version__}, on SQLite. Guests may write and moderate;" in page.text
    assert "tallied verify</code>" in page.text
    assert "tallied token 42</code>" in page.text
    for data in re.findall(r"-d '(.*)'</code>", page.text):
        answer = (await client.post("/graphql", json=json.loads(data))).json()
        assert "errors" not in answer
    assert answer["data"]["createThread"]["thread"]["wordCount"] == 2
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert {"graphql", "discussion/", "schema.graphql", "introspection.json"} <= set(links)
    for link in links:
        answer = await client.get(f"/{link}", headers={"accept": "text/html,*/*;q=0.8"})
        assert answer.status_code == 200, link
    assert answer.url.path == "/health"
    icon = await client.get("/favicon.ico")
    assert icon.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(
    ("environment", "command"),
    [("development", "&#x27;/opt/a &amp; b/tallied&#x27;"), ("production", "tallied")],
)
async def test_landing_page_names_path_of_command_to_developers_only(
    environment: Environment, command: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TALLIED_COMMAND", "/opt/a & b/tallied")
    app = create_app(replace(SETTINGS, environment=environment, playground=True), database)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as client:
        page = await client.get("/", headers={"accept": "text/html"})
    assert f"<code>{command} verify</code>" in page.text
