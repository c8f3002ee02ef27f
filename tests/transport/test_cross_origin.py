"""The setting of allowed origins, over HTTP and over WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import httpx
import pytest
from support.sockets import PROTOCOL, opened, serve_app
from websockets.exceptions import InvalidStatus

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.errors import ConfigurationError
from tallied.settings import Settings

APP = "https://app.example"
OTHER = "https://evil.example"
QUERY = {"query": "{ __typename }"}
PREFLIGHT = {"access-control-request-method": "POST"}

Ask = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

pytestmark = pytest.mark.sqlite


@pytest.fixture
def serve(database: Database) -> Ask:
    """``async with serve(origins="…") as client:`` sends requests to a server with settings."""
    return partial(serve_app, database)


def assert_readable(response: httpx.Response, origin: str = APP) -> None:
    """Assert that pages of an origin may read the response, and that caches vary by origin."""
    headers = response.headers
    assert headers.get_list("access-control-allow-origin") == [origin]
    assert headers.get("access-control-allow-credentials") == (None if origin == "*" else "true")
    assert "Origin" in [name.strip() for name in headers["vary"].split(",")]
    assert "retry-after" in headers["access-control-expose-headers"].lower()


async def preflight(client: httpx.AsyncClient, origin: str, **more: str) -> httpx.Response:
    headers = {"origin": origin, **PREFLIGHT, **more}
    return await client.request("OPTIONS", "/graphql", headers=headers)


async def test_named_origin_may_send_json_and_token(serve: Ask) -> None:
    names = "authorization,content-type,apollographql-client-name,x-apollo-operation-name"
    async with serve(origins=f"{APP}, http://localhost:5173") as client:
        for origin in (APP, "http://localhost:5173"):
            allowed = await preflight(client, origin, **{"access-control-request-headers": names})
            assert allowed.status_code == 200, allowed.text
            assert allowed.headers["access-control-allow-origin"] == origin
            assert allowed.headers["access-control-allow-credentials"] == "true"
            assert allowed.headers["access-control-max-age"] == "7200"
            assert "POST" in allowed.headers["access-control-allow-methods"]
            reply = allowed.headers["access-control-allow-headers"].lower().split(", ")
            assert set(names.split(",")) <= set(reply)
            selection = await client.post("/graphql", json=QUERY, headers={"origin": origin})
            assert selection.json()["data"] == {"__typename": "Query"}
            assert_readable(selection, origin)


@pytest.mark.parametrize("origins", [APP, ""])
async def test_other_origin_error_names_setting(serve: Ask, origins: str) -> None:
    async with serve(origins=origins) as client:
        for origin in (OTHER, "null", "https://app.example.evil.example", APP.upper()):
            denied = await preflight(client, origin)
            assert denied.status_code == 403
            (error,) = denied.json()["errors"]
            assert error["extensions"] == make_extensions("ORIGIN_NOT_ALLOWED")
            assert "TALLIED_ORIGINS" in error["message"]
            assert (f"the origin {origin} " in error["message"]) is origin.startswith("https:")
            assert "access-control-allow-origin" not in denied.headers
            selection = await client.get("/graphql?query={__typename}", headers={"origin": origin})
            assert "access-control-allow-origin" not in selection.headers


async def test_bad_preflight_names_allowed_values(serve: Ask) -> None:
    async with serve(origins=APP) as client:
        for selection in (
            {"access-control-request-method": "DELETE"},
            {"access-control-request-headers": "x-user"},
        ):
            denied = await preflight(client, APP, **selection)
            assert denied.status_code == 400
            (error,) = denied.json()["errors"]
            assert error["extensions"] == make_extensions("BAD_REQUEST")
            assert "GET, HEAD, POST" in error["message"]
            assert "authorization" in error["message"]


async def test_without_origins_answers_do_not_vary_by_origin(serve: Ask) -> None:
    async with serve() as client:
        selection = await client.get("/graphql?query={__typename}", headers={"origin": APP})
        assert selection.headers["vary"] == "Accept, Authorization, Cookie"


async def test_refusal_can_be_read_by_page(serve: Ask) -> None:
    """Or a browser tells the page of a network error, and of nothing else."""
    query = "{ threads(first: 1) { nodes { title } } }"
    requests: list[tuple[int, dict[str, Any]]] = [
        (422, {"method": "POST", "json": {"query": "{ unknown }"}}),
        (400, {"method": "POST", "content": b"{", "headers": {"content-type": "application/json"}}),
        (401, {"method": "POST", "json": QUERY, "headers": {"authorization": "Bearer x.y.z"}}),
        (405, {"method": "DELETE"}),
        (406, {"method": "GET", "headers": {"accept": "image/png"}}),
        (413, {"method": "POST", "json": {"query": query + " " * 3000}}),
        (415, {"method": "POST", "content": b"{}", "headers": {"content-type": "text/plain"}}),
    ]
    async with serve(origins=APP, body_size=2048) as client:
        for status, request in requests:
            headers = {
                "origin": APP,
                "accept": "application/graphql-response+json",
                **request.pop("headers", {}),
            }
            response = await client.request(url="/graphql", headers=headers, **request)
            assert response.status_code == status
            assert_readable(response)
        absent = await client.get("/nowhere", headers={"origin": APP})
        assert absent.status_code == 404
        assert_readable(absent)


async def test_failure_can_be_read_by_page(
    serve: Ask, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("no such luck")

    async with serve(origins=APP) as client:
        monkeypatch.setattr("tallied.transport.service.Service.serve", fail)
        masked = await client.post("/graphql", json=QUERY, headers={"origin": APP})
        assert masked.status_code == 500
        assert_readable(masked)
        monkeypatch.setattr("tallied.transport.schema_files.PublishedFile._respond", fail)
        unhandled = await client.get("/schema.graphql", headers={"origin": APP})
        assert unhandled.status_code == 500
        assert_readable(unhandled)


async def test_cached_answers_are_kept_by_origin(serve: Ask) -> None:
    address = "/graphql?query={__typename}"
    async with serve(origins=APP, cache_time=60) as client:
        first = await client.get(address, headers={"origin": APP})
        assert first.headers["cache-control"] == "public, max-age=60"
        assert_readable(first)
        headers = {"origin": APP, "if-none-match": first.headers["etag"]}
        again = await client.get(address, headers=headers)
        assert again.status_code == 304
        assert_readable(again)
        # What was asked without an origin must not be handed to a page of one.
        plain = await client.get(address)
        assert "access-control-allow-origin" not in plain.headers
        assert "Origin" in plain.headers["vary"]


async def test_star_allows_reading_without_cookies(serve: Ask) -> None:
    async with serve(origins="*") as client:
        allowed = await preflight(client, OTHER)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in allowed.headers
        selection = await client.post("/graphql", json=QUERY, headers={"origin": OTHER})
        assert_readable(selection, "*")
        assert "access-control-allow-credentials" not in selection.headers


@pytest.mark.parametrize(
    ("origins", "opens"), [("", False), (APP, True), ("*", True), (OTHER, False)]
)
async def test_setting_applies_to_both_transports(serve: Ask, origins: str, opens: bool) -> None:
    async with serve(origins=origins) as client:
        selection = await client.post("/graphql", json=QUERY, headers={"origin": APP})
        assert ("access-control-allow-origin" in selection.headers) is opens
        url = f"ws://{client.base_url.netloc.decode()}/graphql"
        options = {"additional_headers": {"origin": APP}, "subprotocols": [PROTOCOL]}
        if opens:
            async with opened(url, **options) as socket:
                assert await socket("{ __typename }") == "Query"
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with opened(url, **options):
                    pass
            assert refused.value.response.status_code == 403


def test_star_with_other_origins_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^TALLIED_ORIGINS .* must be either \*"):
        Settings(origins=f"*, {APP}")
