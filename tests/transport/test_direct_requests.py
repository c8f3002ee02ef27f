"""Requests that pass no middleware: the same answers as those of the whole application."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from support.api import Api

from tallied.database import Database
from tallied.logs.access import logger

pytestmark = pytest.mark.sqlite

QUERY = "query Total($flag: Boolean = true) { threads { totalCount @include(if: $flag) } }"
GRAPHQL = {"accept": "application/graphql-response+json"}


def by_url(**parameters: str) -> dict[str, Any]:
    return {"method": "GET", "params": {"query": QUERY, **parameters}}


REQUESTS: list[dict[str, Any]] = [
    by_url(),
    by_url(variables='{"flag": false}'),
    by_url(variables="{"),
    by_url(operationName="Other"),
    {**by_url(), "headers": GRAPHQL},
    {**by_url(), "headers": {"accept": "text/plain"}},
    {**by_url(), "headers": {"accept": "text/html"}},
    {**by_url(), "headers": {"if-none-match": "*"}},
    {**by_url(), "headers": {"cookie": "session=1"}},
    {**by_url(), "headers": {"host": "rebound.example"}},
    {**by_url(), "headers": {"origin": "https://other.example"}},
    {**by_url(query="mutation { __typename }")},
    {**by_url(query="{ threads { unknown } }"), "headers": GRAPHQL},
    {**by_url(), "method": "HEAD"},
    {"method": "GET", "params": [("query", QUERY), ("query", QUERY)]},
    {"method": "GET"},
    {"method": "PUT"},
    {"method": "POST", "json": {"query": QUERY}},
    {"method": "POST", "json": {"query": QUERY}, "headers": GRAPHQL},
    {"method": "POST", "json": {"query": "{"}, "headers": GRAPHQL},
    {"method": "POST", "content": b"{}", "headers": {"content-type": "text/plain"}},
]


async def answer(api: Api, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    response: httpx.Response = await api.http.request(url="/graphql", **request)
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return response.status_code, headers, response.content


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("origins", ["", "https://forum.example"])
async def test_direct_answer_is_that_of_the_application(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    request_: dict[str, Any],
    origins: str,
) -> None:
    if request_["method"] == "POST" and origins:
        pytest.skip("No cache keeps the answer, so it does not tell that it depends on origins.")
    api = Api(database, origins=origins)
    monkeypatch.setattr(logger, "level", logging.WARNING)
    monkeypatch.setattr(logger, "_cache", {})
    direct = [await answer(api, request_) for _ in range(3)]
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "_cache", {})
    # Only in development, an answer tells that the first use of a document is not compiled.
    compiled = [request for request in direct if b'"compiled":true' in request[2]] or direct
    whole = await answer(api, request_)
    assert compiled == [whole] * len(compiled)


async def test_repeated_url_is_read_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(database)
    first = await answer(api, by_url(variables='{"flag": true}'))
    monkeypatch.setattr("tallied.transport.requests._read_query", None)
    again = await answer(api, by_url(variables='{"flag": true}'))
    assert (first[0], again[0]) == (200, 200)
    assert again[2].replace(b'"compiled":true', b'"compiled":false') == first[2]


async def test_long_urls_are_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallied.transport.requests.MAX_QUERY_BYTES", 50)
    monkeypatch.setattr("tallied.transport.requests.MAX_QUERIES", 2)
    api = Api(database)
    queries = api.app.routes[0].endpoint._queries  # type: ignore[attr-defined]
    await answer(api, by_url())
    assert not queries._requests
    for alias in "abc":
        await answer(api, {"method": "GET", "params": {"query": f"{{ {alias}: __typename }}"}})
    assert len(queries._requests) == 2
