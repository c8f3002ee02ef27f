"""Hooks of units that are retried, committed or rolled back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from conftest import Open
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from support.diary import Diary, Note, notes
from support.host import Host
from support.rows import count_rows

from tallied.database import Database
from tallied.host.hooks import Event, Hooks
from tallied.host.targets import Target
from tallied.models import Comment, Thread


async def test_retried_unit_runs_after_hooks_once(database: Database) -> None:
    log: list[str] = []

    class Deadlocked(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            session.add(Thread(title="A note"))
            if log.count("before_add_comment") < 3:
                await fail_for_a_retry(database, session)

    host = Host(database, hooks=[Diary(log), Deadlocked()])
    thread = await host.ada.thread("Engines")
    log.clear()
    await host.ada.comment(thread)
    assert log == ["before_add_comment"] * 3 + ["after_add_comment"]
    assert await notes(database) == 1
    await host.assert_exact()


async def fail_for_a_retry(database: Database, session: AsyncSession) -> None:
    """Have the database itself ask for a retry."""
    if not database.is_sqlite:
        statement = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"
        await session.execute(text(statement))
        return
    # Another connection cannot begin to write while this unit does, and says SQLITE_BUSY.
    async with database.engine.connect() as other:
        await other.execute(text("PRAGMA busy_timeout = 0"))
        try:
            await other.execute(text("BEGIN IMMEDIATE"))
        finally:
            await other.execute(text("PRAGMA busy_timeout = 5000"))


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_unit_that_loses_race_runs_hooks_again(open_database: Open, database: Any) -> None:
    strict = open_database(isolation_level="REPEATABLE READ")
    log: list[str] = []
    both = asyncio.Barrier(2)

    class Together(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            if log.count("before_add_comment") <= 2:
                await both.wait()

    host = Host(strict, hooks=[Diary(log), Together()])
    thread = await host.ada.thread("Engines")
    await host.bob.thread("Looms")
    log.clear()
    await asyncio.gather(host.ada.comment(thread), host.bob.comment(thread))
    assert log.count("before_add_comment") == 3
    assert log.count("after_add_comment") == 2
    await host.assert_exact()


async def test_after_hooks_see_commit(database: Database) -> None:
    observed: list[int] = []

    class Counting(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            observed.append(await count_rows(database, Comment))

        async def after_add_comment(self, event: Event) -> None:
            observed.append(await count_rows(database, Comment))

    host = Host(database, hooks=[Counting()])
    await host.ada.comment(await host.ada.thread("Engines"))
    assert observed == [0, 1]


async def test_failing_after_hook_is_only_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    fault = RuntimeError("the mail server is away")
    host = Host(database, hooks=[Diary(log, "1 ", after_add_comment=fault), Diary(log, "2 ")])
    thread = await host.ada.thread("Engines")
    log.clear()
    with caplog.at_level(logging.ERROR, "tallied.host.hooks"):
        await host.ada.comment(thread)
    assert log[2:] == ["1 after_add_comment", "2 after_add_comment"]
    (record,) = caplog.records
    assert record.getMessage() == "the hook Diary.after_add_comment has failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is fault
    assert await count_rows(database, Comment) == 1


async def test_rejected_unit_runs_no_after_hooks(database: Database) -> None:
    log: list[str] = []
    host = Host(database, hooks=[Diary(log), Note()], settings={"message_length": 20})
    wordy = Target("wordy", lambda *_: None, message_length=100)  # type: ignore[arg-type,return-value]
    longer = Host(
        database, hooks=[Diary(log), Note()], targets=[wordy], settings={"message_length": 20}
    )
    thread = await host.ada.thread("Engines")
    log.clear()
    # The target lets it be longer elsewhere, so it is found out when the thread is known.
    error = await longer.ada.refused("addComment", threadId=thread, message="a" * 50)
    assert (error["code"], error["field"]) == ("TOO_LONG", "message")
    assert "after_add_comment" not in log
    assert await notes(database) == 0


async def test_each_change_runs_its_own_after_hooks(database: Database) -> None:
    log: list[str] = []
    host = Host(database, hooks=[Diary(log)])
    await host.ada(
        """mutation { a: createThread(input: {title: "A"}) { thread { id } }
                      b: createThread(input: {title: "B"}) { thread { id } } }"""
    )
    assert log == ["before_create_thread", "after_create_thread"] * 2


class Slow(Hooks):
    """Takes until it is let go, after the commit."""

    def __init__(self) -> None:
        self.began, self.go, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def after_add_comment(self, event: Event) -> None:
        self.began.set()
        await self.go.wait()
        self.ended.set()


@pytest.fixture
def slow(database: Database) -> tuple[Slow, list[str], Host]:
    log: list[str] = []
    slow = Slow()
    return slow, log, Host(database, hooks=[slow, Diary(log)], settings={"execution_time": 1})


async def test_after_hooks_survive_disconnect(
    database: Database, slow: tuple[Slow, list[str], Host]
) -> None:
    hook, log, host = slow
    request = asyncio.create_task(host.ada.comment(await host.ada.thread("Engines")))
    await hook.began.wait()
    log.clear()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await count_rows(database, Comment) == 1
    assert not hook.ended.is_set()
    hook.go.set()
    await database.dispose()  # which waits for what follows
    assert hook.ended.is_set()
    assert log == ["after_add_comment"]


async def test_slow_after_hook_does_not_lose_response(
    database: Database, slow: tuple[Slow, list[str], Host]
) -> None:
    hook, log, host = slow
    thread = await host.ada.thread("Engines")
    log.clear()
    request = asyncio.create_task(host.ada.comment(thread))
    await hook.began.wait()
    await asyncio.sleep(1.2)  # longer than a request may be executed for
    assert not request.done()
    hook.go.set()
    assert await request
    assert log == ["before_add_comment", "after_add_comment"]


async def test_request_waits_bounded_time_for_hooks(
    database: Database, slow: tuple[Slow, list[str], Host]
) -> None:
    hook, log, host = slow
    thread = await host.ada.thread("Engines")
    log.clear()
    database.patience = 0.2
    added = await host.ada(
        """mutation($a: AddCommentInput!, $t: ID!, $b: AddCommentInput!) {
             one: addComment(input: $a) { thread { commentCount title } }
             renamed: renameThread(input: {threadId: $t, title: "Looms"}) { thread { title } }
             two: addComment(input: $b) { thread { commentCount title } } }""",
        a=host.ada.written(thread),
        t=thread,
        b=host.ada.written(thread),
    )
    assert added["one"]["thread"] == {"commentCount": 1, "title": "Engines"}
    assert added["two"]["thread"] == {"commentCount": 2, "title": "Looms"}
    assert not hook.ended.is_set()
    hook.go.set()
    await database.dispose()  # which waits for what follows
    assert log.count("after_add_comment") == 2
    assert hook.ended.is_set()


LIMIT = 3
"""Seconds that a request may take: enough for a comment on a busy machine."""


class Endless(Hooks):
    """Takes its time twice: after a comment, a little, and before a change of title, too much."""

    async def after_add_comment(self, event: Event) -> None:
        await asyncio.sleep(LIMIT + 0.2)

    async def before_rename_thread(self, event: Event, session: AsyncSession) -> None:
        await asyncio.Event().wait()


async def test_timeout_includes_slow_hook(database: Database) -> None:
    host = Host(database, hooks=[Endless()], settings={"execution_time": LIMIT})
    thread = await host.ada.thread("Engines")
    async with asyncio.timeout(30):
        response = await host.ada.http.post(
            "/graphql",
            json={
                "query": """mutation($i: AddCommentInput!, $t: ID!) {
                              addComment(input: $i) { comment { id } }
                              renameThread(input: {threadId: $t, title: "A"}) {
                                thread { id } } }""",
                "variables": {"i": host.ada.written(thread), "t": thread},
            },
        )
    assert response.status_code == 500
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "TIMEOUT"
    assert "changes made before: 1" in error["message"]
