"""Caching headers of responses to GET, and conditional requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from support.api import Api

from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer
from tallied.database import Database

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"
COUNT = "{ threads(first: 1) { totalCount } }"

pytestmark = pytest.mark.sqlite


async def get(api: Api, query: str = COUNT, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.get("/graphql", params={"query": query}, headers=names)


async def test_unchanged_response_is_304(api: Api) -> None:
    first = await get(api)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known_tag in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = await get(api, if_none_match=known_tag)
        assert (same.status_code, same.content) == (304, b"")
        for name in ("etag", "cache-control", "vary"):
            assert same.headers[name] == first.headers[name]
    assert (await get(api, if_none_match='"other"')).status_code == 200

    await api.thread("Engines")
    changed = await get(api, if_none_match=tag)
    assert (changed.status_code, changed.json()["data"]["threads"]["totalCount"]) == (200, 1)
    assert changed.headers["etag"] != tag


async def test_each_media_type_has_tag_of_its_own(api: Api) -> None:
    tags = {(await get(api, accept=accept)).headers["etag"] for accept in (JSON, GRAPHQL)}
    assert len(tags) == 2


async def test_only_anonymous_response_is_public(database: Database) -> None:
    api = Api(database, secret=SECRET)
    assert (await get(api)).headers["cache-control"] == "public, no-cache"
    token = encode_token(SECRET, Viewer("7"), timedelta(minutes=5))
    personal: dict[str, Any]
    for personal in ({"cookie": "session=1"}, {"authorization": f"Bearer {token}"}):
        answer = await get(api, **personal)
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["etag"]
        vary = {name.strip() for name in answer.headers["vary"].split(",")}
        assert vary == {"Accept", "Authorization", "Cookie"}


async def test_only_anonymous_answer_gets_time_to_live(database: Database) -> None:
    api = Api(database, cache_time=60)
    assert (await get(api)).headers["cache-control"] == "public, max-age=60"
    assert (await get(api, cookie="a=b")).headers["cache-control"] == "private, no-cache"


async def test_errors_and_posts_are_not_stored(api: Api) -> None:
    answers = [
        await get(api, "{ thread(id: 7) { id } __typename }"),
        await get(api, "{ thread(id: 7) { id } __typename }", accept=GRAPHQL),
        await get(api, "{ unknown }"),
        await get(api, "mutation { __typename }"),
        await get(api, accept="image/png"),
        await get(api, authorization="Bearer x"),
        await api.http.get("/graphql"),
        await api.http.post("/graphql", json={"query": COUNT}),
        await api.http.put("/graphql"),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 294, 200, 405, 406, 401, 400, 200, 405]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
