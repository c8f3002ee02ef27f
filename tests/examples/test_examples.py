"""The examples run and print what their readers expect."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tallied.database import Database

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_orders_and_their_totals(tmp_path: Path) -> None:
    program = ROOT / "examples" / "orders.py"
    ran = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "before any SQL: 2 open orders, the first of 19.75",
        "one was paid: 1 open order, the first of 17.25",
        "one was cancelled: 0 open orders, the last of 2026-03-01",
        "a line was dropped: the first is of 7.25",
        "verified: 0 counters are wrong",
    ]


async def test_discussion_below_path_of_starlette(
    database: Database, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ROOT / "examples" / "mounted.py"
    lines = program.read_text("utf-8").split('"""')[2].splitlines()
    assert sum(map(bool, lines)) < 15
    monkeypatch.setenv("DATABASE_URL", empty_url)
    app = runpy.run_path(str(program))["app"]
    start = """mutation { createThread(input: {title: "Engines", comment: {
                 message: "one two three", authorName: "Ada"}}) { thread { wordCount } } }"""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        assert "The host" in (await client.get("/")).text
        answer = await client.post("/discussion/graphql", json={"query": start})
        page = await client.get("/discussion/graphql", headers={"accept": "text/html"})
    assert answer.json()["data"]["createThread"]["thread"]["wordCount"] == 3
    assert page.status_code == 200
    async with database.read() as connection:
        threads = await connection.execute(text("SELECT title, word_count FROM tallied_thread"))
        assert threads.all() == [("Engines", 3)]
