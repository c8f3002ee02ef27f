"""A comment that is sent twice with one clientMutationId, as by a double click, is one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from conftest import Open
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from support.diary import Diary
from support.host import ADA, Client, Discreet, Gate, Host, blocked, key
from support.rows import count_rows, fetch
from support.statements import recorded

from tallied.database import Database
from tallied.database.unit_of_work import Repeated, UnitOfWork
from tallied.errors import Vetoed
from tallied.host.hooks import Event, Hooks
from tallied.models import Comment, Thread
from tallied.models.base import now
from tallied.resolvers.comments import NewComment, add_comment
from tallied.resolvers.submissions import REPEAT_TIME

ASKED = "isDuplicate clientMutationId comment { id message } thread { commentCount wordCount }"
MESSAGE = "one two three"


async def send(client: Client, thread: str, id: str | None = "7", **input: Any) -> Any:
    """Return the payload of addComment, which must succeed."""
    values = {**client.written(thread, MESSAGE), "clientMutationId": id, **input}
    return await client.do("addComment", ASKED, **values)


async def age(database: Database, by: timedelta) -> None:
    """Have all comments been made earlier than they were; their threads follow."""

    async def work(unit: UnitOfWork) -> None:
        for comment in (await unit.session.scalars(select(Comment))).all():
            comment.created_at -= by

    await database.write(work)


async def test_comment_sent_twice_is_one(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.moderator.thread("Engines")
    for count, client in enumerate((host.ada, host.guest), 1):
        first, second, third = [await send(client, thread) for _ in range(3)]
        assert first["isDuplicate"] is False
        assert second == third == {**first, "isDuplicate": True}
        assert first["clientMutationId"] == "7"
        assert first["thread"] == {"commentCount": count, "wordCount": 3 * count}
    assert await count_rows(database, Comment) == 2
    await host.assert_exact()


async def test_different_submission_is_another_comment(database: Database) -> None:
    """Relay counts from 0 on every page, so the id alone says nothing."""
    host = Host(database, settings={"guests": "write"})
    thread, other = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    created = [
        await send(host.ada, thread),
        await send(host.ada, thread, id="8"),
        await send(host.ada, thread, message="one two four"),
        await send(host.ada, other),
        await send(host.bob, thread),
        await send(host.guest, thread),
        await send(host.guest, thread, authorName="Grace"),
    ]
    assert [item["isDuplicate"] for item in created] == [False] * 7
    assert len({item["comment"]["id"] for item in created}) == 7
    await host.assert_exact()


async def test_without_client_id_nothing_is_duplicate(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    created = [await send(host.ada, thread, id=id) for id in (None, None, "", "")]
    assert [item["isDuplicate"] for item in created] == [False] * 4
    assert created[-1]["thread"] == {"commentCount": 4, "wordCount": 12}
    assert await count_rows(database, Comment, Comment.submission_key.is_not(None)) == 0


async def test_old_submission_is_another_comment(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    first = await send(host.ada, thread)
    await age(database, REPEAT_TIME - timedelta(seconds=20))
    assert (await send(host.ada, thread))["comment"] == first["comment"]
    await age(database, timedelta(seconds=20))
    second = await send(host.ada, thread)
    assert second["isDuplicate"] is False
    assert second["comment"]["id"] != first["comment"]["id"]
    assert second["thread"] == {"commentCount": 2, "wordCount": 6}
    third = await send(host.ada, thread)
    assert (third["isDuplicate"], third["comment"]) == (True, second["comment"])
    await host.assert_exact()


async def test_deleted_comment_can_be_sent_again(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    first = await send(host.ada, thread)
    await host.ada.do("deleteComment", "deletedCommentId", commentId=first["comment"]["id"])
    second = await send(host.ada, thread)
    assert second["isDuplicate"] is False
    assert second["thread"] == {"commentCount": 1, "wordCount": 3}
    await host.assert_exact()


async def test_duplicate_returns_edited_or_moved_comment(database: Database) -> None:
    host = Host(database)
    thread, other = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    first = await send(host.ada, thread)
    id = first["comment"]["id"]
    await host.ada.do("editComment", "comment { id }", commentId=id, message="four five")
    await host.moderator.do("moveComment", "comment { id }", commentId=id, threadId=other)
    await host.moderator.do("lockThread", "thread { id }", threadId=other)
    second = await send(host.ada, thread)
    assert second["isDuplicate"] is True
    assert second["comment"] == {"id": id, "message": "four five"}
    assert second["thread"] == {"commentCount": 1, "wordCount": 2}


@pytest.mark.slow
async def test_duplicate_hides_unreadable_comment(database: Database) -> None:
    host = Host(database, policy=Discreet())
    thread, secret = await host.ada.thread("Engines"), await host.moderator.thread("Secret plans")
    id = (await send(host.ada, thread))["comment"]["id"]
    await host.moderator.do("moveComment", "comment { id }", commentId=id, threadId=secret)
    input = {"threadId": thread, "message": MESSAGE, "clientMutationId": "7"}
    error = await host.ada.refused("addComment", **input)
    assert (error["field"], error["code"]) == ("threadId", "NOT_FOUND")


async def test_ordinary_path_costs_no_more_statements(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.ada.thread("Engines")
    verbs = []
    for id in (None, "7"):
        with recorded(database.engine.sync_engine) as executed:
            await send(host.guest, thread, id=id)
        verbs.append(executed.verbs)
    assert verbs[0] == verbs[1]
    look, *writes = verbs[1][:3]
    assert look == "SELECT tallied_thread"
    assert writes == ["INSERT tallied_comment", "UPDATE tallied_thread"]


# Hooks


async def test_after_hooks_run_once(database: Database) -> None:
    log: list[str] = []
    host = Host(database, hooks=[Diary(log)])
    thread = await host.ada.thread("Engines")
    log.clear()
    first = await send(host.ada, thread)
    assert log == ["before_add_comment", "after_add_comment"]
    assert await send(host.ada, thread) == {**first, "isDuplicate": True}
    assert log == ["before_add_comment", "after_add_comment"]


async def test_hook_does_not_refuse_duplicate(database: Database) -> None:
    class NoParrots(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            assert event.comment is not None
            message = event.comment["message"]
            if await session.scalar(select(Comment.id).where(Comment.message == message)):
                raise Vetoed("You have just said so.")

    host = Host(database, hooks=[NoParrots()])
    thread = await host.ada.thread("Engines")
    await send(host.ada, thread)
    assert (await send(host.ada, thread))["isDuplicate"] is True
    input = {"threadId": thread, "message": MESSAGE, "clientMutationId": "8"}
    assert (await host.ada.refused("addComment", **input))["code"] == "VETOED"


async def test_hooks_do_not_see_keys(database: Database) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary])
    thread = await host.ada.thread("Engines")
    await send(host.ada, thread)
    reply = [event.comment for _, event in diary.events if event.comment is not None]
    assert len(reply) == 2
    for comment in reply:
        assert not {"submission_key", "author_name_key"} & set(comment)


# Races


@pytest.fixture
async def racing(strict: Database) -> tuple[Host, Host, Gate, list[str]]:
    """Two hosts on one database: the first stands at the gate before it writes its comment."""
    log: list[str] = []
    gate = Gate("add_comment")
    return Host(strict, hooks=[Diary(log), gate]), Host(strict, hooks=[Diary(log)]), gate, log


async def test_two_concurrent_submissions_are_one(
    racing: tuple[Host, Host, Gate, list[str]], strict: Database
) -> None:
    """Both have looked and found none; the second writes first, and the first finds it then."""
    standing, other, gate, log = racing
    thread = await other.ada.thread("Engines")
    await send(other.ada, thread, message="an author by now")
    log.clear()
    first = asyncio.create_task(send(standing.ada, thread))
    await gate.arrived.wait()
    second = asyncio.create_task(send(other.ada, thread))
    if strict.is_sqlite:
        await blocked(strict, second)
    else:
        await second
    gate.open.set()
    answers = [await first, await second]
    assert sorted(item["isDuplicate"] for item in answers) == [False, True]
    assert answers[0]["comment"] == answers[1]["comment"]
    for item in answers:
        assert item["thread"] == {"commentCount": 2, "wordCount": 7}
    assert log.count("after_add_comment") == 1
    assert await count_rows(strict, Comment) == 2
    await other.assert_exact()


async def test_submission_waits_for_uncommitted_one(strict: Database) -> None:
    """The INSERT of the first is in, and holds its hash, when the second comes to its own."""
    inserted, go = asyncio.Event(), asyncio.Event()
    host = Host(strict)
    thread = await host.ada.thread("Engines")
    await send(host.ada, thread, message="an author by now")
    access = host.discussion.access(ADA)

    async def work(unit: UnitOfWork) -> Any:
        new = NewComment(MESSAGE)
        done = await add_comment(unit, access, key(thread), new, submission="7")
        inserted.set()
        await go.wait()
        return done

    first = asyncio.create_task(strict.write(work))
    await inserted.wait()
    second = asyncio.create_task(send(host.ada, thread))
    await blocked(strict, second)
    go.set()
    done, sent = await first, await second
    assert done.comment is not None
    assert (done.is_duplicate, sent["isDuplicate"]) == (False, True)
    assert key(sent["comment"]["id"]) == done.comment["id"]
    assert sent["thread"] == {"commentCount": 2, "wordCount": 7}
    await host.assert_exact()


async def test_many_concurrent_submissions_are_one(strict: Database) -> None:
    host = Host(strict, hooks=[Diary(log := [])])
    plain = Host(strict)
    thread = await host.ada.thread("Engines")
    log.clear()
    sent = await asyncio.gather(
        *(send(item.ada, thread) for item in (host, plain, host, plain, host, plain))
    )
    assert sorted(item["isDuplicate"] for item in sent) == [False, *[True] * 5]
    assert len({item["comment"]["id"] for item in sent}) == 1
    assert log.count("after_add_comment") <= 1
    assert await count_rows(strict, Comment) == 1
    assert (await host.authors())[ADA.subject][1:] == (1, 3)
    await host.assert_exact()


@pytest.mark.slow
async def test_old_submission_repeated_twice_is_one_more(strict: Database) -> None:
    host = Host(strict)
    thread = await host.ada.thread("Engines")
    await send(host.ada, thread)
    await age(strict, REPEAT_TIME)
    sent = await asyncio.gather(*(send(host.ada, thread) for _ in range(4)))
    assert sorted(item["isDuplicate"] for item in sent) == [False, True, True, True]
    assert await count_rows(strict, Comment) == 2
    assert await count_rows(strict, Comment, Comment.submission_key.is_not(None)) == 1
    await host.assert_exact()


# A host's own code


async def test_single_attempt_finds_duplicate(with_tables: None, open_database: Open) -> None:
    database = open_database(attempts=1)
    host = Host(database)
    thread = key(await host.ada.thread("Engines"))
    access, new = host.discussion.access(ADA), NewComment(MESSAGE)
    created = [
        await database.write(lambda unit: add_comment(unit, access, thread, new, submission="7"))
        for _ in range(3)
    ]
    assert [one.is_duplicate for one in created] == [False, True, True]


async def test_session_of_host_looks_before_write(database: Database) -> None:
    host = Host(database)
    thread = key(await host.ada.thread("Engines"))
    access, new = host.discussion.access(ADA), NewComment(MESSAGE)
    created = []
    for _ in range(2):
        async with database.sessions() as session, session.begin():
            unit = host.discussion.unit(session)
            created.append(await add_comment(unit, access, thread, new, submission="7"))
    assert [item.is_duplicate for item in created] == [False, True]
    assert created[0].comment == created[1].comment
    with pytest.raises(TypeError, match="submission must be a str"):
        await database.write(
            lambda unit: add_comment(unit, access, thread, new, submission=7)  # type: ignore[arg-type]
        )


async def test_permanent_hash_conflict_is_busy(database: Database) -> None:
    """A unit that says Repeated each time ends with the attempts."""

    async def work(unit: UnitOfWork) -> None:
        tries.append(unit.can_repeat)
        raise Repeated

    tries: list[bool] = []
    database.attempts = 3
    with pytest.raises(Exception, match="busy with other changes"):
        await database.write(work)
    assert tries == [True, False, False]


async def test_time_and_hash_of_comment_are_stable(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    before = now()
    await send(host.ada, thread)
    await send(host.ada, thread)
    query = select(Comment.created_at, Comment.submission_key)
    ((created_at, hashed),) = await fetch(database, query)
    assert before <= created_at <= now()
    assert len(hashed) == 64
    assert await count_rows(database, Thread, Thread.last_comment_at == created_at) == 1
