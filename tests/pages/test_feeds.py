"""Atom feeds of a thread, and of all threads that may be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from support.host import ADA, BOB, MODERATOR, Discreet, Host

from tallied.database import Database
from tallied.models import Comment
from tallied.models.base import now
from tallied.pages import Pages, feeds

HOUR_AGO = format_datetime(now() - timedelta(hours=1), usegmt=True)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def host(database: Database) -> Host:
    host = Host(database, policy=Discreet())
    Pages(host.discussion, secret="a secret of the tests, which is long enough").install(host.app)
    return host


def entries(content: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a feed that has what RFC 4287 (4.1.1, 4.1.2) demands."""
    root = ElementTree.fromstring(content)
    assert root.tag == f"{ATOM}feed"
    required = ("id", "title", "updated")
    assert all(root.findtext(ATOM + name) for name in required)
    links = {link.attrib["rel"]: link.attrib["href"] for link in root.iter(f"{ATOM}link")}
    assert links.keys() == {"self", "alternate"}
    for entry in root.iter(f"{ATOM}entry"):
        assert all(entry.findtext(ATOM + name) for name in required)
        content_ = entry.find(f"{ATOM}content")
        link = entry.find(f"{ATOM}link")
        assert content_ is not None
        assert link is not None
        assert content_.attrib == {"type": "html"}
        yield {
            "name": entry.findtext(f"{ATOM}author/{ATOM}name"),
            "html": content_.text,
            "title": entry.findtext(f"{ATOM}title"),
            "href": link.attrib["href"],
            "id": entry.findtext(f"{ATOM}id"),
        }


async def test_feed_has_latest_comments_that_may_be_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    discussion = host.discussion
    thread = (await discussion.create_thread(ADA, "Salt & <b>sea</b>")).thread["id"]
    secret = (await discussion.create_thread(MODERATOR, "Secret plans")).thread["id"]
    keys = []
    for viewer, id, message in (
        (ADA, thread, "*one*"),
        (MODERATOR, secret, "hidden"),
        (BOB, thread, "<script>two</script>"),
    ):
        change = await discussion.add_comment(viewer, id, message)
        assert change.comment is not None
        keys.append(change.comment["id"])
    await discussion.add_comment(ADA, thread, "three", reply_to_id=keys[2])

    async with host.guest.http as http, host.moderator.http as moderator:
        path = f"/discussion/threads/{thread}/feed.atom"
        response = await http.get(path)
        assert response.headers["content-type"] == "application/atom+xml; charset=utf-8"
        assert "last-modified" not in response.headers  # so soon after a change
        three, two, one = entries(response.text)
        assert (one["name"], one["html"].strip()) == ("Ada", "<p><em>one</em></p>")
        assert one["title"] == "Ada on “Salt & <b>sea</b>”"
        assert "<script>" not in two["html"]
        assert two["id"] == f"urn:uuid:{keys[2]}"
        assert two["href"].endswith(f"/discussion/comments/{keys[2]}#comment-{keys[2]}")
        assert "three" in three["html"]
        known = {"if-none-match": response.headers["etag"]}
        unchanged = await http.get(path, headers=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")

        everything = await http.get("/discussion/feed.atom")
        assert len(list(entries(everything.text))) == 3
        assert len(list(entries((await moderator.get("/discussion/feed.atom")).text))) == 4
        hidden = f"/discussion/threads/{secret}/feed.atom"
        assert (await http.get(hidden)).status_code == 404
        assert len(list(entries((await moderator.get(hidden)).text))) == 1

        # Hidden comments leave their places to others.
        monkeypatch.setattr(feeds, "ENTRIES", 1)
        ids = [UUID(three["id"].removeprefix("urn:uuid:")), keys[2]]
        await discussion.moderate_comments(MODERATOR, ids, "rejected")
        (only,) = entries((await http.get(path)).text)
        assert only["id"] == one["id"]

        await discussion.edit_comment(ADA, keys[0], "another")
        assert (await http.get(path, headers=known)).status_code == 200


async def test_feed_is_read_again_after_deletion(host: Host) -> None:
    """Its latest time is not later then, and a copy would keep the deleted text."""
    discussion = host.discussion
    thread = (await discussion.create_thread(ADA, "Engines")).thread["id"]

    async def add(unit: Any) -> None:
        for hours, message in ((3, "one"), (2, "two")):
            time = now() - timedelta(hours=hours)
            unit.session.add(Comment(thread_id=thread, message=message, created_at=time))

    await discussion.write(add)
    async with host.guest.http as http:
        assert (await http.get(f"/discussion/threads/{UUID(int=1)}/feed.atom")).status_code == 404
        for path in (f"/discussion/threads/{thread}/feed.atom", "/discussion/feed.atom"):
            response = await http.get(path)
            first, *others = entries(response.text)
            known = {"if-modified-since": response.headers.get("last-modified", HOUR_AGO)}
            moderator = discussion.access_as_host()
            await discussion.delete_comment(moderator, UUID(first["id"].rpartition(":")[2]))
            response = await http.get(path, headers=known)
            assert response.status_code == 200
            assert [*entries(response.text)] == others
