"""Views of comments in several threads: the latest ones, those of an author, and the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from support.host import ADA, BOB, MODERATOR, Discreet, Host

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import NotAllowed, SignInRequired


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, policy=Discreet())


async def fill(host: Host) -> dict[str, UUID]:
    """Add comments in three threads, one of them secret; one is deleted, and one waits."""
    discussion, keys = host.discussion, {}
    threads = [
        (await discussion.create_thread(viewer, title)).thread["id"]
        for viewer, title in ((ADA, "Engines"), (BOB, "Looms"), (MODERATOR, "Secret plans"))
    ]
    for number, viewer in enumerate((ADA, BOB, MODERATOR, ADA, BOB, MODERATOR)):
        change = await discussion.add_comment(viewer, threads[number % 3], f"message {number}")
        assert change.comment is not None
        keys[f"message {number}"] = change.comment["id"]
    reply = await discussion.add_comment(BOB, threads[0], "a reply", reply_to_id=keys["message 0"])
    assert reply.comment is not None
    keys["a reply"] = reply.comment["id"]
    await discussion.delete_comment(ADA, keys["message 0"])
    await discussion.moderate_comments(MODERATOR, [keys["message 4"]], "pending", reason="Why")
    await discussion.flag_comment(BOB, keys["message 3"], "spam")
    return keys


def messages(page: Any) -> list[str]:
    assert all(page.threads[node.thread_id].title for node in page.nodes)
    return [node.message for node in page.nodes]


async def test_latest_comments_follow_policy(host: Host, statements: Callable[[], Any]) -> None:
    keys = await fill(host)
    discussion = host.discussion
    with statements() as executed:
        page = await discussion.read_latest_comments(None, first=2)
        full = await discussion.read_latest_comments(ADA, first=50)
    assert messages(page) == ["a reply", "message 3"]
    # The comments, their threads and all names; and who the viewer is.
    assert len(executed) == 3 + 4
    rest = await discussion.read_latest_comments(None, first=9, after=page.end_cursor)
    assert (messages(rest), rest.has_previous_page) == (["message 1"], True)
    assert messages(full) == ["a reply", "message 3", "message 1"]
    assert [node.viewer_can_edit for node in full.nodes] == [False, True, False]
    ada = full.nodes[1].author_id
    everything = messages(await discussion.read_latest_comments(MODERATOR, first=50))
    assert everything == ["a reply", "message 5", "message 3", "message 2", "message 1"]
    assert messages(await discussion.read_latest_comments(None, author_id=ada)) == ["message 3"]
    secret = await discussion.read_comment(MODERATOR, keys["message 5"])
    assert secret is not None
    moderator = secret.author_id
    assert messages(await discussion.read_latest_comments(ADA, author_id=moderator)) == []
    own = await discussion.read_latest_comments(MODERATOR, author_id=moderator)
    assert messages(own) == ["message 5", "message 2"]


async def test_queue_is_for_moderators(host: Host, statements: Callable[[], Any]) -> None:
    await fill(host)
    discussion = host.discussion
    with statements() as executed:
        page = await discussion.read_moderation_queue(MODERATOR)
    assert len(executed) == 4
    waiting, flagged = page.nodes
    assert (waiting.message, waiting.status) == ("message 4", "pending")
    assert page.threads[waiting.thread_id].title == "Looms"
    assert (flagged.message, flagged.flagged, flagged.flag_count) == ("message 3", True, 1)
    pending = await discussion.read_moderation_queue(MODERATOR, part="PENDING", first=1)
    assert messages(pending) == ["message 4"]
    thread = flagged.thread_id
    only = await discussion.read_moderation_queue(MODERATOR, thread_id=thread)
    assert messages(only) == ["message 3"]
    viewers: tuple[tuple[Viewer | None, type[Exception]], ...] = (
        (None, SignInRequired),
        (BOB, NotAllowed),
    )
    for viewer, error in viewers:
        with pytest.raises(error):
            await discussion.read_moderation_queue(viewer)
