"""A server on its own names the path of the API to whoever asks at another one."""

from __future__ import annotations

import httpx
import pytest
from support.sockets import Serving, opened
from websockets.exceptions import InvalidStatus

from tallied.asgi import create_app
from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.settings import Settings

pytestmark = pytest.mark.sqlite

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


@pytest.fixture
def client(database: Database) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(Settings(playground=True), database))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", JSON), (JSON, JSON), (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL), ("text/html", JSON)],
)
@pytest.mark.parametrize("path", ["/", "/graphql/", "/api", "/nowhere/graphql"])
async def test_wrong_path_names_that_of_api(
    client: httpx.AsyncClient, path: str, accept: str, content_type: str
) -> None:
    answer = await client.post(path, json={"query": "{ __typename }"}, headers={"accept": accept})
    (error,) = answer.json()["errors"]
    assert "/graphql" in error["message"]
    code, status = ("METHOD_NOT_ALLOWED", 405) if path == "/" else ("PATH_NOT_FOUND", 404)
    assert answer.status_code == status
    assert error["extensions"] == make_extensions(code)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["cache-control"] == "no-store"
    if path == "/":
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_websocket_at_wrong_path_is_refused_with_reason(database: Database) -> None:
    settings = Settings()
    async with Serving(create_app(settings, database), settings) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(f"ws://{server.host}/subscriptions"):
                pass
    response = refused.value.response
    assert response.status_code == 404
    assert b"/graphql" in (response.body or b"")
