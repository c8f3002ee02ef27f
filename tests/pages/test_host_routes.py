"""A host's own pages and forms, beside those of Tallied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from support.browsing import Browsing
from support.host import ADA, Host

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError, NotFound, Unauthenticated, UserError
from tallied.pages import Pages

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])

SECRET = "a secret of the tests, which is long enough"
FORM = """{% extends "tallied/base.html" %}{% block main %}<p>{{ viewer.name }}</p>
<form method="post" action="{{ request.url.path }}">{{ csrf }}<input name="message"></form>
{% endblock %}"""


def get_viewer(connection: HTTPConnection) -> Viewer | None:
    """Return Ada with a session, None without one, and refuse the session of a deleted account."""
    session = connection.cookies.get("session")
    if session == "deleted":
        raise Unauthenticated("This account was deleted; sign in again.")
    return ADA if session else None


async def fail(connection: HTTPConnection) -> Response:
    raise NotFound("The recipe was deleted.")


@pytest.fixture
def host(database: Database, tmp_path: Path) -> Host:
    """A host with a form at two paths, one of them to sign in, and with routes that fail."""
    (tmp_path / "form.html").write_text(FORM)
    host = Host(database, get_viewer=get_viewer)
    pages = Pages(host.discussion, secret=SECRET, templates=tmp_path, sign_in="/login")

    async def show(request: Request) -> Response:
        if request.method == "POST":
            return PlainTextResponse((await pages.read_form(request))["message"])
        return await pages.render(request, "form.html")

    for path in ("/recipe", "/login"):
        host.app.add_route(path, show, ["GET", "POST"])
    host.app.add_route("/gone", fail)
    host.app.router.routes.append(WebSocketRoute("/socket", fail))
    pages.install(host.app)
    return host


@pytest.fixture
async def browser(host: Host) -> AsyncIterator[Browsing]:
    browser = Browsing(host.app)
    async with browser.http:
        yield browser


async def test_error_of_own_route_is_shown_as_page(browser: Browsing) -> None:
    await browser.see("/gone", 404)
    assert browser.texts("h1") == ["This did not work"]


async def test_expired_form_of_own_page_keeps_text(browser: Browsing) -> None:
    await browser.see("/recipe")
    browser.http.cookies.set("session", "of Ada")  # from another tab
    refused = await browser.send("/recipe", message="Less salt.")
    assert refused.status_code == 403
    assert browser.texts("textarea") == ["Less salt."]


async def test_invalid_session_leads_to_own_sign_in_page(browser: Browsing) -> None:
    browser.http.cookies.set("session", "deleted")
    for path in ("/recipe", "/discussion/"):
        await browser.see(path)
        assert browser.path.startswith("/login?next=")
        assert browser.texts("main p") == [""]
    sent = await browser.send("/login", message="ada")
    assert (sent.status_code, sent.text) == (200, "ada")


async def test_handler_of_application_answers_its_errors(database: Database) -> None:
    def respond(request: Request, error: Exception) -> Response:
        return PlainTextResponse("Ours", 410)

    app = Starlette(routes=[Route("/gone", fail)], exception_handlers={UserError: respond})
    Pages(Discussion(database, get_viewer=get_viewer), secret=SECRET).install(app)
    browser = Browsing(app)
    async with browser.http:
        assert (await browser.http.get("/gone")).text == "Ours"


async def test_api_installed_first_shares_path_of_pages(database: Database) -> None:
    app, discussion = Starlette(), Discussion(database, get_viewer=get_viewer)
    discussion.install(app, "/discussion/")
    Pages(discussion, secret=SECRET).install(app)
    browser = Browsing(app)
    async with browser.http:
        for path in ("/discussion/graphql?query={__typename}", "/discussion/schema.graphql"):
            assert (await browser.http.get(path)).status_code == 200, path
        await browser.see("/discussion/")
        await browser.see("/discussion/nowhere", 404)
        assert browser.texts("h1") == ["This did not work"]


@pytest.mark.parametrize("before", ["mounted API", "static files", "page for every path"])
def test_pages_that_no_request_would_reach_are_refused(database: Database, before: str) -> None:
    discussion = Discussion(database, get_viewer=get_viewer)
    routes: dict[str, BaseRoute] = {
        "mounted API": Mount("/discussion", routes=discussion.routes()),
        "static files": Mount("/", Starlette()),
        "page for every path": Route("/{path:path}", fail),
    }
    app = Starlette(routes=[routes[before]])
    with pytest.raises(ConfigurationError, match=r"^/discussion/.* would not be reached"):
        Pages(discussion, secret=SECRET).install(app)


def test_api_installed_below_pages_is_refused(host: Host) -> None:
    with pytest.raises(ConfigurationError, match="/discussion/graphql would not be reached"):
        host.discussion.install(host.app, "/discussion")


async def test_error_of_websocket_is_raised(host: Host) -> None:
    async def exchange(*message: Any) -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b""}
    with pytest.raises(NotFound):
        await host.app(scope, exchange, exchange)
