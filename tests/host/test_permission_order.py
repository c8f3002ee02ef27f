"""Permission errors precede hooks and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from support.diary import Diary
from support.host import Discreet, Host, blocked, key
from support.rows import count_rows, locked

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.policy import ThreadContext
from tallied.host.targets import Target
from tallied.models import Author, Comment, Thread

EDIT = """mutation($c: ID!) { editComment(input: {commentId: $c, message: "two"}) {
            comment { message } userErrors { code } } }"""


class Quiet(Discreet):
    """In threads about what is quiet, moderators alone may comment."""

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return viewer is not None and (viewer.is_moderator or thread.target_type != "quiet")


async def titles(_: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
    return {id: f"{'Secret' if id == '1' else 'Open'} {id}" for id in ids}


@pytest.mark.postgresql  # SQLite has one lock, which is about no row
async def test_permission_error_precedes_lock(database: Database) -> None:
    quiet = Target("quiet", titles)
    host = Host(database, policy=Quiet(), targets=[quiet], settings={"guests": "write"})
    thread = await host.moderator.thread("Secret plans", "one two")
    comment = await host.moderator.comment(thread, "three")
    visible = await host.moderator.thread("Open plans")
    foreign_comment = await host.moderator.comment(visible, "four five")
    target = {"type": "quiet", "key": "2"}
    change = await host.moderator.do("threadFor", "thread { id }", target=target)
    quiet_thread = change["thread"]["id"]
    author = (await host.moderator("{ viewer { author { id } } }"))["author"]["id"]
    own = await host.ada.comment(visible)
    rows = [(Thread, key(id)) for id in (thread, visible, quiet_thread)]
    rows += [(Comment, key(id)) for id in (comment, foreign_comment)] + [(Author, key(author))]
    # Less than a unit waits for a lock.
    async with locked(database, *rows), asyncio.timeout(4):
        for change, input, code in (
            ("renameThread", {"threadId": thread, "title": "A"}, "NOT_FOUND"),
            ("lockThread", {"threadId": thread}, "NOT_FOUND"),
            ("deleteThread", {"threadId": thread}, "NOT_FOUND"),
            ("addComment", {"threadId": thread, "message": "A"}, "NOT_FOUND"),
            ("editComment", {"commentId": comment, "message": "A"}, "NOT_FOUND"),
            ("deleteComment", {"commentId": comment}, "NOT_FOUND"),
            ("moveComment", {"commentId": comment, "threadId": visible}, "NOT_FOUND"),
            ("renameThread", {"threadId": visible, "title": "A"}, "NOT_ALLOWED"),
            ("deleteThread", {"threadId": visible}, "NOT_ALLOWED"),
            ("addComment", {"threadId": quiet_thread, "message": "A"}, "NOT_ALLOWED"),
            ("editComment", {"commentId": foreign_comment, "message": "A"}, "NOT_ALLOWED"),
            ("deleteComment", {"commentId": foreign_comment}, "NOT_ALLOWED"),
            ("restoreComment", {"commentId": foreign_comment}, "NOT_ALLOWED"),
            ("restoreComment", {"commentId": comment}, "NOT_FOUND"),
            ("moveComment", {"commentId": own, "threadId": visible}, "NOT_ALLOWED"),
            ("deleteAuthor", {"authorId": author}, "NOT_ALLOWED"),
            ("deleteAuthor", {"authorId": author, "comments": "TOMBSTONE"}, "NOT_ALLOWED"),
        ):
            assert (await host.ada.refused(change, **input))["code"] == code, change
        # Who may, waits.
        waiting = asyncio.create_task(
            host.moderator.do("deleteComment", "deletedCommentId", commentId=comment)
        )
        await blocked(database, waiting)
    await waiting
    await host.assert_exact()


@pytest.mark.postgresql  # units of SQLite run one by one: nothing can come between
async def test_permission_is_checked_again_after_lock(database: Database) -> None:
    """Ada may edit when she asks; by the time that it is her turn, her comment is out of reach."""
    host = Host(database, policy=Quiet())
    visible = await host.ada.thread("Open plans")
    thread = await host.moderator.thread("Secret plans")
    comment = await host.ada.comment(visible, "one")
    async with database.engine.connect() as connection:
        row = Comment.__table__.update().where(Comment.id == key(comment))
        await connection.execute(row.values(thread_id=key(thread)))
        editing = asyncio.create_task(host.ada(EDIT, c=comment))
        await blocked(database, editing)
        await connection.commit()
    assert (await editing)["userErrors"] == [{"code": "NOT_FOUND"}]


async def test_hooks_do_not_run_for_unreadable_thread(database: Database) -> None:
    log: list[str] = []
    host = Host(database, policy=Quiet(), hooks=[Diary(log)], targets=[Target("article", titles)])
    refused = await host.ada.refused("threadFor", target={"type": "article", "key": "1"})
    assert (refused["code"], refused["field"]) == ("NOT_FOUND", "target.key")
    assert log == []
    assert await count_rows(database, Author) == 0
    for client, id in ((host.ada, "2"), (host.moderator, "1"), (host.ada, "2")):
        target = {"type": "article", "key": id}
        await client.do("threadFor", "thread { id title }", target=target)
    assert log == ["before_create_thread", "after_create_thread"] * 2
    assert await count_rows(database, Thread) == 2


@pytest.mark.parametrize("hooks", [(), (Diary([]),)], ids=["no hooks", "hooks"])
async def test_too_long_comment_is_not_moved(database: Database, hooks: tuple[Diary, ...]) -> None:
    host = Host(database, hooks=hooks, targets=[Target("photo", titles, message_length=9)])
    target = {"type": "photo", "key": "7"}
    short = (await host.ada.do("threadFor", "thread { id }", target=target))["thread"]["id"]
    thread = await host.ada.thread("Engines")
    long, fits = [await host.ada.comment(thread, text) for text in ("ten of it.", "nine here")]
    error = await host.moderator.refused("moveComment", commentId=long, threadId=short)
    assert error == {
        "message": "The comment has 10 characters, and that thread takes at most 9; shorten it"
        " first.",
        "field": "threadId",
        "code": "TOO_LONG",
    }
    await host.moderator.do("moveComment", "comment { id }", commentId=fits, threadId=short)
    await host.moderator.do("moveComment", "comment { id }", commentId=long, threadId=thread)
    await host.assert_exact()
