"""Edits: conflicts under the comment's lock, and the history that they leave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from support.api import mutation
from support.host import ADA, BOB, MODERATOR, Gate, Host, key, run_behind
from support.plans import PlannedApi
from support.rows import count_rows, fetch_values, find_drifts

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import Conflict
from tallied.host.policy import CommentContext, Policy
from tallied.models import Revision
from tallied.resolvers import comments, views

HISTORY = """query($t: ID!) { thread(id: $t) { wordCount comments { nodes { message revision
  viewerCanReadHistory revisions { number message messageHtml wordCount editedAt editor { name } }
  } } } }"""
EDITED = "userErrors { code field } comment { message revision }"


class Open(Policy):
    """Everyone reads the history of comments."""

    def may_read_history(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return True


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function by which later edits come exactly so many seconds after the earlier."""
    time = comments.now()
    monkeypatch.setattr(comments, "now", lambda: time)

    def wait(seconds: int) -> None:
        nonlocal time
        time += timedelta(seconds=seconds)

    return wait


async def edit(client: Any, id: str, message: str, expected: int | None = None) -> Any:
    input = {"commentId": id, "message": message}
    if expected is not None:
        input["expectedRevision"] = expected
    return await client(mutation("editComment", EDITED), i=input)


async def test_history_has_original_and_latest_edits(
    database: Database, statements: Any, wait: Callable[[int], None]
) -> None:
    host = Host(database, settings={"revisions": 4})
    thread = await host.moderator.thread("Engines")
    comment, other = await host.ada.comment(thread, "one"), await host.bob.comment(thread, "two")

    async def history(client: Any) -> list[tuple[int, str, str | None]]:
        node = (await client(HISTORY, t=thread))["comments"]["nodes"][0]
        assert [row["wordCount"] for row in node["revisions"]] == [
            len(row["message"].split()) for row in node["revisions"]
        ]
        return [
            (row["number"], row["message"], row["editor"] and row["editor"]["name"])
            for row in node["revisions"]
        ]

    assert await history(host.ada) == []
    assert (await edit(host.ada, comment, "one"))["comment"]["revision"] == 1
    assert await count_rows(database, Revision) == 0
    with statements() as executed:
        await edit(host.ada, comment, "one a")
    assert executed.verbs.count("INSERT tallied_revision") == 1
    assert sum("tallied_revision" in verb for verb in executed.verbs) == 1
    original = (1, "one", "Ada")
    assert await history(host.ada) == [original, (2, "one a", "Ada")]
    wait(59)
    with statements() as executed:
        await edit(host.ada, comment, "one a b")
    assert sum("tallied_revision" in verb for verb in executed.verbs) == 2
    assert await history(host.ada) == [original, (3, "one a b", "Ada")]
    await edit(host.moderator, comment, "one m")  # at once, but somebody else
    wait(61)
    await edit(host.ada, comment, "one a")
    full = [original, (3, "one a b", "Ada"), (4, "one m", "Max"), (5, "one a", "Ada")]
    assert await history(host.ada) == full
    wait(61)
    await edit(host.ada, comment, "<b> one")
    latest = [*full[1:], (6, "<b> one", "Ada")]
    for client, expected in (
        (host.ada, latest),
        (host.moderator, latest),
        (host.bob, []),
        (host.guest, []),
        (Host(database, policy=Open()).guest, latest),
    ):
        assert await history(client) == expected
    assert (await host.guest(HISTORY, t=thread))["wordCount"] == 3

    await edit(host.bob, other, "two b")
    planned = PlannedApi(database, host.discussion.rules)
    for viewer in (None, ADA, BOB, MODERATOR):
        with statements() as executed:
            answer = await planned(HISTORY, viewer, t=thread)
        assert sum("tallied_revision" in verb for verb in executed.verbs) == 1
        assert answer == await planned.by_core(HISTORY, viewer, t=thread)
    assert planned.counts.executed == 4
    rows = answer["data"]["thread"]["comments"]["nodes"][0]["revisions"]
    assert "<b>" not in rows[-1]["messageHtml"]
    async with database.read() as connection:
        access = host.discussion.access(ADA)
        histories = await views.read_history(connection, access, [key(comment), key(other)])
        view = await views.read_comment(connection, access, key(comment))
    assert {id: [row.number for row in rows] for id, rows in histories.items()} == {
        key(comment): [3, 4, 5, 6]
    }
    assert view is not None
    assert view.revision == 6
    await host.assert_exact()


async def test_stale_edit_gets_current_comment(database: Database) -> None:
    host = Host(database)
    comment = await host.ada.comment(await host.ada.thread("Engines"), "one")
    assert (await edit(host.ada, comment, "two", 1))["comment"] == {"message": "two", "revision": 2}
    # An edit that replaces a revision is one all the same.
    assert (await edit(host.moderator, comment, "three", 2))["comment"]["revision"] == 3
    before = await host.ada.contents()
    conflict = {
        "userErrors": [{"code": "CONFLICT", "field": "expectedRevision"}],
        "comment": {"message": "three", "revision": 3},
    }
    for expected in (2, 0, -1, 99):
        assert await edit(host.ada, comment, "four", expected) == conflict
    assert await host.ada.contents() == before
    planned = PlannedApi(database, host.discussion.rules)
    input = {"commentId": comment, "message": "four", "expectedRevision": 2}
    answer = await planned(mutation("editComment", EDITED), ADA, i=input)
    assert answer["data"]["editComment"] == conflict
    # Who may not edit learns nothing of the comment's revisions.
    assert (await edit(host.bob, comment, "four", 2))["userErrors"] == [
        {"code": "NOT_ALLOWED", "field": None}
    ]
    with pytest.raises(Conflict) as refused:
        await host.discussion.write(
            lambda unit: comments.edit_comment(
                unit, host.discussion.access(ADA), key(comment), "four", expected_revision=2
            )
        )
    assert refused.value.change.comment["message"] == "three"  # type: ignore[attr-defined]
    without = Host(database, settings={"revisions": 0})
    await edit(without.ada, comment, "five")
    assert await count_rows(database, Revision) == 3


@pytest.mark.parametrize("checks", [True, False])
async def test_one_of_two_edits_of_a_revision_succeeds(
    database: Database, monkeypatch: pytest.MonkeyPatch, checks: bool
) -> None:
    """Without the check under the lock, the first edit is lost."""
    gate = Gate("edit_comment")
    host = Host(database, hooks=[gate])
    comment = await host.ada.comment(await host.ada.thread("Engines"), "one")
    if not checks:
        monkeypatch.setattr(comments, "_check_revision", lambda *_: None)
    first, second = await run_behind(
        gate,
        database,
        edit(host.ada, comment, "two", 1),
        edit(host.moderator, comment, "three", 1),
    )
    assert first["comment"] == {"message": "two", "revision": 2}
    codes = [error["code"] for error in second["userErrors"]]
    assert codes == (["CONFLICT"] if checks else [])
    assert second["comment"]["message"] == ("two" if checks else "three")
    assert await count_rows(database, Revision) == (2 if checks else 3)
    await host.assert_exact()


async def test_history_goes_with_what_it_tells(database: Database) -> None:
    host = Host(database, policy=Open())
    thread = await host.bob.thread("Engines")
    first, parent, third = [await host.ada.comment(thread, "secret") for _ in range(3)]
    await host.bob.comment(thread, "one", replyToId=parent)
    for id in (first, parent, third):
        await edit(host.ada, id, "harmless")
    await edit(host.moderator, third, "moderated")
    assert await count_rows(database, Revision) == 7
    await host.ada.do("deleteComment", "deletedCommentId", commentId=first)
    assert await count_rows(database, Revision) == 5
    query = "query($c: ID!) { comment(id: $c) { isDeleted revisions { message } } }"
    await host.ada.do("deleteComment", "deletedCommentId", commentId=parent)
    assert await host.moderator(query, c=parent) == {"isDeleted": True, "revisions": []}
    assert await count_rows(database, Revision) == 3
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=author, comments="KEEP")
    orphans = select(Revision.editor_id.is_(None)).order_by(Revision.number)
    assert await fetch_values(database, orphans) == [True, True, False]
    await host.moderator.do("deleteThread", "deletedThreadId", threadId=thread)
    assert await count_rows(database, Revision) == 0
    assert await find_drifts(database) == []
