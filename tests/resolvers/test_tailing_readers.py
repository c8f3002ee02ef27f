"""A reader who asks for what comes after the last cursor sees every comment of a thread once.

Nothing may be committed at a place that the reader has passed: the time of a comment is taken
under the lock of its thread.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from support.host import ADA, Client, Gate, Host, blocked, key
from support.rows import fetch_values, store
from support.sessions import Counted

from tallied.auth.viewer import Viewer
from tallied.database import CountedSession, Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.models import Comment, Thread
from tallied.models.counters import counters
from tallied.resolvers import chronology
from tallied.resolvers.comments import NewComment, add_comment
from tallied.schema.ids import encode_id

AHEAD = datetime(2031, 5, 6, 7, 8, 59, 999_999, UTC)
"""A time in the future, one microsecond before a full minute."""

MICROSECOND = timedelta(microseconds=1)


class Tail:
    """A reader of one thread, who goes on from the last comment seen."""

    def __init__(self, client: Client, thread: str, size: int = 100) -> None:
        self.client, self.thread, self.size = client, thread, size
        self.cursor: str | None = None
        self.messages: list[str] = []

    async def read(self) -> list[str]:
        """Return the messages of what has come since the last time."""
        query = """query($id: ID!, $first: Int, $after: String) { thread(id: $id) {
          comments(first: $first, after: $after) { nodes { message } pageInfo { endCursor } } } }"""
        input = {"id": self.thread, "first": self.size, "after": self.cursor}
        page = (await self.client(query, **input))["comments"]
        self.cursor = page["pageInfo"]["endCursor"] or self.cursor
        new = [node["message"] for node in page["nodes"]]
        self.messages += new
        return new


async def read_times(database: Database) -> list[datetime]:
    """Return the times of all comments, in order."""
    return await fetch_values(database, select(Comment.created_at).order_by(Comment.created_at))


async def import_comment(database: Database, thread: UUID, message: str, at: datetime) -> UUID:
    """Write a comment with a date of its own, as a host's import does."""

    comment = Comment(thread_id=thread, author_name="Ada", message=message, created_at=at)
    await store(database, comment)
    return comment.id


# Races


@pytest.mark.slow
async def test_comment_behind_another_sorts_after_it(
    strict: Database, someone_else: Engine
) -> None:
    """It is asked for first, and waits; what the other writes meanwhile is read before it."""
    host = Host(strict, settings={"guests": "write"})
    thread = await host.ada.thread("Engines", "one")
    await host.bob.thread("Looms")
    tail = Tail(host.guest, thread)
    assert await tail.read() == ["one"]
    for number, client in enumerate((host.guest, host.ada, host.bob)):
        first, second = f"first {number}", f"second {number}"
        with Counted(someone_else) as session:
            counters.lock(session, Thread, key(thread))
            waiting = asyncio.create_task(client.comment(thread, second))
            await blocked(strict, waiting)
            session.add(Comment(thread_id=key(thread), author_name="Ada", message=first))
            session.commit()
        # Where the one that waited is not committed yet, it comes with the next page.
        observed = await tail.read()
        await waiting
        assert [*observed, *await tail.read()] == [first, second]
    await host.assert_exact()


@pytest.mark.postgresql  # units of SQLite run one by one: nothing can come between
async def test_comment_delayed_by_hook_sorts_when_written(strict: Database) -> None:
    gate = Gate("add_comment")
    host, plain = Host(strict, hooks=[gate]), Host(strict)
    thread = await plain.ada.thread("Engines")
    tail = Tail(host.guest, thread)
    held_up = asyncio.create_task(host.ada.comment(thread, "three"))
    await gate.arrived.wait()
    await plain.bob.comment(thread, "one")
    await plain.ada.comment(thread, "two")
    assert await tail.read() == ["one", "two"]
    gate.open.set()
    await held_up
    assert await tail.read() == ["three"]
    await host.assert_exact()


@pytest.mark.parametrize("name", ["Ada", "Ada Lovelace"])
async def test_add_and_edit_do_not_deadlock(
    database: Database, someone_else: Engine, name: str
) -> None:
    """Both count for one thread and one author; a new name of the author is written then, too."""
    host = Host(database)
    thread = await host.ada.thread("Engines")
    comment = await host.ada.comment(thread, "one two")
    renamed = host.client(Viewer(ADA.subject, name))
    with Counted(someone_else) as session:
        row = select(Thread.id).where(Thread.id == key(thread)).with_for_update(key_share=True)
        session.execute(row).all()
        adding = asyncio.create_task(renamed.comment(thread, "three four five"))
        await blocked(database, adding)
        session.get_one(Comment, key(comment)).message = "six"
        session.commit()
    await adding
    assert await host.authors() == {ADA.subject: (name, 2, 4)}
    await host.assert_exact()


@pytest.mark.slow
async def test_reader_behind_many_writers_sees_each_comment_once(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.ada.thread("Engines")
    await host.bob.thread("Looms")
    tail = Tail(host.guest, thread)

    async def write(number: int) -> None:
        client = (host.guest, host.ada, host.bob)[number % 3]
        for turn in range(6):
            await client.comment(thread, f"{number} {turn}")

    writing = asyncio.gather(*map(write, range(8)))
    while not writing.done():
        await tail.read()
    await writing
    while await tail.read():
        pass
    assert sorted(tail.messages) == sorted(f"{n} {turn}" for n in range(8) for turn in range(6))
    await host.assert_exact()


@pytest.mark.sqlite  # it is about how Python's driver for SQLite begins
async def test_deferred_sqlite_transaction_is_in_order(
    database: Database, empty_url: str, someone_else: Engine
) -> None:
    """A host's own session: the driver would begin a transaction no sooner than the INSERT."""
    host = Host(database)
    thread = key(await host.ada.thread("Engines", "one"))
    impatient = create_engine(someone_else.url, connect_args={"timeout": 0.05})
    engine = create_async_engine(empty_url)
    sessions = async_sessionmaker(engine, sync_session_class=CountedSession)

    def write_meanwhile(*call: Any) -> None:
        if not call[2].startswith("INSERT INTO tallied_comment"):
            return
        with Counted(impatient) as session:
            session.add(Comment(thread_id=thread, author_name="Ada", message="meanwhile"))
            session.commit()

    event.listen(engine.sync_engine, "before_cursor_execute", write_meanwhile)
    async with sessions() as session:
        unit = host.discussion.unit(session)
        with pytest.raises(DBAPIError, match="database is locked"):
            await add_comment(unit, host.discussion.access(ADA), thread, NewComment("two"))
    await engine.dispose()
    impatient.dispose()


# Clocks


async def test_comments_sort_after_comment_of_future(database: Database) -> None:
    """As when the clock has been put back. The last digit is kept on both databases."""
    host = Host(database, settings={"guests": "write"})
    thread = await host.ada.thread("Engines", "one")
    tail = Tail(host.guest, thread)
    await import_comment(database, key(thread), "two", AHEAD)
    assert await tail.read() == ["one", "two"]
    for number, client in enumerate((host.guest, host.ada, host.bob), 1):
        await client.comment(thread, f"later {number}")
        assert await tail.read() == [f"later {number}"]
    assert (await read_times(database))[1:] == [AHEAD + n * MICROSECOND for n in range(4)]
    query = "query($id: ID!) { thread(id: $id) { lastCommentAt commentCount } }"
    assert await host.ada(query, id=thread) == {
        "lastCommentAt": "2031-05-06T07:09:00.000002Z",
        "commentCount": 5,
    }
    await host.assert_exact()


async def test_comments_are_in_order_with_stopped_clock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    tail = Tail(host.ada, thread)
    monkeypatch.setattr(chronology, "now", lambda: AHEAD)
    for number in range(3):
        await host.ada.comment(thread, f"comment {number}")
        assert await tail.read() == [f"comment {number}"]
    assert await read_times(database) == [AHEAD + n * MICROSECOND for n in range(3)]


async def test_comments_are_written_after_maximum_time(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    last = datetime.max.replace(tzinfo=UTC)
    await import_comment(database, key(thread), "one", last)
    tail = Tail(host.ada, thread)
    assert await tail.read() == ["one"]
    await host.ada.comment(thread, "two")
    assert await tail.read() == ["two"]
    assert await read_times(database) == [last, last]
    await host.assert_exact()


async def test_resubmission_after_future_comment_is_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time lies ahead, so its age is not told by that."""
    host = Host(database)
    thread = await host.ada.thread("Engines")
    await import_comment(database, key(thread), "one", AHEAD)
    input = {"threadId": thread, "message": "two three", "clientMutationId": "7"}
    selection = "isDuplicate comment { id createdAt }"
    first, second = [await host.ada.do("addComment", selection, **input) for _ in range(2)]
    assert second == {**first, "isDuplicate": True}
    later = datetime.now(UTC) + timedelta(minutes=1)
    monkeypatch.setattr("tallied.resolvers.submissions.now", lambda: later)
    third = await host.ada.do("addComment", selection, **input)
    assert third["isDuplicate"] is False
    assert third["comment"]["createdAt"] == "2031-05-06T07:09:00.000001Z"
    await host.assert_exact()


# Units


async def test_comments_of_unit_are_in_order(database: Database) -> None:
    host = Host(database)
    thread, other = [key(await host.ada.thread(title, "one")) for title in ("Engines", "Looms")]
    await import_comment(database, thread, "two", AHEAD)
    access = host.discussion.access(ADA)

    async def work(unit: UnitOfWork) -> list[datetime]:
        created = []
        for number, id in enumerate((thread, other, thread, thread)):
            done = await add_comment(unit, access, id, NewComment(f"comment {number}"))
            assert done.comment is not None
            assert done.thread["last_comment_at"] == done.comment["created_at"]
            created.append(done.comment["created_at"])
        return created

    created = await database.write(work)
    assert [created[n] for n in (0, 2, 3)] == [AHEAD + n * MICROSECOND for n in (1, 2, 3)]
    assert created[1] < AHEAD
    await host.assert_exact()


async def test_comments_of_document_are_in_order(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    await import_comment(database, key(thread), "zero", AHEAD)
    fields = "".join(
        f'c{n}: addComment(input: {{ threadId: "{thread}", message: "comment {n}" }})'
        " { comment { createdAt } }"
        for n in range(4)
    )
    created = await host.ada(f"mutation {{ {fields} }}")
    times = [item["comment"]["createdAt"] for item in created.values()]
    assert times[1:] == [f"2031-05-06T07:09:00.{n:06}Z" for n in range(1, 4)]
    tail = Tail(host.ada, thread)
    assert await tail.read() == ["zero", *(f"comment {n}" for n in range(4))]


async def test_moved_comment_keeps_its_time(database: Database) -> None:
    """A reader who has passed that does not see it; one who has not does, and what follows."""
    host = Host(database)
    thread, other = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    tail = Tail(host.ada, thread)
    early = await host.ada.comment(other, "early")
    await host.ada.comment(thread, "one")
    assert await tail.read() == ["one"]
    late = await import_comment(database, key(other), "late", AHEAD)
    for id in (early, encode_id("Comment", late)):
        await host.moderator.do("moveComment", "comment { id }", commentId=id, threadId=thread)
    await host.ada.comment(thread, "two")
    assert await tail.read() == ["late", "two"]
    assert (await read_times(database))[2:] == [AHEAD, AHEAD + MICROSECOND]
    await host.assert_exact()
