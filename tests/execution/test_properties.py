"""Properties of every operation and of every walk through pages."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from support.api import Api
from support.mutation_oracle import MUTATIONS, with_texts
from support.oracle import ROOTS, RULES
from support.oracle import values as values_of
from support.oracle_rows import VIEWERS, fill
from support.random_documents import MutationWriter, QueryWriter
from support.recount import count_drifted
from support.rows import store

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Comment, Thread
from tallied.resolvers.pagination.orders import COMMENTS, THREADS
from tallied.schema.build import schema
from tallied.schema.ids import encode_id

START = datetime(2026, 1, 1, tzinfo=UTC)
CODES = {
    "BAD_USER_INPUT",
    "GRAPHQL_VALIDATION_FAILED",
    "LIMIT_EXCEEDED",
    "NOT_FOUND",
    "UNKNOWN_TARGET_TYPE",
}
OPERATIONS = 80
"""How many random operations of a round are checked."""

core = schema._schema


async def filled(database: Database) -> tuple[list[Thread], list[Comment]]:
    """Add six threads, some of them alike, with none to five comments."""
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

    await store(database, *threads)
    return threads, [comment for thread in threads for comment in thread.comments]


@pytest.mark.slow
async def test_every_operation_is_answered(database: Database, oracle_round: int) -> None:
    chance = random.Random(oracle_round)
    await fill(database, chance)
    values = with_texts(await values_of(database))
    apis = [
        Api(database, rules=RULES[0], viewer=viewer, document_aliases=1000) for viewer in VIEWERS
    ]
    answered = 0
    for number in range(OPERATIONS):
        writer, roots = (MutationWriter, MUTATIONS) if number % 4 == 0 else (QueryWriter, ROOTS)
        errors = chance.choice((0.0, 0.1))
        document = writer(chance, core, values, roots, errors=errors).write()
        variables = document.draw()
        response = await chance.choice(apis).http.post(
            "/graphql", json={"query": document.text, "variables": variables}
        )
        assert response.status_code < 500, response.text
        answer = response.json()
        codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        assert codes <= CODES, answer["errors"]
        assert "data" in answer or codes
        answered += answer.get("data") is not None
    assert answered > OPERATIONS / 2
    assert await count_drifted(database) == 0


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
    assert await count_drifted(database) == 0
