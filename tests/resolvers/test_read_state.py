"""What a viewer has read: marks that only move forward, and unread comments that are counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select
from support.api import mutation
from support.diary import Diary
from support.host import ADA, Gate, Host, blocked, key
from support.plans import PlannedApi
from support.query_plans import executed, plan_of
from support.rows import count_rows, fetch_value, fetch_values, store

from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.models import Author, Comment, Mark
from tallied.resolvers import views
from tallied.resolvers.comments import NewComment, add_comment
from tallied.schema.ids import encode_id

UNREAD = "unreadCount firstUnread { seq message author { name } }"
PAGE = f"{{ threads(first: 50) {{ nodes {{ id lastSeq {UNREAD} }} }} }}"


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
    assert await count_rows(database, Mark) == 0


async def test_unread_comments_are_counted_to_a_hundred(database: Database) -> None:
    host = Host(database)
    thread = key(await host.ada.thread("Engines"))

    comments = [Comment(thread_id=thread, author_name="Eve", message="x") for _ in range(150)]
    await store(database, *comments)
    query = "{ threads { nodes { lastSeq unreadCount firstUnread { seq } } } }"
    assert (await host.ada(query))["nodes"] == [
        {"lastSeq": 150, "unreadCount": 100, "firstUnread": {"seq": 1}}
    ]


async def test_deleted_author_takes_marks_along(database: Database) -> None:
    host = Host(database)
    thread = await host.bob.thread("Engines", "one")
    for comments in ("KEEP", "TOMBSTONE"):
        await host.ada.do("markRead", "lastReadSeq", threadId=thread)
        assert await count_rows(database, Mark) == 1
        query = select(Author.id).where(Author.subject == ADA.subject)
        id = encode_id("Author", await fetch_value(database, query))
        await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=id, comments=comments)
        assert await count_rows(database, Mark) == 0


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
    assert await fetch_values(strict, select(Mark.last_read_seq)) == [3]


@pytest.mark.parametrize("change", ["deleteThread", "addComment", "deleteAuthor"])
async def test_mark_races_other_changes(strict: Database, change: str) -> None:
    gate = Gate("mark_read")
    host, standing = Host(strict), Host(strict, hooks=[gate])
    thread = await host.bob.thread("Engines")
    for _ in range(2):
        await host.bob.comment(thread)
    await host.ada.thread("Looms")
    query = select(Author.id).where(Author.subject == ADA.subject)
    author = await fetch_value(strict, query)
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
        assert await count_rows(strict, Mark) == 0
    await host.assert_exact()


class Poller:
    """A reader of what is new in one thread, who knows nothing but the last number."""

    def __init__(self, host: Host, thread: str, size: int = 2) -> None:
        self.host, self.thread, self.size = host, thread, size
        self.numbers: list[int] = []

    async def poll(self) -> list[int]:
        """Return the numbers of the next page of comments."""
        access, last = self.host.discussion.access_as_host(), max(self.numbers, default=0)
        async with self.host.database.read() as connection:
            page = await views.read_comments_since(
                connection, access, key(self.thread), last, first=self.size
            )
        assert page
        self.numbers += [comment.seq for comment in page.nodes]
        return [comment.seq for comment in page.nodes]


async def test_comments_since_number_are_all_levels_in_order(
    database: Database, statements: Any
) -> None:
    host = Host(database)
    thread, other = await host.ada.thread("Engines", "one"), await host.ada.thread("Looms")
    two = await host.bob.comment(thread, "two")
    await host.ada.do("addComment", "comment { id }", threadId=thread, replyToId=two, message="3")
    hidden, moved = [await host.bob.comment(thread, message) for message in ("four", "five")]
    await host.bob.do("deleteComment", "deletedCommentId", commentId=two)  # which has a reply
    await host.bob.do("deleteComment", "deletedCommentId", commentId=hidden)
    query = """query($t: ID!, $seq: SafeInt!, $after: String) { thread(id: $t) { lastSeq
      commentsSince(seq: $seq, first: 2, after: $after) { totalCount nodes { seq message }
        edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
    planned = PlannedApi(database, host.discussion.rules)

    async def since(seq: int, **variables: Any) -> Any:
        answer = await planned(query, ADA, t=thread, seq=seq, **variables)
        assert answer == await planned.by_core(query, ADA, t=thread, seq=seq, **variables)
        return answer["data"]["thread"]["commentsSince"]

    page = await since(1)
    assert page["nodes"] == [{"seq": 2, "message": ""}, {"seq": 3, "message": "3"}]
    assert page["totalCount"] == 3
    assert page["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "endCursor": page["edges"][1]["cursor"],
    }
    (five,) = (await since(1, after=page["pageInfo"]["endCursor"]))["nodes"]
    assert five == {"seq": 5, "message": "five"} == (await since(3))["nodes"][0]
    assert [node["seq"] for node in (await since(-1))["nodes"]] == [1, 2]
    assert (await since(5))["nodes"] == (await since(2**50))["nodes"] == []
    assert planned.counts.executed == 6
    # One that comes from another thread is new, and leaves no gap where it was.
    await host.moderator.do("moveComment", "comment { seq }", commentId=moved, threadId=other)
    assert await Poller(host, other).poll() == [1]
    poller = Poller(host, thread)
    assert [await poller.poll() for _ in range(3)] == [[1, 2], [3], []]
    with statements() as executed:
        await poller.poll()
    assert len(executed) <= 3, executed


@pytest.mark.parametrize("first", ["ada", "bob"])
async def test_poller_sees_no_later_comment_before_earlier(strict: Database, first: str) -> None:
    """The second writer waits for the first, so no number is visible before a smaller one."""
    host = Host(strict)
    thread = await host.ada.thread("Engines", "one")
    await host.bob.thread("Looms")
    poller, access = Poller(host, thread), host.discussion.access_as_host()
    assert await poller.poll() == [1]
    second = {"ada": host.bob, "bob": host.ada}[first]

    async def write(unit: UnitOfWork) -> asyncio.Task[Any]:
        """Take a number, and have another writer come and a poller read before the commit."""
        await add_comment(unit, access, key(thread), NewComment("two", first.title()))
        waiting = asyncio.create_task(second.comment(thread, "three"))
        await blocked(strict, waiting)
        assert await poller.poll() == []
        return waiting

    waiting = await strict.write(write)
    observed = await poller.poll()
    await waiting
    observed += await poller.poll()
    assert observed == [2, 3]
    await host.assert_exact()


@pytest.mark.slow
async def test_poller_of_numbers_misses_no_comment(strict: Database) -> None:
    host = Host(strict)
    pollers = [Poller(host, await host.ada.thread(f"{n}"), size=7) for n in range(4)]
    access = host.discussion.access_as_host()

    async def write(number: int) -> None:
        for n in range(10):
            thread = key(pollers[(number + n) % len(pollers)].thread)
            new = NewComment("x", "Eve")
            await strict.write(lambda unit, t=thread, c=new: add_comment(unit, access, t, c))

    writers = asyncio.gather(*map(write, range(16)))
    while not writers.done():
        for poller in pollers:
            await poller.poll()
        await asyncio.sleep(0.005)
    await writers
    for poller in pollers:
        while await poller.poll():
            pass
    assert [poller.numbers for poller in pollers] == [list(range(1, 41))] * 4
    await host.assert_exact()


@pytest.mark.slow
async def test_numbers_are_found_by_the_index(database: Database) -> None:
    """What is unread, and what is new since a number."""
    host = Host(database)
    ids = [key(await host.ada.thread(f"{n}")) for n in range(3)]

    comments = [Comment(thread_id=ids[0], author_name="Eve", message="x") for _ in range(2000)]
    await store(database, *comments)
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql("ANALYZE")
    with executed(database) as statements:
        async with database.read() as connection:
            await views.read_unread(connection, host.discussion.access(ADA), ids)
            await views.read_comments_since(connection, host.discussion.access(ADA), ids[0], 1000)
    (unread,) = [item for item in statements if "unread" in item[0]]
    plan = await plan_of(database, *unread)
    assert plan.count("ix_tallied_comment_thread_id_seq") == 2, plan
    for step in ("SCAN unread", "Seq Scan on tallied_comment", "Sort", "TEMP B-TREE"):
        assert step not in plan, plan
    (since,) = [item for item in statements if "sort_key" in item[0]]
    plan = await plan_of(database, *since)
    assert plan.count("ix_tallied_comment_thread_id_seq") == 1, plan
    assert ("thread_id=? AND seq>?" if database.is_sqlite else "Presorted Key") in plan, plan
