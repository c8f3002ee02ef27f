"""The files of the schema and the playground, as the settings allow them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLSchema,
    build_client_schema,
    build_schema,
    get_introspection_query,
    lexicographic_sort_schema,
    print_schema,
)

from tallied.asgi import create_app
from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.schema.printing import print_sdl
from tallied.settings import SETTINGS, Settings
from tallied.transport.playground import Playground

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

pytestmark = pytest.mark.sqlite


@pytest.fixture
def serve(database: Database) -> Serve:
    """``async with serve(playground=False) as client:`` asks a server with these settings."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(create_app(Settings(**settings), database))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client

    return start


def printed(value: GraphQLSchema) -> str:
    """Return a schema as text, whatever the order in which it was written."""
    return print_schema(lexicographic_sort_schema(value))


CODE = printed(build_schema(print_sdl()))


async def test_served_schema_is_schema_of_code(serve: Serve) -> None:
    async with serve() as client:
        sdl = await client.get("/schema.graphql")
        reply = await client.get("/introspection.json")
    assert sdl.headers["content-type"] == "text/plain; charset=utf-8"
    assert printed(build_schema(sdl.text)) == CODE
    assert reply.headers["content-type"] == "application/json"
    assert printed(build_client_schema(reply.json())) == CODE


@pytest.mark.parametrize("name", ["schema.graphql", "introspection.json"])
async def test_file_that_has_not_changed_is_not_sent_again(serve: Serve, name: str) -> None:
    async with serve() as client:
        first = await client.get(f"/{name}")
        for value in (first.headers["etag"], f'W/{first.headers["etag"]}, "old"', "*"):
            again = await client.get(f"/{name}", headers={"if-none-match": value})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
        other = await client.get(f"/{name}", headers={"if-none-match": '"old"'})
        assert (other.status_code, other.content) == (200, first.content)
        posted = await client.post(f"/{name}")
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        assert "schema.graphql" in posted.text


async def test_page_allows_no_other_host_and_no_inline_script(serve: Serve) -> None:
    async with serve(playground=True) as client:
        page = await client.get("/graphql", headers=BROWSER)
    policy = dict(
        part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
    )
    assert policy.pop("style-src") == "'self' 'unsafe-inline'"
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    for sources in policy.values():
        assert set(sources.split()) <= {"'self'", "'none'", "data:"}
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"<script(?![^>]*\ssrc=\"playground/)", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "settings",
    [{}, {"environment": "development", "playground": False, "allowed_hosts": "test"}],
    ids=["production", "off in development"],
)
async def test_browser_gets_json_without_playground(serve: Serve, settings: dict[str, Any]) -> None:
    async with serve(**settings) as client:
        page = await client.get("/graphql", headers=BROWSER)
        assert (page.status_code, page.headers["content-type"]) == (400, "application/json")
        assert page.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        refused = await client.get("/graphql", headers={"accept": "text/html"})
        assert refused.status_code == 406
        assert "text/html" not in refused.json()["errors"][0]["message"]
        for path in ("/", "/playground/playground.js", "/playground/index.html"):
            assert (await client.get(path)).status_code == 404
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
        assert answer.json()["data"] == {"__typename": "Query"}


async def test_full_introspection_is_allowed(serve: Serve) -> None:
    selection = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        one_of=True,
    )
    async with serve() as client:
        answer = await client.post("/graphql", json={"query": selection})
        published = await client.get("/introspection.json")
    assert answer.json()["data"] == published.json()


async def test_introspection_can_be_switched_off(serve: Serve) -> None:
    async with serve(introspection=False) as client:
        for query in (
            get_introspection_query(),
            "{ __schema { queryType { name } } }",
            '{ __type(name: "Thread") { name } }',
            "{ ...f } fragment f on Query { __schema { queryType { name } } }",
        ):
            answer = (await client.post("/graphql", json={"query": query})).json()
            assert "data" not in answer
            assert "introspection" in answer["errors"][0]["message"].lower()
            assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        for name in ("schema.graphql", "introspection.json"):
            assert (await client.get(f"/{name}")).status_code == 404
        query = "{ __typename threads(first: 1) { totalCount nodes { __typename } } }"
        assert "errors" not in (await client.post("/graphql", json={"query": query})).json()


@pytest.mark.parametrize(
    "query",
    [
        "{ thread(id: 1) { titel } }",
        "{ threds { totalCount } }",
        "{ threads(frist: 1) { totalCount } }",
        "{ threads(first: 1, orderBy: {field: CREATED, direction: ASC}) { totalCount } }",
        "{ threads(first: 1, orderBy: {feild: CREATED_AT, direction: ASC}) { totalCount } }",
        '{ node(id: "a") { ... on Thred { id } } }',
    ],
)
async def test_no_suggestions_without_introspection(serve: Serve, query: str) -> None:
    async with serve() as client:
        reply = (await client.post("/graphql", json={"query": query})).json()
        assert any("Did you mean" in error["message"] for error in reply["errors"])
    async with serve(introspection=False) as client:
        reply = (await client.post("/graphql", json={"query": query})).json()
        assert reply["errors"]
        assert not any("Did you mean" in error["message"] for error in reply["errors"])


async def test_no_suggestions_in_variables_without_introspection(serve: Serve) -> None:
    query = "query($o: ThreadOrder) { threads(first: 1, orderBy: $o) { totalCount } }"
    variables = {"o": {"field": "CREATED", "direction": "ASC", "feild": 1}}
    async with serve(introspection=False) as client:
        answer = await client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.json()["errors"]
    assert "Did you mean" not in answer.text


@pytest.mark.parametrize("name", ["PLAYGROUND", "INTROSPECTION"])
def test_switch_is_true_or_false(name: str) -> None:
    read = Settings.from_environ
    for text in ("false", "False", "0"):
        assert getattr(read({f"TALLIED_{name}": text}), name.lower()) is False
    for text in ("true", "1", " TRUE "):
        assert getattr(read({f"TALLIED_{name}": text}), name.lower()) is True
    assert getattr(read({f"TALLIED_{name}": ""}), name.lower()) == SETTINGS[name.lower()].default
    with pytest.raises(ConfigurationError, match=f"TALLIED_{name} must be true or false"):
        read({f"TALLIED_{name}": "off"})


@pytest.mark.parametrize(
    ("environment", "switch", "expected"),
    [
        ("development", "", True),
        ("production", "", False),
        ("", "", False),
        ("development", "false", False),
        ("production", "true", True),
    ],
)
def test_playground_follows_environment_by_default(
    environment: str, switch: str, expected: bool
) -> None:
    settings = Settings.from_environ(
        {"TALLIED_ENVIRONMENT": environment, "TALLIED_PLAYGROUND": switch}
    )
    assert settings.shows_playground is expected
    assert Settings.from_environ(settings.to_environ()) == settings  # in a worker process


def test_page_without_assets_is_404(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("bare", "empty", "full")]
    for folder in folders:
        folder.mkdir()
        (folder / "index.html").write_text("<!doctype html><title>Playground</title>")
    for folder in folders[1:]:
        (folder / "vendor").mkdir()
    (folders[2] / "vendor" / "graphiql.js").write_text("")
    for folder in folders[:2]:
        missing = Playground(folder).response()
        assert missing.status_code == 404
        assert b"scripts/serve" in missing.body
    page = Playground(folders[2]).response()
    assert (page.status_code, page.body[:9]) == (200, b"<!doctype")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
