"""docs/how-to/litestar.md is correct: its application serves the API and reads in a handler."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from support.guides import run_block
from support.sockets import Serving, opened

from tallied.database import Database
from tallied.settings import Settings

START = """mutation { createThread(input: {title: "Engines", comment: {message: "one two"}}) {
    thread { wordCount author { name } } userErrors { code } } }"""


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Litestar sets up the logging of the process: take that back for other tests."""
    root = logging.getLogger()
    level, handlers = root.level, set(root.handlers)
    yield
    root.setLevel(level)
    for handler in set(root.handlers) - handlers:
        root.removeHandler(handler)


@pytest.mark.usefixtures("own_logging")
async def test_application_of_page_serves_api(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    names = run_block("litestar", {"sqlite+aiosqlite:///lit.db": url})
    app, discussion = names["app"], names["discussion"]
    async with (
        app.lifespan(),
        Serving(app, Settings()) as server,
        httpx.AsyncClient(base_url=f"http://{server.host}") as client,
    ):
        assert (await client.get("/")).json() == {"threads": 0}
        path, ada = "/discussion/graphql", {"x-demo-user": "Ada"}
        answer = await client.post(path, json={"query": START}, headers=ada)
        assert answer.json()["data"]["createThread"] == {
            "thread": {"wordCount": 2, "author": {"name": "Ada"}},
            "userErrors": [],
        }
        guest = (await client.post(path, json={"query": START})).json()["data"]["createThread"]
        assert guest == {"thread": None, "userErrors": [{"code": "SIGN_IN_REQUIRED"}]}
        assert (await client.get("/")).json() == {"threads": 1}
        assert (await client.get("/discussion/schema.graphql")).status_code == 200
        async with opened(f"ws://{server.host}{path}", additional_headers=ada) as socket:
            assert await socket("{ viewer { name } }") == {"name": "Ada"}
    await discussion.database.dispose()
