"""The playground in a headless Chromium, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import strawberry
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from support.browser import Browser, Page
from support.sockets import Serving

from tallied.asgi import create_app
from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.error_codes import make_extensions
from tallied.host.hooks import Event, Hooks
from tallied.schema.build import merge_schemas
from tallied.settings import Settings

ADA = Viewer("user-1", "Ada L.")
SHOTS = os.environ.get("PLAYGROUND_SCREENSHOTS")
"""A folder for pictures of what was seen, where people want to look."""

RESPONSE = "document.querySelector('.graphiql-response .CodeMirror').CodeMirror.getValue()"
EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
SEND = """fetch("/forum/graphql", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: `mutation { createThread(input: { title: "Seventeen",
    comment: { message: "one two" } }) { userErrors { code } } }` }),
}).then((response) => response.json())"""


ASK = """(async (size, token) => {{
  const response = await fetch("http://{0}/graphql", {{
    method: "POST",
    credentials: "include",
    headers: {{ "content-type": "application/json", ...token }},
    body: JSON.stringify({{ query: "{{ __typename }}" + " ".repeat(size) }}),
  }});
  return {{ status: response.status, answer: await response.json() }};
}})"""
OPEN_SOCKET = """new Promise((done) => {{
  const socket = new WebSocket("ws://{0}/graphql", "graphql-transport-ws");
  socket.onopen = () => done("open");
  socket.onerror = () => done("refused");
}})"""

pytestmark = pytest.mark.sqlite


begun: asyncio.Queue[str] = asyncio.Queue()


class Announce(Hooks):
    async def after_create_thread(self, event: Event) -> None:
        begun.put_nowait("begun")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def thread_begun(self) -> AsyncGenerator[str, None]:
        yield "listening"
        while True:
            yield await begun.get()


@asynccontextmanager
async def hosted(database: Database, viewer: Viewer | None) -> AsyncIterator[str]:
    """Serve a merged schema, with a prefix for its types, below a path; its page's address."""
    global begun
    begun = asyncio.Queue()
    settings = Settings(guests="write", playground=True)

    def get_viewer(_: HTTPConnection) -> Viewer | None:
        return viewer

    discussion = Discussion(
        database,
        settings=settings,
        get_viewer=get_viewer,
        hooks=[Announce()],
        schema=merge_schemas(subscription=Subscription, prefix="Forum"),
    )
    app = Starlette()
    discussion.install(app, "/forum")
    async with Serving(app, settings) as server:
        yield f"http://{server.host}/forum/graphql"


@asynccontextmanager
async def opened(browser: Browser, url: str, width: int = 1280) -> AsyncIterator[Page]:
    async with browser.open() as page:
        await page.open(url, width)
        await page.wait(f"{EDITOR}.getValue().length > 20")
        yield page


async def execute(page: Page, expected: str) -> str:
    """Press the button, and return the response once it has that text."""
    await asyncio.sleep(0.5)  # the editor tells what is in it with a delay
    await page.run("document.querySelector('.graphiql-execute-button').click()")
    await page.wait(f"({RESPONSE}).includes({json.dumps(expected)})")
    response: str = await page.run(RESPONSE)
    return response


async def picture(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(Path(SHOTS, f"{name}.png"))


@pytest.mark.slow
@pytest.mark.parametrize("viewer", [None, ADA], ids=["guest", "signed-in"])
@pytest.mark.parametrize("width", [1280, 600])
async def test_every_example_runs_unchanged(
    database: Database, browser: Browser, viewer: Viewer | None, width: int
) -> None:
    async with hosted(database, viewer) as url, opened(browser, url, width) as page:
        name = "Ada" if viewer is None else "Ada L."
        started = await execute(page, f'"{name}"')
        assert '"userErrors": []' in started
        await picture(page, f"start-{width}-{name}")
        edited = '"revision": 2' if viewer else "SIGN_IN_REQUIRED"
        reacted = '"count": 1' if viewer else "SIGN_IN_REQUIRED"
        answers = ["totalCount", "endCursor", '"commentCount": 2', '"depth": 1', "mind the roots"]
        answers += [reacted, edited, "lastSeq"]
        for tab, expected in enumerate(answers, 1):
            await page.run(f"document.querySelectorAll('.graphiql-tab-button')[{tab}].click()")
            response = await execute(page, expected)
            assert '"errors"' not in response
        await page.open(url, width)  # and once more, from what the browser has kept
        await page.wait(f"{EDITOR}.getValue().length > 20")
        assert '"errors"' not in await execute(page, '"lastSeq": 3')
        assert page.logged == []


@pytest.mark.parametrize("width", [1280, 600])
async def test_subscription_shows_event_after_mutation(
    database: Database, browser: Browser, width: int
) -> None:
    async with hosted(database, ADA) as url, opened(browser, url, width) as page:
        await page.run("document.querySelector('.graphiql-tab-add').click()")
        await page.run(f"{EDITOR}.setValue('subscription {{ threadBegun }}')")
        await execute(page, "listening")
        created = await page.run(SEND)
        assert created["data"]["createThread"]["userErrors"] == []
        await page.wait(f"({RESPONSE}).includes('begun')")
        await picture(page, f"subscription-{width}")
        assert page.logged == []


@pytest.mark.parametrize(("width", "is_stacked"), [(1280, False), (701, False), (600, True)])
async def test_panes_stack_on_narrow_screen(
    database: Database, browser: Browser, width: int, is_stacked: bool
) -> None:
    async with hosted(database, None) as url, opened(browser, url, width) as page:
        place = "document.querySelector('.graphiql-{}').getBoundingClientRect().toJSON()"
        editors = await page.run(place.format("editors"))
        response = await page.run(place.format("response"))
        assert (response["top"] >= editors["bottom"]) is is_stacked
        assert (response["left"] >= editors["right"]) is not is_stacked
        assert min(editors["width"], response["width"]) > 250
        assert min(editors["height"], response["height"]) > 250


async def test_reading_guests_see_runnable_examples(database: Database, browser: Browser) -> None:
    settings = Settings(guests="read", playground=True)
    serving = Serving(create_app(settings, database), settings)
    async with serving as server, opened(browser, f"http://{server.host}/graphql") as page:
        await execute(page, "totalCount")
        tabs = "[...document.querySelectorAll('.graphiql-tab-button')].map((e) => e.innerText)"
        assert await page.run(tabs) == ["Threads", "Page", "Tree", "Unread"]


async def test_page_of_allowed_origin_uses_api(database: Database, browser: Browser) -> None:
    """As a frontend on another port does: the browser decides."""
    plain = Settings()
    async with Serving(create_app(plain, database), plain) as frontend:
        origin = f"http://{frontend.host}"
        settings = Settings(origins=origin, guests="write", body_size=2048)
        serving = Serving(create_app(settings, database), settings)
        async with serving as api, browser.open() as page:
            await page.open(f"{origin}/health")
            await page.wait("location.href.endsWith('/health')")
            ask, open_socket = ASK.format(api.host), OPEN_SOCKET.format(api.host)
            fine = await page.run(f"{ask}(7)")
            assert fine["answer"]["data"] == {"__typename": "Query"}
            large = await page.run(f"{ask}(3000)")
            assert large["status"] == 413
            (error,) = large["answer"]["errors"]
            assert error["extensions"] == make_extensions("CONTENT_TOO_LARGE")
            bad = await page.run(f"{ask}(7, {{ authorization: 'Bearer x.y.z' }})")
            assert bad["answer"]["errors"][0]["extensions"] == make_extensions("UNAUTHENTICATED")
            assert await page.run(open_socket) == "open"
            # localhost is another origin than 127.0.0.1, and is not named.
            await page.open(f"{origin.replace('127.0.0.1', 'localhost')}/health")
            await page.wait("location.hostname === 'localhost'")
            failed = await page.run(f"{ask}(7).catch((error) => error.message)")
            assert failed == "Failed to fetch"
            assert await page.run(open_socket) == "refused"


async def test_assets_are_compressed_and_immutable(database: Database) -> None:
    transport = httpx.ASGITransport(create_app(Settings(playground=True), database))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        page = (await client.get("/graphql", headers={"accept": "text/html"})).text
        (script,) = (part for part in page.split('"') if part.endswith("vendor/graphiql.js"))
        answer = await client.get(f"/{script}", headers={"accept-encoding": "gzip, br"})
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) * 3 < len(answer.content)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/javascript")
        for encoding in ("identity", "gzip;q=0", "br"):
            plain = await client.get(f"/{script}", headers={"accept-encoding": encoding})
            assert "content-encoding" not in plain.headers
            assert plain.content == answer.content
            assert plain.headers["etag"] != answer.headers["etag"]
        value = {"if-none-match": answer.headers["etag"], "accept-encoding": "gzip"}
        assert (await client.get(f"/{script}", headers=value)).status_code == 304
        without = script.replace(script.split("/")[1] + "/", "")
        unversioned = await client.get(f"/{without}")
        assert unversioned.headers["cache-control"] == "no-cache"
        for path in ("playground/../page.py", "playground/%2e%2e/page.py", "playground/nothing.js"):
            assert (await client.get(f"/{path}")).status_code == 404
