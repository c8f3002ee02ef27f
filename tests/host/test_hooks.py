"""Hooks: code of a host before every change, which may veto it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import mutation
from support.diary import OPERATIONS, Diary, Note, notes
from support.host import ADA, Discreet, Host, key
from support.reply_trees import add_reply
from support.rows import count_rows

from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import Rejected, Vetoed
from tallied.host.hooks import Event, Hooks
from tallied.models import Author, Comment, Thread
from tallied.resolvers.comments import NewComment
from tallied.resolvers.threads import create_thread


def test_every_operation_has_two_hooks() -> None:
    assert len(OPERATIONS) == 16
    for name in OPERATIONS:
        assert callable(getattr(Hooks, f"after_{name}"))


async def test_every_change_runs_hooks_in_order(database: Database) -> None:
    log: list[str] = []
    host = Host(database, hooks=[Diary(log, "1 "), Diary(log, "2 ")])
    ada, moderator = host.ada, host.moderator

    def ran(operation: str) -> None:
        steps = [f"{n} {when}_{operation}" for when in ("before", "after") for n in (1, 2)]
        assert log == steps
        log.clear()

    thread = await ada.thread("Engines")
    ran("create_thread")
    comment = await ada.comment(thread)
    ran("add_comment")
    await ada.do("renameThread", "thread { id }", threadId=thread, title="Looms")
    ran("rename_thread")
    await ada.do("editComment", "comment { id }", commentId=comment, message="one")
    ran("edit_comment")
    other = await ada.thread("Mills")
    log.clear()
    await moderator.do("moveComment", "comment { id }", commentId=comment, threadId=other)
    ran("move_comment")
    await moderator.do("lockThread", "thread { id }", threadId=thread)
    ran("lock_thread")
    await moderator.do("unlockThread", "thread { id }", threadId=thread)
    ran("unlock_thread")
    await ada.do("deleteComment", "comment { id }", commentId=comment)
    ran("delete_comment")
    await moderator.do("deleteThread", "deletedThreadId", threadId=thread)
    ran("delete_thread")
    author = (await ada("{ viewer { author { id } } }"))["author"]["id"]
    await ada.do("deleteAuthor", "deletedAuthorId", authorId=author)
    ran("delete_author")


async def test_events_describe_change(database: Database) -> None:
    log: list[str] = []
    diary = Diary(log)
    host = Host(database, hooks=[diary])
    one, two = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    comment = await host.ada.comment(one, "one two three")
    await host.ada.do("editComment", "comment { id }", commentId=comment, message="four five")
    await host.moderator.do("moveComment", "comment { id }", commentId=comment, threadId=two)
    await host.ada.do("deleteComment", "comment { id }", commentId=comment)
    events = dict(diary.events)
    event = events["before_create_thread"]
    assert (event.operation, event.viewer and event.viewer.subject) == ("create_thread", "user-1")
    assert (event.thread["id"], event.thread["title"]) == (key(two), "Looms")
    assert event.thread["author_id"] == event.viewer.author_id
    assert events["after_create_thread"].thread["comment_count"] == 0

    event = events["before_add_comment"]
    assert (event.thread["id"], event.comment["message"]) == (key(one), "one two three")
    assert (event.comment["id"], event.comment["word_count"]) == (key(comment), 3)
    event = events["after_add_comment"]
    assert (event.thread["comment_count"], event.thread["word_count"]) == (1, 3)

    event = events["before_edit_comment"]
    assert event.comment["message"] == "four five"
    event = events["after_edit_comment"]
    assert event.comment["word_count"] == 2
    assert event.thread["word_count"] == 2

    event = events["after_move_comment"]
    assert (event.thread["id"], event.previous_thread["id"]) == (key(two), key(one))
    assert (event.thread["word_count"], event.previous_thread["word_count"]) == (2, 0)

    event = events["before_delete_comment"]
    assert event.comment["message"] == "four five"
    with pytest.raises(TypeError):
        event.comment["message"] = "six"


async def test_first_comment_runs_comment_hooks(database: Database) -> None:
    log: list[str] = []
    diary = Diary(log)
    result: list[Any] = []

    class Finding(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            assert event.thread is not None
            title = select(Thread.title).where(Thread.id == event.thread["id"])
            result.append(await session.scalar(title))

    host = Host(database, hooks=[diary, Finding()])
    await host.ada.do(
        "createThread", "thread { id }", title="Engines", comment={"message": "one two"}
    )
    assert log == [
        "before_create_thread",
        "before_add_comment",
        "after_create_thread",
        "after_add_comment",
    ]
    assert result == ["Engines"]
    for point, event in diary.events:
        assert event.operation == point.partition("_")[2]
        assert event.comment["thread_id"] == event.thread["id"]
        assert (event.comment["message"], event.comment["word_count"]) == ("one two", 2)
        counters = event.thread["comment_count"], event.thread["word_count"]
        assert counters == ((1, 2) if point.startswith("after_") else (0, 0)), point
    await host.assert_exact()


@pytest.mark.parametrize("field", ["message", "authorName", "title", None])
async def test_veto_of_first_comment_names_nested_field(
    database: Database, field: str | None
) -> None:
    veto = Vetoed("Write it in lower case.", field=field)
    log: list[str] = []
    host = Host(database, hooks=[Note(), Diary(log, before_add_comment=veto)])
    path = f"comment.{field}" if field in ("message", "authorName") else field
    error = await host.ada.refused("createThread", title="Engines", comment={"message": "ONE"})
    assert error == {"message": "Write it in lower case.", "field": path, "code": "VETOED"}
    assert log == ["before_create_thread", "before_add_comment"]
    thread = await host.ada.thread("Engines")
    error = await host.ada.refused("addComment", threadId=thread, message="ONE")
    assert error["field"] == field


async def test_vetoed_first_comment_leaves_no_thread(database: Database) -> None:
    host = Host(database, hooks=[Diary([], before_add_comment=Vetoed("No."))])
    access = host.discussion.access(ADA)

    async def work(unit: UnitOfWork) -> None:
        with pytest.raises(Vetoed):
            await create_thread(unit, access, "Looms", NewComment("one"))
        await create_thread(unit, access, "Mills")

    await host.discussion.write(work)
    listed = await host.ada("{ threads(first: 5) { nodes { title } } }")
    assert listed["nodes"] == [{"title": "Mills"}]
    await host.assert_exact()


async def test_hook_receives_new_author(database: Database) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary])
    thread = await host.moderator.thread("Engines")
    await host.ada.comment(thread)
    for _, event in diary.events[2:]:
        assert event.viewer.subject == ADA.subject
        assert event.viewer.author_id == event.comment["author_id"] is not None


# Vetoes


async def test_veto_is_reported_and_changes_nothing(database: Database) -> None:
    log: list[str] = []
    veto = Vetoed("message is in capitals; write it in lower case.", field="message")
    hooks = [Note(), Diary(log, "1 ", before_add_comment=veto), Diary(log, "2 ")]
    host = Host(database, hooks=hooks)
    thread = await host.moderator.thread("Engines")
    log.clear()
    error = await host.ada.refused("addComment", threadId=thread, message="ONE")
    assert error == {
        "message": "message is in capitals; write it in lower case.",
        "field": "message",
        "code": "VETOED",
    }
    assert log == ["1 before_add_comment"]
    assert await notes(database) == 0
    assert set(await host.authors()) == {"user-9"}


async def test_every_operation_can_be_vetoed(database: Database) -> None:
    stage = Host(database)
    log: list[str] = []
    faults = {f"before_{name}": Vetoed(f"No {name}.") for name in OPERATIONS}
    host = Host(database, hooks=[Diary(log, "", **faults)])
    thread, other = await stage.ada.thread("Engines"), await stage.ada.thread("Looms")
    comment = await stage.ada.comment(thread)
    deleted = await stage.ada.comment(thread)
    await add_reply(database, deleted)
    await stage.ada.do("deleteComment", "comment { id }", commentId=deleted)
    reaction = {"commentId": comment, "kind": "heart"}
    await stage.moderator.do("addReaction", "comment { id }", **reaction)
    author = (await stage.ada("{ viewer { author { id } } }"))["author"]["id"]
    for change, input in (
        ("createThread", {"title": "A", "comment": {"message": "one"}}),
        ("renameThread", {"threadId": thread, "title": "A"}),
        ("lockThread", {"threadId": thread}),
        ("unlockThread", {"threadId": thread}),
        ("deleteThread", {"threadId": thread}),
        ("addComment", {"threadId": thread, "message": "A"}),
        ("editComment", {"commentId": comment, "message": "A"}),
        ("moveComment", {"commentId": comment, "threadId": other}),
        ("deleteComment", {"commentId": comment}),
        ("restoreComment", {"commentId": deleted}),
        ("addReaction", {"commentId": comment, "kind": "like"}),
        ("removeReaction", reaction),
        ("markRead", {"threadId": thread, "upTo": 1}),
        ("moderateComments", {"ids": [comment], "to": "SPAM"}),
        ("flagComment", {"commentId": comment, "reason": "SPAM"}),
        ("deleteAuthor", {"authorId": author}),
    ):
        error = await host.moderator.refused(change, **input)
        assert error["code"] == "VETOED"
        assert error["message"].startswith("No ")
        assert error["field"] is None
    assert sorted(log) == sorted(f"before_{name}" for name in OPERATIONS)


async def test_own_rejection_of_host_is_veto(database: Database) -> None:
    class TooMany(Rejected):
        code = "TOO_MANY"

    host = Host(database, hooks=[Diary([], before_add_comment=TooMany("Come back tomorrow."))])
    thread = await host.ada.thread("Engines")
    error = await host.ada.refused("addComment", threadId=thread, message="one")
    assert error == {"message": "Come back tomorrow.", "field": None, "code": "VETOED"}


@pytest.mark.parametrize(
    "fault", [RuntimeError("a secret"), ValueError(), KeyError("secret")], ids=repr
)
async def test_failing_before_hook_is_masked_and_rolled_back(
    database: Database, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(database, hooks=[Note(), Diary([], before_add_comment=fault)])
    thread = await host.moderator.thread("Engines")
    before = await host.ada.contents()
    error = await host.ada.error(
        mutation("addComment", "comment { id }"), i=host.ada.written(thread)
    )
    assert error["code"] == "INTERNAL_SERVER_ERROR"
    assert "secret" not in str(error)
    assert await host.ada.contents() == before
    assert any(record.exc_info for record in caplog.records)


async def test_broken_row_of_hook_is_internal_error(database: Database) -> None:
    """A foreign key of its own that has no row says nothing of the thread of the comment."""

    class Careless(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            session.add(Comment(thread_id=event.viewer.author_id, message="lost"))  # type: ignore

        before_move_comment = before_edit_comment = before_add_comment

    stage, host = Host(database), Host(database, hooks=[Careless()])
    thread = await stage.ada.thread("Engines")
    comment, other = await stage.ada.comment(thread), await stage.ada.thread("Looms")
    before = await host.ada.contents()
    for change, input in (
        ("addComment", {"threadId": thread, "message": "A"}),
        ("editComment", {"commentId": comment, "message": "A"}),
        ("moveComment", {"commentId": comment, "threadId": other}),
    ):
        await stage.moderator.thread("So that they are an author")
        before = await host.ada.contents()
        error = await host.moderator.error(mutation(change), i=input)
        assert error["code"] == "INTERNAL_SERVER_ERROR", change
        assert await host.ada.contents() == before


async def test_permission_error_precedes_veto(database: Database) -> None:
    stage = Host(database)
    log: list[str] = []
    faults = {f"before_{name}": Vetoed("The plans are secret.") for name in OPERATIONS}
    host = Host(
        database, hooks=[Diary(log, "", **faults)], policy=Discreet(), settings={"guests": "write"}
    )
    thread = await stage.moderator.thread("Secret plans")
    comment = await stage.moderator.comment(thread)
    visible = await stage.ada.thread("Engines")
    own = await stage.ada.comment(visible)
    author = (await stage.ada("{ viewer { author { id } } }"))["author"]["id"]
    for change, input in (
        ("addComment", {"threadId": thread, "message": "A"}),
        ("editComment", {"commentId": comment, "message": "A"}),
        ("deleteComment", {"commentId": comment}),
        ("renameThread", {"threadId": thread, "title": "A"}),
        ("lockThread", {"threadId": thread}),
        ("deleteThread", {"threadId": thread}),
    ):
        assert (await host.bob.refused(change, **input))["code"] == "NOT_FOUND"
    for change, input in (
        ("editComment", {"commentId": own, "message": "A"}),
        ("moveComment", {"commentId": own, "threadId": thread}),
        ("deleteThread", {"threadId": visible}),
        ("deleteAuthor", {"authorId": author}),
    ):
        assert (await host.bob.refused(change, **input))["code"] == "NOT_ALLOWED"
    moved = await host.moderator.refused("moveComment", commentId=own, threadId=thread)
    assert moved["code"] == "VETOED"  # only a viewer with the right gets the veto
    assert log == ["before_move_comment"]


async def test_check_message_may_veto(database: Database) -> None:
    def check(message: str) -> None:
        if "spam" in message:
            raise Vetoed("message advertises; write something else.", field="message")

    host = Host(database, check_message=check)
    thread = await host.ada.thread("Engines")
    comment = await host.ada.comment(thread, "one")
    for change, input in (
        ("addComment", {"threadId": thread, "message": "spam"}),
        ("editComment", {"commentId": comment, "message": "spam"}),
        ("createThread", {"title": "A", "comment": {"message": "spam"}}),
    ):
        error = await host.ada.refused(change, **input)
        assert error["code"] == "VETOED"
        assert error["message"] == "message advertises; write something else."
        assert error["field"] == ("comment.message" if change == "createThread" else "message")
    assert await count_rows(database, Author) == 1
