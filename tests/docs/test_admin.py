"""docs/how-to/admin.md is correct: staff alone sees the tables, and nobody writes to them."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from support.guides import run_block

from tallied.database import Database
from tallied.discussion import Discussion

KEY = "change me: 32 random bytes"


async def sign_in(request: Request) -> Response:
    request.session["is_staff"] = request.query_params["staff"] == "yes"
    return PlainTextResponse("Welcome.")


async def test_admin_of_page_is_read_by_staff_only(database: Database) -> None:
    discussion = Discussion(database)
    thread = await discussion.create_thread(discussion.access_as_host(), "Engines")
    id = thread.thread["id"]
    url = database.url.render_as_string(hide_password=False)
    names = run_block("admin", {"sqlite+aiosqlite:///forum.db": url})
    # The host's own page shares the key and the cookie, as the guide says.
    host = Starlette(
        routes=[Route("/login", sign_in), Mount("/", names["app"])],
        middleware=[Middleware(SessionMiddleware, secret_key=KEY)],
    )
    transport = httpx.ASGITransport(host)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for staff in (None, "no", "yes"):
            if staff:
                await client.get("/login", params={"staff": staff})
            page = await client.get("/admin/thread/list")
            assert page.status_code == (200 if staff == "yes" else 302)
        assert "Engines" in page.text
        assert "Engines" not in (await client.get("/admin/thread/list?search=Looms")).text
        for name in ("thread", "comment", "author"):
            assert (await client.get(f"/admin/{name}/list")).status_code == 200
            created = await client.post(f"/admin/{name}/create", data={"title": "Looms"})
            assert created.status_code == 403
        edited = await client.post(f"/admin/thread/edit/{id}", data={"title": "Looms"})
        deleted = await client.delete(f"/admin/thread/delete?pks={id}")
        assert (edited.status_code, deleted.status_code) == (403, 403)
    assert (await discussion.read_threads(None, first=2)).nodes[0].title == "Engines"
    await names["engine"].dispose()
