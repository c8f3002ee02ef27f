"""docs/how-to/frontend.md is correct: its host allows its origins, and its client works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.browser import Browser
from support.sockets import PROTOCOL, Serving, opened

import tallied
from tallied.asgi import create_app
from tallied.database import Database
from tallied.settings import Settings
from tallied.transport.cross_origin import REQUEST_HEADERS, RESPONSE_HEADERS

TEXT = (Path(tallied.__file__).parent / "docs" / "how-to" / "frontend.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.M | re.S))
ORIGIN = "http://localhost:5173"

pytestmark = pytest.mark.sqlite


async def test_host_of_page_allows_its_origins(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    code = BLOCKS["python"].replace("sqlite+aiosqlite:///forum.db", url)
    assert code != BLOCKS["python"]
    created: dict[str, Any] = {}
    exec(compile(code, "docs/how-to/frontend.md", "exec"), created)
    settings = created["discussion"].settings
    async with (
        Serving(created["app"], settings) as server,
        httpx.AsyncClient(base_url=f"http://{server.host}") as client,
    ):
        preflight = {
            "origin": ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        allowed = await client.request("OPTIONS", "/discussion/graphql", headers=preflight)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (
            200,
            ORIGIN,
        )
        denied = await client.request(
            "OPTIONS", "/discussion/graphql", headers=preflight | {"origin": "https://evil.example"}
        )
        assert denied.status_code == 400
        refused = await client.post("/discussion/graphql", content="{", headers={"origin": ORIGIN})
        assert refused.status_code == 415
        assert refused.headers["access-control-allow-origin"] == ORIGIN
        headers = {"origin": ORIGIN}
        socket_url = f"ws://{server.host}/discussion/graphql"
        async with opened(
            socket_url, additional_headers=headers, subprotocols=[PROTOCOL]
        ) as socket:
            assert await socket("{ __typename }") == "Query"
    await created["discussion"].database.engine.dispose()


async def test_client_of_page_runs_in_browser(database: Database, browser: Browser) -> None:
    plain = Settings()
    async with Serving(create_app(plain, database), plain) as frontend:
        settings = Settings(origins=f"http://{frontend.host}")
        async with (
            Serving(create_app(settings, database), settings) as api,
            browser.open() as page,
        ):
            await page.open(f"http://{frontend.host}/health")
            await page.wait("location.href.endsWith('/health')")
            client = BLOCKS["js"].replace("127.0.0.1:8000", api.host)
            await page.run(f"{client}; globalThis.ask = ask; null")
            answer = await page.run("ask('{ threads(first: 7) { totalCount } }')")
            assert answer["data"] == {"threads": {"totalCount": 0}}
            refused = await page.run("ask('{ unknown }', {})")
            assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
            token = await page.run("ask('{ __typename }', {}, 'x.y.z')")
            assert token["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_listed_headers_are_allowed_headers() -> None:
    heading = "## Allow the page's origin: a standalone server"
    section = TEXT.partition(heading)[2].partition("\n## ")[0]
    for name in (*REQUEST_HEADERS, *RESPONSE_HEADERS):
        assert f"`{name}`" in section
