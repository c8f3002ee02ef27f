"""Requests that a browser sends for pages of other origins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from support.api import Api

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.error_codes import make_extensions
from tallied.host.access import HostRules
from tallied.host.targets import Target
from tallied.settings import Settings

CREATE = {"query": 'mutation { createThread(input: {title: "Engines"}) { userErrors { code } } }'}
COUNT = "{ threads { totalCount } }"
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "http://tallied.test.evil.example"},
    {"origin": "http://tallied.test:8000"},
    {"origin": "null"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]
OWN = [
    {},
    {"origin": "http://tallied.test"},
    {"origin": "https://tallied.test"},  # a proxy that ends TLS
    {"origin": "http://tallied.test", "sec-fetch-site": "same-origin"},
    {"origin": "https://www.example", "sec-fetch-site": "same-origin"},  # one that changes Host
    {"origin": "https://app.example", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "none"},
]

pytestmark = pytest.mark.sqlite


def assert_refused(response: httpx.Response, status: int = 403) -> None:
    assert response.status_code == status, response.text
    (error,) = response.json()["errors"]
    assert error["extensions"] == make_extensions("ORIGIN_NOT_ALLOWED")
    assert "TALLIED_ORIGINS" in error["message"]


@pytest.mark.parametrize("guests", ["write", "moderate"])
async def test_foreign_page_cannot_write_as_guest(database: Database, guests: str) -> None:
    api = Api(database, guests=guests, origins="https://app.example")
    for headers in FOREIGN:
        assert_refused(await api.http.post("/graphql", json=CREATE, headers=headers))
    assert await api(COUNT) == {"totalCount": 0}
    for headers in OWN:
        response = await api.http.post("/graphql", json=CREATE, headers=headers)
        assert response.json()["data"] == {"createThread": {"userErrors": []}}, headers
    assert await api(COUNT) == {"totalCount": 7}


async def test_any_origin_may_write_by_star(database: Database) -> None:
    api = Api(database, guests="write", origins="*")
    for headers in FOREIGN:
        response = await api.http.post("/graphql", json=CREATE, headers=headers)
        assert response.json()["data"] == {"createThread": {"userErrors": []}}, headers
    assert await api(COUNT) == {"totalCount": 8}


async def test_foreign_page_may_query_for_reading_guests(database: Database) -> None:
    """A token that the page has itself is nothing that its visitor's browser adds."""
    api = Api(database, guests="read")
    for headers in FOREIGN:
        response = await api.http.post("/graphql", json=CREATE, headers=headers)
        (error,) = response.json()["data"]["createThread"]["userErrors"]
        assert error["code"] == "SIGN_IN_REQUIRED"
    assert await api(COUNT) == {"totalCount": 0}


async def test_foreign_page_cannot_use_cookie(database: Database) -> None:
    api = Api(database, guests="read", viewer=Viewer("ada"))
    for headers in FOREIGN:
        with_cookie = {**headers, "cookie": "session=ada"}
        assert_refused(await api.http.post("/graphql", json=CREATE, headers=with_cookie))
    assert await api(COUNT) == {"totalCount": 0}
    for headers in OWN[:4]:
        with_cookie = {**headers, "cookie": "session=ada"}
        response = await api.http.post("/graphql", json=CREATE, headers=with_cookie)
        assert response.json()["data"] == {"createThread": {"userErrors": []}}
    assert await api(COUNT) == {"totalCount": 4}


async def test_guests_who_write_in_one_target_are_protected(database: Database) -> None:
    async def titles(session: Any, ids: Any) -> dict[str, str]:
        return dict.fromkeys(ids, "Engines")

    target = Target("article", titles, guests="write")
    api = Api(database, guests="read", rules=HostRules(targets={"article": target}))
    assert_refused(await api.http.post("/graphql", json=CREATE, headers=FOREIGN[0]))


@asynccontextmanager
async def permissive_host(database: Database, origins: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a host whose own CORS middleware answers every preflight with yes."""
    every = Middleware(
        CORSMiddleware,
        allow_origin_regex=".*",
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
    )
    app = Starlette(middleware=[every])
    settings = Settings(guests="write", origins=origins)
    Discussion(database, settings=settings).install(app)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://host.test"
    ) as client:
        yield client


async def test_host_that_allows_every_page_is_protected(database: Database) -> None:
    evil = {"origin": "https://evil.example", "cookie": "session=ada"}
    async with permissive_host(database, "https://app.example") as client:
        headers = {**evil, "access-control-request-method": "POST"}
        preflight = await client.options("/graphql", headers=headers)
        assert preflight.status_code == 200
        assert_refused(await client.post("/graphql", json=CREATE, headers=evil))
        app = {"origin": "https://app.example", "cookie": "session=ada"}
        response = await client.post("/graphql", json=CREATE, headers=app)
        assert response.json()["data"] == {"createThread": {"userErrors": []}}


async def test_query_by_get_needs_no_origin(database: Database) -> None:
    """It changes nothing, and the page cannot read what is answered."""
    api = Api(database, guests="moderate")
    for headers in FOREIGN:
        response = await api.http.get("/graphql", params={"query": COUNT}, headers=headers)
        assert response.json()["data"] == {"threads": {"totalCount": 0}}
        assert "access-control-allow-origin" not in response.headers
