"""Long messages are rendered in a thread, fairly, and no longer than the request."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from support.api import Api
from support.rows import store
from support.waiting import eventually

from tallied.database import Database
from tallied.host.access import HostRules
from tallied.models import Comment, Thread
from tallied.resolvers import rendering
from tallied.resolvers.rendering import MAX_INLINE_LENGTH

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])

HTML = """query($title: String!) { threads(first: 1, filterBy: {titleContains: $title}) {
  nodes { comments(first: 99) { nodes { messageHtml } } } } }"""


async def fill(database: Database, **messages: list[str]) -> None:
    """Make threads with comments of these messages."""

    for title, texts in messages.items():
        comments = [Comment(author_name="Ada", message=text) for text in texts]
        await store(database, Thread(title=title, comments=comments))


def html_of(page: Any) -> list[str]:
    return [item["messageHtml"] for item in page["nodes"][0]["comments"]["nodes"]]


async def test_only_long_messages_are_rendered_in_thread(database: Database) -> None:
    threads: dict[str, str] = {}

    def render(message: str) -> str:
        threads[message] = threading.current_thread().name
        return message[:3]

    long, short = (
        [f"{n:03}{'x' * MAX_INLINE_LENGTH}" for n in range(9)],
        [f"{n:03}" for n in range(100, 105)],
    )
    await fill(database, Mixed=[*long, *short])
    result = html_of(await Api(database, rules=HostRules(render=render))(HTML, title="Mixed"))
    assert result == [message[:3] for message in (*long, *short)]
    assert {threads[message] for message in short} == {threading.current_thread().name}
    (name,) = {threads[message] for message in long}
    assert name.startswith("tallied-rendering")


async def test_large_request_does_not_delay_small_one(database: Database) -> None:
    await fill(
        database,
        Much=["much " * MAX_INLINE_LENGTH] * 30,
        Little=["little " * MAX_INLINE_LENGTH] * 3,
    )
    may_go_on, rendered = threading.Event(), []

    def render(message: str) -> str:
        rendered.append(message[:4])
        assert may_go_on.wait(60)
        return ""

    api = Api(database, rules=HostRules(render=render))
    selection = [asyncio.create_task(api(HTML, title="Much"))]
    await eventually(lambda: rendered)
    selection.append(asyncio.create_task(api(HTML, title="Little")))
    await eventually(rendering._THREAD._work_queue.qsize)
    may_go_on.set()
    await asyncio.gather(*selection)
    assert rendered[:2] == ["much", "litt"]
    assert rendered[:6].count("litt") == 3
    assert len(rendered) == 33


async def test_rendering_ends_with_request(database: Database) -> None:
    await fill(database, Much=["much " * MAX_INLINE_LENGTH] * 99)
    rendered = []

    def render(message: str) -> str:
        rendered.append(message)
        time.sleep(0.05)
        return ""

    api = Api(database, rules=HostRules(render=render), execution_time=1)
    answer = await api.http.post("/graphql", json={"query": HTML, "variables": {"title": "Much"}})
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert 1 <= len(rendered) < 30
    before = len(rendered)
    await asyncio.sleep(0.2)
    assert len(rendered) <= before + 1
