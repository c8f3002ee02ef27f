"""Pages that are put together on the server, by a browser without JavaScript."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from support.browsing import Browsing
from support.host import ADA, BOB, HEADER, MODERATOR, Discreet, Host

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import ConfigurationError, RateLimited
from tallied.host.comment_checks import CheckedComment, CommentCheck
from tallied.pages import Pages
from tallied.pages.texts import Texts
from tallied.pages.views import PageSize

SECRET = "a secret of the tests, which is long enough"
ATTACK = "<script>alert(1)</script>"


class Review(CommentCheck):
    """Holds a comment back that asks for it, or refuses it for a time."""

    async def check(self, comment: CheckedComment, session: Any) -> str | None:
        if "wait" in comment.message:
            raise RateLimited("Wait 30 seconds.", params={"seconds": 30})
        return "It says so." if "hold this" in comment.message else None


class Visitors:
    """A host with pages, and its visitors."""

    def __init__(self, database: Database, stack: AsyncExitStack, **options: Any) -> None:
        settings = {"guests": "write"}
        checks = [Review()]
        self.host = Host(database, policy=Discreet(), settings=settings, comment_checks=checks)
        self.discussion = self.host.discussion
        options = {"secret": SECRET, "sign_in": "/login", **options}
        self.pages = Pages(self.discussion, **options)
        self.pages.install(self.host.app)
        self._stack = stack

    def browser(self, viewer: Viewer | None) -> Browsing:
        """Return the browser of a viewer, or of a guest."""
        value = viewer and json.dumps([viewer.subject, viewer.name, viewer.is_moderator])
        browser = Browsing(self.host.app, {HEADER: value} if value else {})
        self._stack.push_async_callback(browser.http.aclose)
        return browser

    async def thread(self, title: str = "Engines", *messages: str) -> str:
        """Return the path of a new thread with comments."""
        author = MODERATOR if title.startswith("Secret") else ADA
        id = (await self.discussion.create_thread(author, title)).thread["id"]
        for message in messages:
            await self.discussion.add_comment(author, id, message)
        return f"/discussion/threads/{id}"


def key_of(path: str) -> UUID:
    """Return the key at the end of a path."""
    return UUID(path.rpartition("/")[2])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def visitors(database: Database, stack: AsyncExitStack) -> Visitors:
    return Visitors(database, stack, size=PageSize(comments=2))


async def test_discussion_works_without_scripts(visitors: Visitors) -> None:
    ada, bob, guest = map(visitors.browser, (ADA, BOB, None))
    await ada.see("/discussion/new")
    done = await ada.send("/new", title=f"Why {ATTACK}", message="A *first* word.")
    assert done.status_code == 303
    assert ada.texts("h1, .tallied-message em") == [f"Why {ATTACK}", "first"]
    thread = ada.path

    await bob.see(thread)
    done = await bob.send("/comments", message=f"A {ATTACK} second.")
    (first, second) = bob.ids()
    assert done.headers["location"] == f"{thread}#comment-{second}"
    await bob.see(thread)
    await bob.send("/comments", message="A reply.", reply_to=first)
    assert bob.texts(".tallied-target .tallied-message") == ["A reply."]

    await guest.see(thread)
    refused = await guest.send("/comments", message="From outside.", author_name=" ")
    assert refused.status_code == 422
    assert guest.page.css_first("#comment-author_name").attributes["aria-invalid"] == "true"
    assert guest.texts("#comment-author_name-error") == [
        "This is empty; write 1 to 100 characters."
    ]
    assert guest.texts("#comment-message") == ["From outside."]
    await guest.send("/comments", author_name=f"Max {ATTACK}")
    assert f"Max {ATTACK}" in guest.texts(".tallied-by strong")
    assert guest.page.css("script") == []
    await guest.see("/discussion/")
    (line,) = guest.texts(".tallied-threads .tallied-by")
    assert "4 comments · 10 words" in line  # of 3, 3, 2 and 2 words

    await visitors.host.assert_exact()


async def test_new_comment_leads_to_page_that_shows_it(visitors: Visitors) -> None:
    ada, thread = visitors.browser(ADA), await visitors.thread("Engines", "One.")

    async def article(request: Any) -> Any:
        view = await visitors.pages.read_thread(request, key_of(thread))
        return await visitors.pages.render(request, "tallied/thread.html", discussion=view)

    visitors.host.app.add_route("/article", article)
    await ada.see("/article?tag=steam")
    done = await ada.send("/comments", message="Two, of two on a page.")
    (_, second) = ada.ids()
    assert done.headers["location"] == f"/article?tag=steam#comment-{second}"
    done = await ada.send("/comments", message="Three, on the second page.")
    third = ada.ids()[-1]
    assert done.headers["location"] == f"/discussion/comments/{third}#comment-{third}"


@pytest.mark.slow
async def test_reactions_pages_and_deletion_need_no_script(visitors: Visitors) -> None:
    ada, title = visitors.browser(ADA), f"Why {ATTACK}"
    thread = await visitors.thread(title, "One.", f"A {ATTACK} two.", "Three.")
    await ada.see(thread)
    (first, second) = ada.ids()
    await visitors.discussion.add_comment(BOB, key_of(thread), "Reply.", reply_to_id=UUID(first))
    await ada.send(f"/comments/{second}/react")
    assert ada.path == thread
    assert ada.fields(f"/comments/{second}/react")["withdraw"] == "yes"
    await ada.send(f"/comments/{second}/react")
    assert ada.fields(f"/comments/{second}/react")["withdraw"] == "no"

    await ada.see(thread)
    assert ada.texts(".tallied-list > li > article .tallied-message") == [
        "One.",
        f"A {ATTACK} two.",
    ]
    assert ada.texts(".tallied-replies .tallied-message") == ["Reply."]
    link = ada.page.css_first("nav a[rel=next]").attributes["href"]
    await ada.see(link or "")
    assert ada.texts(".tallied-message") == ["Three."]
    back = ada.page.css_first("nav a[rel=prev]").attributes["href"]
    await ada.see(back or "")
    assert ada.ids()[0] == first

    await ada.see(f"/discussion/comments/{first}/edit")
    await ada.send("/edit", message="One, edited.")
    await ada.see(f"/discussion/comments/{first}/delete?next=//evil.test")
    done = await ada.send("/delete")
    assert done.headers["location"] == thread
    assert ada.texts(".tallied-by strong")[0] == "Deleted comment"
    assert "edited" not in ada.texts(".tallied-by")[1]
    await ada.see("/discussion/")
    assert ada.texts("h2 a") == [title]
    await visitors.host.assert_exact()


async def test_stale_edit_shows_both_texts(visitors: Visitors) -> None:
    thread = await visitors.thread("Engines", "The original.")
    ada, other = visitors.browser(ADA), visitors.browser(ADA)
    await ada.see(thread)
    (id,) = ada.ids()
    for browser in (ada, other):
        await browser.see(f"/discussion/comments/{id}/edit?next={thread}")
        assert browser.texts("textarea") == ["The original."]
    refused = await ada.send("/edit", message=" ")
    assert (refused.status_code, len(ada.texts("#edit-message-error"))) == (422, 1)
    await other.send("/edit", message="Of the other.")
    assert (other.path, other.texts(".tallied-message")) == (thread, ["Of the other."])
    stale = await ada.send("/edit", message="Of Ada.")
    assert stale.status_code == 409
    assert ada.texts(".tallied-message, textarea") == ["Of the other.", "Of Ada."]
    await ada.send("/edit")
    assert ada.texts(".tallied-message") == ["Of Ada."]
    bob, moderator = map(visitors.browser, (BOB, MODERATOR))
    await bob.see(f"/discussion/comments/{id}/edit", 403)
    await moderator.see(f"/discussion/comments/{id}/edit")
    assert "your" not in moderator.page.css_first("body").text().lower()


async def test_forged_form_changes_nothing(visitors: Visitors) -> None:
    thread = await visitors.thread("Engines", "The only one.")
    ada, bob, guest = map(visitors.browser, (ADA, BOB, None))
    for browser in (ada, bob, guest):
        await browser.see(thread)
    (id,) = ada.ids()
    data = ada.fields("/comments") | {"message": "Forged."}
    other = bob.fields("/comments")["csrf"]
    for csrf in ("", "x", "é", other, guest.fields("/comments")["csrf"]):
        refused = await ada.http.post(f"{thread}/comments", data=data | {"csrf": csrf})
        assert refused.status_code == 403, csrf
        assert "out of date" in refused.text
        assert "Forged." in refused.text  # to be copied
    stolen = {"cookie": f"tallied_form={bob.http.cookies['tallied_form']}"}
    for headers in ({"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}, stolen):
        values = data | ({"csrf": other} if headers is stolen else {})
        ada.http.cookies.clear()
        refused = await ada.http.post(f"{thread}/comments", data=values, headers=headers)
        assert refused.status_code == 403, headers
    for path in (
        f"{thread}/lock",
        *(f"/discussion/comments/{id}/{name}" for name in ("edit", "delete", "react")),
    ):
        refused = await ada.http.post(path, data={"message": "x", "kind": "like", "revision": "1"})
        assert refused.status_code == 403, path
    assert (await ada.http.post(f"{thread}/comments", json=data)).status_code == 415
    large = data | {"message": "x" * 500_000}
    assert (await ada.http.post(f"{thread}/comments", data=large)).status_code == 413
    await ada.see(thread)
    assert ada.texts(".tallied-message") == ["The only one."]
    assert ada.page.css("[aria-pressed=true]") == []


async def test_pages_follow_policy_and_settings(
    visitors: Visitors, statements: Callable[[], Any]
) -> None:
    secret = await visitors.thread("Secret plans", "Hidden.")
    thread = await visitors.thread("Engines", "One.", "Two.")
    ada, bob, guest, moderator = map(visitors.browser, (ADA, BOB, None, MODERATOR))
    await bob.see(secret, 404)
    await moderator.see(secret)
    for browser in (ada, bob):  # with an author, and without
        with statements() as executed:
            await browser.see(thread)
        # Who it is; the thread, its comments and names; the thread, replies; and reactions.
        assert len(executed) == 7
    await ada.see(thread)
    (id, other) = ada.ids()
    await bob.see(thread)
    assert bob.page.css("form[action$='/lock'], a[href*='/delete']") == []
    data = bob.fields("/comments")
    twice = data | {"message": "Sent twice."}
    for _ in range(2):
        assert (await bob.http.post(f"{thread}/comments", data=twice)).status_code == 303
    await bob.send("/comments", message="Please hold this back.")
    assert bob.path == f"{thread}?notice=pending"
    assert bob.texts("#notice") == ["Your comment waits for a moderator."]
    await ada.see(f"/discussion/comments/{id}/edit")
    await ada.send("/edit", message="Now hold this.")
    assert ada.texts("#notice") == ["Your comment waits for a moderator."]
    early = await bob.http.post(f"{thread}/comments", data=data | {"message": "I cannot wait."})
    assert (early.status_code, early.headers["retry-after"]) == (429, "30")
    await ada.see(f"/discussion/comments/{other}/edit")
    early = await ada.send("/edit", message="I cannot wait.")
    assert (early.status_code, early.headers["retry-after"]) == (429, "30")
    await moderator.see(thread)
    assert moderator.texts("#discussion-heading") == ["2 comments"]
    await moderator.send("/lock")
    assert moderator.texts(".tallied-locked") == ["The discussion is closed."]
    late = await bob.http.post(f"{thread}/comments", data=data | {"message": "Late."})
    assert (late.status_code, "Late." in late.text) == (409, True)
    await bob.see(f"{thread}?after=nowhere", 400)
    await bob.see(f"/discussion/comments/{UUID(int=7)}", 404)
    edit = f"/discussion/comments/{other}/edit"
    leads = await guest.http.get(edit)
    assert leads.headers["location"] == f"/login?next={quote(edit, safe='')}"


async def test_host_overrides_templates_and_texts(
    database: Database, stack: AsyncExitStack, tmp_path: Path
) -> None:
    (tmp_path / "tallied").mkdir()
    (tmp_path / "tallied/base.html").write_text(
        '{% extends "!tallied/base.html" %}{% block header %}<h2>{{ name }}</h2>{% endblock %}'
    )
    (tmp_path / "own.html").write_text(
        '{% from "tallied/comments.html" import comment_form, comment_list %}'
        "<h3>{{ name }}</h3>{{ comment_list(discussion) }}{{ comment_form(discussion) }}"
    )

    async def values(_: Any) -> dict[str, str]:
        return {"name": f"A {ATTACK}"}

    visitors = Visitors(
        database,
        stack,
        path="/talk",
        templates=tmp_path,
        values=values,
        descending=True,
        texts={"send_comment": "Absenden", "error_BLANK": "Bitte etwas schreiben."},
    )
    pages, ada = visitors.pages, visitors.browser(ADA)
    thread = (await visitors.thread("Engines", "One.")).replace("/discussion", "/talk")

    async def article(request: Any) -> Any:
        view = await pages.read_thread(request, key_of(thread))
        return await pages.render(request, "own.html", discussion=view)

    visitors.host.app.add_route("/article", article)
    await ada.see("/article")
    assert ada.texts("h3, #comment-message + button") == [f"A {ATTACK}", "Absenden"]
    done = await ada.send(f"{thread}/comments", message="Two.")
    (newest, _) = ada.ids()
    assert done.headers["location"] == f"/article#comment-{newest}"
    refused = await ada.send(f"{thread}/comments", message=" ")
    assert refused.status_code == 422
    assert ada.texts("h2, #comment-message-error")[0] == f"A {ATTACK}"
    assert ada.texts("#comment-message-error") == ["Bitte etwas schreiben."]
    refusals: list[dict[str, Any]] = [{"secret": "short"}, {"texts": {"sned": ""}}]
    for options in (*refusals, {"path": "talk/"}, {"templates": [tmp_path, tmp_path / "absent"]}):
        with pytest.raises(ConfigurationError):
            Pages(visitors.discussion, **({"secret": SECRET} | options))
    for name, text, sentence in (
        ("error_TOO_LONG", "{max} {länge}", "{actual}, {max}, not {länge}"),
        ("error_LOCKED", "{max}", "no value, not {max}"),
        ("comments_one", "{n}", "{count}, not {n}"),
        ("by", "{name", "write a brace as {{"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(sentence)):
            Texts({name: text})
    assert Texts({"message_help": "{", "error_OURS": "{x}"})("message_help") == "{"
