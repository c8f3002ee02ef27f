"""Requests that no browser sends, and applications that are mounted in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from starlette.applications import Starlette
from starlette.routing import Mount
from support.browsing import Browsing
from support.host import Host

from tallied.database import Database
from tallied.errors import Busy
from tallied.pages import Pages

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def host(database: Database) -> Host:
    host = Host(database, settings={"guests": "write"})
    Pages(host.discussion, secret="a secret of the tests, which is long enough").install(host.app)
    return host


def browse(stack: AsyncExitStack, app: Any) -> httpx.AsyncClient:
    browser = Browsing(app)
    stack.push_async_callback(browser.http.aclose)
    return browser.http


async def test_unusual_header_or_query_gets_response(host: Host, stack: AsyncExitStack) -> None:
    async def with_bytes(scope: Any, *others: Any) -> None:
        await host.app({**scope, "query_string": b"x=\xff"}, *others)

    for path in ("/discussion/", "/discussion/new", "/discussion/feed.atom"):
        assert (await browse(stack, with_bytes).get(path)).status_code == 200, path
    since = {"if-modified-since": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}
    response = await browse(stack, host.app).get("/discussion/feed.atom", headers=since)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/discussion?after=", 200, "Discussions"),
        ("/discussion/threads/nope", 404, "This did not work"),
        ("/discussion/?after=zzz", 400, "This did not work"),
        ("/discussion/?before=zzz", 400, "This did not work"),
    ],
)
async def test_wrong_address_shows_page_in_plain_words(
    host: Host, stack: AsyncExitStack, path: str, status: int, heading: str
) -> None:
    http = browse(stack, Starlette(routes=[Mount("/forum", host.app)]))
    response = await http.get(f"/forum{path}", follow_redirects=True)
    page = HTMLParser(response.text)
    assert (response.status_code, response.url.path[:18]) == (status, "/forum/discussion/")
    assert [item.text() for item in page.css("h1")] == [heading]
    assert page.css("title, a[href='/forum/discussion/']")
    assert "orderBy" not in response.text


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("multipart/form-data; boundary=x; charset=unicode_escape", 415),
        ("multipart/form-data; boundary=x; charset=punycode", 415),
        ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", 403),  # since its token is missing
    ],
)
async def test_form_has_to_be_in_utf_8(
    host: Host, stack: AsyncExitStack, media_type: str, status: int
) -> None:
    headers = {"content-type": media_type}
    body = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n\\ud800\r\n--x--\r\n'
    http = browse(stack, host.app)
    response = await http.post("/discussion/new", content=body, headers=headers)
    assert response.status_code == status


async def test_links_lead_to_mounted_application(host: Host, stack: AsyncExitStack) -> None:
    http = browse(stack, Starlette(routes=[Mount("/forum", host.app)]))
    page = (await http.get("/forum/discussion/")).text
    assert 'href="/forum/discussion/new"' in page
    assert 'href="/discussion' not in page
    feed = (await http.get("/forum/discussion/feed.atom")).text
    assert "http://host.test/forum/discussion/feed.atom" in feed


async def test_viewer_that_cannot_be_read_is_503(
    host: Host, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: Any) -> None:
        raise Busy("Too many are reading; try again later.")

    monkeypatch.setattr(host.discussion, "get_viewer", fail)
    assert (await browse(stack, host.app).get("/discussion/")).status_code == 503
