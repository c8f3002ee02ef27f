"""What a viewer has read: marks that only move forward, and unread comments that are counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select
from support.api import mutation
from support.diary import Diary
from support.host import ADA, Gate, Host, key
from support.plans import PlannedApi
from support.query_plans import executed, plan_of

from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.models import Author, Comment, Mark
from tallied.resolvers import views
from tallied.resolvers.comments import NewComment, add_comment
from tallied.schema.ids import encode_id

UNREAD = "unreadCount firstUnread { seq message author { name } }"
PAGE = f"{{ threads(first: 50) {{ nodes {{ id lastSeq {UNREAD} }} }} }}"


async def count_marks(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Mark)) or 0


async def test_unread_comments_are_those_of_others_after_the_mark(
    database: Database, statements: Any
) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary])
    thread = await host.ada.thread("Engines")
    comments = [await host.bob.comment(thread) for _ in range(3)]
    await host.ada.comment(thread)
    comments.append(await host.bob.comment(thread))
    query = f"query($t: ID!) {{ thread(id: $t) {{ {UNREAD} lastSeq }} }}"

    async def unread(client: Any) -> tuple[int | None, int | None]:
        result = await client(query, t=thread)
        first = result["firstUnread"]
        return result["unreadCount"], first and first["seq"]

    async def mark(client: Any, **input: Any) -> Any:
        selection = f"lastReadSeq thread {{ {UNREAD} }}"
        return await client.do("markRead", selection, threadId=thread, **input)

    assert await unread(host.guest) == (None, None)
    assert await unread(host.ada) == (4, 1)
    assert await unread(host.bob) == (1, 4)
    diary.events.clear()
    payload = await mark(host.ada, upTo=2)
    assert (payload["lastReadSeq"], payload["thread"]["unreadCount"]) == (2, 2)
    assert payload["thread"]["firstUnread"]["seq"] == 3
    points = [(point, event.last_read_seq) for point, event in diary.events]
    assert points == [("before_mark_read", 2), ("after_mark_read", 2)]
    # Neither an older place nor a negative one moves the mark back, nor does the future move it.
    for place in (1, 0, -5):
        assert (await mark(host.ada, upTo=place))["lastReadSeq"] == 2
    # A comment that is deleted is not unread, and its number is not given again.
    await host.bob.do("deleteComment", "deletedCommentId", commentId=comments[2])
    assert await unread(host.ada) == (1, 5)
    assert (await mark(host.ada, upTo=10**9))["lastReadSeq"] == 5
    assert await unread(host.ada) == (0, None)
    await host.bob.comment(thread)
    assert await unread(host.ada) == (1, 6)
    assert (await mark(host.ada))["lastReadSeq"] == 6
    assert await unread(host.ada) == (0, None)
    payload = await host.guest(
        "mutation($t: ID!) { markRead(input: {threadId: $t}) { userErrors { code } } }", t=thread
    )
    assert payload == {"userErrors": [{"code": "SIGN_IN_REQUIRED"}]}

    # By plans it is the same, and each page of threads costs one statement for the marks.
    await host.bob.thread("Looms", "one", "two")
    expected = (await host.ada(PAGE))["nodes"]
    planned = PlannedApi(database, host.discussion.rules)
    for viewer in (None, ADA):
        answer = await planned(PAGE, viewer)
        assert answer == await planned.by_core(PAGE, viewer)
    assert planned.counts.executed == 2
    assert answer["data"]["threads"]["nodes"] == expected
    with statements() as executed:
        await host.ada("{ threads(first: 50) { nodes { unreadCount firstUnread { id } } } }")
    assert len(executed) <= 4, executed
    async with database.read() as connection:
        read = await views.read_unread(
            connection, host.discussion.access(ADA), [key(node["id"]) for node in expected]
        )
    assert {state.count for state in read.values()} == {n["unreadCount"] for n in expected}
    await host.moderator.do("deleteThread", "deletedThreadId", threadId=thread)
    assert await count_marks(database) == 0


async def test_unread_comments_are_counted_to_a_hundred(database: Database) -> None:
    host = Host(database)
    thread = key(await host.ada.thread("Engines"))

    async def fill(unit: UnitOfWork) -> None:
        unit.session.add_all(
            Comment(thread_id=thread, author_name="Eve", message="x") for _ in range(150)
        )

    await database.write(fill)
    query = "{ threads { nodes { lastSeq unreadCount firstUnread { seq } } } }"
    assert (await host.ada(query))["nodes"] == [
        {"lastSeq": 150, "unreadCount": 100, "firstUnread": {"seq": 1}}
    ]


async def test_deleted_author_takes_marks_along(database: Database) -> None:
    host = Host(database)
    thread = await host.bob.thread("Engines", "one")
    for comments in ("KEEP", "TOMBSTONE"):
        await host.ada.do("markRead", "lastReadSeq", threadId=thread)
        assert await count_marks(database) == 1
        async with database.read() as connection:
            author = await connection.scalar(select(Author.id).where(Author.subject == ADA.subject))
        id = encode_id("Author", author)
        await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=id, comments=comments)
        assert await count_marks(database) == 0


@pytest.mark.parametrize("places", [(1, 3), (3, 1)])
async def test_two_marks_end_with_the_greater(strict: Database, places: tuple[int, int]) -> None:
    gate = Gate("mark_read")
    host, standing = Host(strict), Host(strict, hooks=[gate])
    thread = await host.bob.thread("Engines")
    for _ in range(3):
        await host.bob.comment(thread)
    await host.ada.thread("Looms")
    first, second = places
    task = asyncio.create_task(
        standing.ada.do("markRead", "lastReadSeq", threadId=thread, upTo=first)
    )
    await gate.arrived.wait()
    behind = asyncio.create_task(
        host.ada.do("markRead", "lastReadSeq", threadId=thread, upTo=second)
    )
    if not strict.is_sqlite:
        await behind
    gate.open.set()
    await asyncio.gather(task, behind)
    async with strict.read() as connection:
        assert (await connection.scalars(select(Mark.last_read_seq))).all() == [3]


@pytest.mark.parametrize("change", ["deleteThread", "addComment", "deleteAuthor"])
async def test_mark_races_other_changes(strict: Database, change: str) -> None:
    gate = Gate("mark_read")
    host, standing = Host(strict), Host(strict, hooks=[gate])
    thread = await host.bob.thread("Engines")
    for _ in range(2):
        await host.bob.comment(thread)
    await host.ada.thread("Looms")
    async with strict.read() as connection:
        author = await connection.scalar(select(Author.id).where(Author.subject == ADA.subject))
    inputs: dict[str, dict[str, Any]] = {
        "deleteThread": {"threadId": thread},
        "addComment": {"threadId": thread, "message": "three"},
        "deleteAuthor": {"authorId": encode_id("Author", author)},
    }
    document = mutation("markRead", "lastReadSeq userErrors { code field }")
    task = asyncio.create_task(standing.ada(document, i={"threadId": thread}))
    await gate.arrived.wait()
    other = asyncio.create_task(
        host.moderator(mutation(change, "userErrors { code }"), i=inputs[change])
    )
    if not (strict.is_sqlite or change == "deleteAuthor"):
        await other
    gate.open.set()
    payload, answer = await task, await other
    assert answer["userErrors"] == []
    if payload["userErrors"]:
        assert change == "deleteThread"
        assert payload["userErrors"] == [{"code": "NOT_FOUND", "field": "threadId"}]
    if change == "addComment":  # which came after the mark was asked for, and stays unread
        assert payload["lastReadSeq"] in (2, 3)
        result = await host.ada("query($t: ID!) { thread(id: $t) { unreadCount } }", t=thread)
        assert result["unreadCount"] == 3 - payload["lastReadSeq"]
    elif change == "deleteThread":
        assert await count_marks(strict) == 0
    await host.assert_exact()


@pytest.mark.slow
async def test_poller_of_numbers_misses_no_comment(strict: Database) -> None:
    host = Host(strict)
    threads = [key(await host.ada.thread(f"{n}")) for n in range(4)]
    access = host.discussion.access_as_host()
    seen: dict[Any, list[int]] = {thread: [] for thread in threads}

    async def write(number: int) -> None:
        for n in range(10):
            thread = threads[(number + n) % len(threads)]
            new = NewComment("x", "Eve")
            await strict.write(lambda unit, t=thread, c=new: add_comment(unit, access, t, c))

    async def poll() -> None:
        for thread in threads:
            last = max(seen[thread], default=0)
            query = select(Comment.seq).where(Comment.thread_id == thread, Comment.seq > last)
            async with strict.read() as connection:
                seen[thread] += (await connection.scalars(query.order_by(Comment.seq))).all()

    writers = asyncio.gather(*map(write, range(16)))
    while not writers.done():
        await poll()
        await asyncio.sleep(0.005)
    await writers
    await poll()
    assert [seen[thread] for thread in threads] == [list(range(1, 41))] * 4
    await host.assert_exact()


async def test_unread_comments_are_read_by_the_index(database: Database) -> None:
    host = Host(database)
    ids = [key(await host.ada.thread(f"{n}")) for n in range(3)]

    async def fill(unit: UnitOfWork) -> None:
        unit.session.add_all(
            Comment(thread_id=ids[0], author_name="Eve", message="x") for _ in range(2000)
        )

    await database.write(fill)
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql("ANALYZE")
    with executed(database) as statements:
        async with database.read() as connection:
            await views.read_unread(connection, host.discussion.access(ADA), ids)
    plan = await plan_of(database, *statements[-1])
    assert plan.count("ix_tallied_comment_thread_id_seq") == 2, plan
    for step in ("SCAN unread", "Seq Scan on tallied_comment", "Sort", "TEMP B-TREE"):
        assert step not in plan, plan
