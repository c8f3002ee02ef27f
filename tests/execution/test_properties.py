"""Properties of every valid operation and of every walk through pages."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import Api
from support.documents import Checker, Maker
from support.recount import drifted

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.host.access import Access, HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Comment, Thread
from tallied.resolvers.pagination.orders import COMMENTS, THREADS
from tallied.resolvers.threads import create_thread
from tallied.schema.build import schema
from tallied.schema.ids import encode_id

START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = [(START + timedelta(hours=hour)).isoformat() for hour in (-1, 0, 2, 9)]
CODES = {"BAD_USER_INPUT", "NOT_FOUND", "LIMIT_EXCEEDED", "UNKNOWN_TARGET_TYPE"}

core = schema._schema


async def books(_: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """Return the titles of a host's books: every id that is short has one."""
    return {id: f"Book {id}" for id in ids if len(id) < 10}


RULES = HostRules(targets=targets_by_name([Target("book", books)]))
VIEWERS = [None, Viewer("7", "Ada"), Viewer("8", "Grace", is_moderator=True)]
"""A guest, who may do everything, an author, and a moderator."""


async def filled(database: Database) -> tuple[list[Thread], list[Comment]]:
    """Six threads, some of them alike, with none to five comments."""
    threads = [
        Thread(
            title=f"Thread {number % 3}",
            created_at=START + timedelta(hours=number // 2),
            comments=[
                Comment(
                    author_name=("Ada", "Grace")[index % 2],
                    message="one two " * (index % 3 + 1),
                    created_at=START + timedelta(hours=index // 2),
                )
                for index in range(number)
            ],
        )
        for number in range(6)
    ]

    async def fill(unit: UnitOfWork) -> None:
        unit.session.add_all(threads)

    await database.write(fill)
    return threads, [comment for thread in threads for comment in thread.comments]


async def values(api: Api) -> dict[str, list[Any]]:
    """Return values of arguments, by the names of types or arguments."""
    threads, comments = await filled(api.database)
    ids = [
        *(encode_id("Thread", thread.id) for thread in threads[3:]),
        *(encode_id("Comment", comment.id) for comment in comments[:3]),
        *[await author(api.database, viewer) for viewer in VIEWERS if viewer],
    ]
    page = await api("{ threads(first: 3) { edges { cursor } } }")
    cursors = [edge["cursor"] for edge in page["edges"]]
    return {
        "ID": ids,
        "after": cursors,
        "before": cursors,
        "first": [1, 2, 3, 7, 50],
        "last": [1, 2, 3, 7, 50],
        "type": ["book"],
        "titleContains": ["THREAD", "1", "%"],
        "authorName": ["Ada", "Grace"],
        "String": ["one two", "日本語 🙂", "x" * 200],
        "Int": [0, 1, 2, 2**31 - 1],
        "SafeInt": [0, 1, 2, 2**53 - 1],
        "DateTime": [*MOMENTS, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
        "Boolean": [True, False],
    }


async def author(database: Database, viewer: Viewer) -> str:
    """Return the id of the author that the viewer writes as, who has begun a thread."""
    access = Access(RULES, viewer)
    done = await database.write(lambda unit: create_thread(unit, access, "One of mine"))
    return encode_id("Author", done.thread["author_id"])


BAD: dict[str, list[Any]] = {
    "ID": ["x", "", encode_id("Author", UUID(int=7)), encode_id("Thread", UUID(int=7))],
    "type": ["film", ""],
    "after": ["x", ""],
    "before": ["=", "A" * 100],
    "first": [0, -1, 101],
    "last": [0, 2**31 - 1],
    "titleContains": ["\0", "x" * 201],
    "authorName": ["\0", "x" * 101],
    "String": ["", "\0", "x" * 20_001],
    "Int": [-1],
}


relaxed = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@relaxed
@given(data=st.data())
async def test_every_valid_operation_is_answered_by_schema(
    prepared: tuple[list[Api], dict[str, list[Any]]], data: st.DataObject
) -> None:
    apis, value = prepared
    api = data.draw(st.sampled_from(apis))
    keyword = data.draw(st.sampled_from(("query", "query", "query", "mutation")))
    if data.draw(st.booleans()):
        value = {name: [*good, *BAD.get(name, ())] for name, good in value.items()}
    created = data.draw(st.composite(lambda draw: Maker(draw, core, value).operation(keyword))())
    response = await api.http.post(
        "/graphql", json={"query": created.document, "variables": created.variables}
    )
    assert response.status_code < 500, response.text
    answer = response.json()
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    assert codes <= CODES, answer["errors"]
    assert "data" in answer or codes
    Checker(core, created.document).check(answer.get("data"))
    if keyword == "mutation":
        async with api.database.read() as connection:
            assert await connection.run_sync(drifted) == 0


@pytest.fixture
async def prepared(database: Database) -> tuple[list[Api], dict[str, list[Any]]]:
    """The API as it is to each of the viewers, and what arguments are given."""
    apis = [Api(database, rules=RULES, viewer=viewer, document_aliases=1000) for viewer in VIEWERS]
    return apis, await values(apis[0])


class Forum:
    """Quiet threads and comments, which nobody touches, among busy ones, where writers are."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.api = Api(database)
        moderators = [Viewer(str(number), is_moderator=True) for number in range(2)]
        self.apis = [self.api, *(Api(database, viewer=item) for item in moderators)]

    async def fill(self) -> None:
        """Make both kinds, alike in all that they are ordered by."""
        threads, _ = await filled(self.database)
        busy, _ = await filled(self.database)
        self.quiet = [encode_id("Thread", thread.id) for thread in threads]
        self.busy = [encode_id("Thread", thread.id) for thread in busy]
        self.mixed = encode_id("Thread", threads[5].id)
        self.steady = [encode_id("Comment", comment.id) for comment in threads[5].comments]
        self.moving = [
            await self.apis[number % 3].comment(self.mixed, "one two three")
            for number in range(len(self.steady))
        ]

    async def disturb(self, chance: random.Random) -> None:
        """Return one change of a busy thread, or of one of the comments that are not steady."""
        do = chance.choice((self.add, self.delete, self.comment, self.edit, self.move))
        await do(chance)

    async def add(self, chance: random.Random) -> None:
        await self.ask(chance, "createThread", title=f"Thread {chance.randrange(3)}")

    async def delete(self, chance: random.Random) -> None:
        if len(self.busy) > 2:
            await self.ask(chance, "deleteThread", threadId=self.busy.pop(chance.randrange(3)))

    async def comment(self, chance: random.Random) -> None:
        printed = "one two " * chance.randrange(1, 4)
        await self.ask(chance, "addComment", threadId=chance.choice(self.busy), message=printed)

    async def edit(self, chance: random.Random) -> None:
        printed = "three " * chance.randrange(1, 4)
        await self.ask(chance, "editComment", commentId=chance.choice(self.moving), message=printed)

    async def move(self, chance: random.Random) -> None:
        to = chance.choice([self.mixed, *self.busy])
        await self.ask(chance, "moveComment", commentId=chance.choice(self.moving), threadId=to)

    async def ask(self, chance: random.Random, name: str, **given: str) -> None:
        """Send a mutation, whose object may have been deleted."""
        api = chance.choice(self.apis)
        if name == "addComment" and api.viewer is None:
            given["authorName"] = "Ada"
        payload = await api(
            f"""mutation($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{
                  userErrors {{ code }} }} }}""",
            input=given,
        )
        assert {error["code"] for error in payload["userErrors"]} <= {"NOT_FOUND"}


PAGES = {
    "Thread": """query($by: ThreadOrder, $first: Int, $last: Int, $after: String,
      $before: String) { page: threads(orderBy: $by, first: $first, last: $last, after: $after,
        before: $before) { nodes { id }
          pageInfo { startCursor endCursor hasPreviousPage hasNextPage } } }""",
    "Comment": """query($id: ID!, $by: CommentOrder, $first: Int, $last: Int, $after: String,
      $before: String) { thread(id: $id) { page: comments(orderBy: $by, first: $first, last: $last,
        after: $after, before: $before) { nodes { id }
          pageInfo { startCursor endCursor hasPreviousPage hasNextPage } } } }""",
}


async def walk(
    forum: Forum, kind: str, by: dict[str, str], size: int, backward: bool
) -> AsyncIterator[list[str]]:
    """Return the ids of each page, from one end to the other; what comes between pages is yours."""
    place: dict[str, str] = {}
    given = {"id": forum.mixed} if kind == "Comment" else {}
    while True:
        answer = await forum.api(
            PAGES[kind], by=by, **{"last" if backward else "first": size}, **place, **given
        )
        page = answer["page"] if kind == "Comment" else answer
        yield [node["id"] for node in page["nodes"]]
        info = page["pageInfo"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return
        place = {"before": info["startCursor"]} if backward else {"after": info["endCursor"]}


WALKS = [
    (order.entity.__name__, name, "DESC" if descending else "ASC", backward)
    for (name, descending), order in [*THREADS.items(), *COMMENTS.items()]
    for backward in (False, True)
]


def assert_walked(forum: Forum, kind: str, walked: list[str]) -> None:
    """Return every quiet row was seen once."""
    quiet = forum.quiet if kind == "Thread" else forum.steady
    # A quiet thread's comments that move are not quiet, and so neither is their thread.
    rows = [id for id in quiet if kind == "Comment" or id != forum.mixed]
    assert len(rows) == 5
    observed = Counter(walked)
    assert [observed[id] for id in rows] == [1] * len(rows)


@pytest.mark.slow
async def test_walk_sees_each_quiet_row_once_between_writes(database: Database) -> None:
    chance = random.Random(0)
    forum = Forum(database)
    await forum.fill()
    for kind, name, direction, backward in WALKS:
        by = {"field": name, "direction": direction}
        walked: list[str] = []
        async for page in walk(forum, kind, by, chance.randrange(1, 5), backward):
            walked += page
            for _ in range(chance.randrange(3)):
                await forum.disturb(chance)
        assert_walked(forum, kind, walked)


@pytest.mark.slow
async def test_walk_sees_each_quiet_row_once_while_others_write(database: Database) -> None:
    forum = Forum(database)
    await forum.fill()
    walking = True

    async def write(seed: int) -> int:
        chance, done = random.Random(seed), 0
        while walking:
            await forum.disturb(chance)
            done += 1
        return done

    writers = [asyncio.create_task(write(seed)) for seed in range(3)]
    for kind, name, direction, backward in WALKS:
        walked: list[str] = []
        async for page in walk(forum, kind, {"field": name, "direction": direction}, 3, backward):
            walked += page
        assert_walked(forum, kind, walked)
    walking = False
    assert min(await asyncio.gather(*writers)) > 0
    async with database.read() as connection:
        assert await connection.run_sync(drifted) == 0
