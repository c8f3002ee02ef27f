"""What belongs to comments is read by indexes, in a discussion of 100,000 comments."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL, ColumnElement, NullPool, create_engine, insert, make_url, text
from support.databases import new_database
from support.host import titles
from support.plans import PlannedApi
from support.query_plans import executed, plan_of, rows_visited

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.host.access import HostRules
from tallied.host.policy import Policy
from tallied.host.targets import Target, targets_by_name
from tallied.models import (
    Author,
    Base,
    Comment,
    Flag,
    Mark,
    Reaction,
    ReactionTotal,
    Revision,
    Thread,
    WithdrawnText,
)
from tallied.models.base import new_id
from tallied.schema.ids import encode_id

THREADS, COMMENTS, PEOPLE, FIRST = 2_000, 100_000, 4_000, 60_000
"""`FIRST` of the comments are in one thread."""
START = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Viewer("7", "Ada", is_moderator=True)


class Choosy(Policy):
    """A policy with a condition for every viewer."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        return thread.title.not_like("Secret%")


class Crowd:
    """A thread with most of the comments, and thousands of rows about them, others and people."""

    def __init__(self) -> None:
        self.threads = [new_id() for _ in range(THREADS)]
        self.people = [new_id() for _ in range(PEOPLE)]
        self.comments = [new_id() for _ in range(COMMENTS)]

    @property
    def thread(self) -> str:
        return encode_id("Thread", self.threads[0])

    def fill(self, url: URL) -> None:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            if connection.dialect.name != "sqlite":
                # The foreign keys are right, and cost a minute to check.
                connection.execute(text("SET session_replication_role = replica"))
            for model, rows in self.rows():
                connection.execute(insert(model.__table__), rows)
            connection.execute(text("ANALYZE"))
        engine.dispose()

    def rows(self) -> Iterator[tuple[type[Base], list[dict[str, Any]]]]:
        yield (
            Author,
            [
                {"id": id, "subject": str(n), "created_at": START}
                for n, id in enumerate(self.people)
            ],
        )
        yield (
            Thread,
            [
                {
                    "id": id,
                    "title": "A title",
                    "created_at": START,
                    "updated_at": START,
                    "target_type": "book" if n % 2 else None,
                    "target_id": str(n) if n % 2 else None,
                }
                for n, id in enumerate(self.threads)
            ],
        )
        yield Comment, [self.comment(n, id) for n, id in enumerate(self.comments)]
        # The first comments of all have many rows each, and of the others every tenth has some.
        chosen = [*self.comments[:200], *self.comments[200::10]]
        yield (
            Revision,
            [
                {
                    "comment_id": id,
                    "number": number,
                    "message": "x",
                    "word_count": 1,
                    "edited_at": START,
                }
                for n, id in enumerate(chosen)
                for number in range(1, 20 if n < 200 else 3)
            ],
        )
        yield (
            ReactionTotal,
            [
                {"comment_id": id, "kind": kind, "count": 3}
                for id in chosen
                for kind in ("like", "heart")
            ],
        )
        yield (
            Reaction,
            [
                {"comment_id": id, "author_id": author, "kind": kind, "created_at": START}
                for n, id in enumerate(chosen)
                for kind in ("like", "heart")
                for author in self.people[: 500 if n < 20 else 2]
            ],
        )
        yield (
            Flag,
            [
                {"comment_id": id, "author_id": author, "reason": "spam", "created_at": START}
                for id in self.comments[3::40]
                for author in self.people[7:9]
            ],
        )
        yield (
            WithdrawnText,
            [
                {"comment_id": id, "message": "x", "status": "spam", "withdrawn_at": START}
                for id in self.comments[9::20]
            ],
        )
        yield (
            Mark,
            [
                {"thread_id": thread, "author_id": author, "last_read_seq": n % 50}
                for n, thread in enumerate(self.threads)
                for author in self.people[n % 10 : 100 : 10]
            ],
        )

    def comment(self, n: int, id: Any) -> dict[str, Any]:
        is_calm = 200 < n < FIRST  # of the large thread, little is in the queue
        is_pending = n % 40 == 7 and not is_calm
        return {
            "id": id,
            "thread_id": self.threads[0 if n < FIRST else 1 + n % (THREADS - 1)],
            "author_id": self.people[n % PEOPLE],
            "message": "one two three",
            "word_count": 3,
            "created_at": START + timedelta(seconds=n),
            "seq": n + 1,
            "status": "pending" if is_pending else "published",
            "shown": not is_pending,
            "flagged": n % 40 == 3 and not is_calm,
            "revision": 2,
        }


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture(scope="module")
def sqlite_template(
    crowd: Crowd, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A full file, of which each test has a copy."""
    path = tmp_path_factory.mktemp("crowd") / "crowd.db"
    shutil.copyfile(sqlite_template, path)
    crowd.fill(URL.create("sqlite", database=str(path)))
    return path


@pytest.fixture(scope="module")
def databases(crowd: Crowd, postgresql: URL, postgresql_template: str) -> Iterator[SimpleNamespace]:
    """Copies of a full database, one for each test."""
    with new_database(postgresql, postgresql_template) as text:
        url = make_url(text)
        crowd.fill(url.set(drivername="postgresql+psycopg"))
        yield SimpleNamespace(database=lambda: new_database(postgresql, str(url.database)))


PAGE = "query($t: ID!) {{ thread(id: $t) {{ comments(first: 100) {{ nodes {{ {} }} }} }} }}"
READS: dict[str, str] = {
    "revisions": PAGE.format("revisions { number message editor { name } }"),
    "groups": PAGE.format("reactionGroups { kind count viewerHasReacted }"),
    "reactors": PAGE.format("reactors(first: 10) { author { name } }"),
    "unread": "{ threads(first: 100) { nodes { unreadCount firstUnread { message } } } }",
    "unread in a large thread": """query($t: ID!) { thread(id: $t) { unreadCount
      firstUnread { id } } }""",
    "new": """query($t: ID!) { thread(id: $t) { commentsSince(seq: 30000, first: 100) {
      nodes { message } pageInfo { hasNextPage } } } }""",
    "new in many threads": """{ threads(first: 100) { nodes { commentsSince(seq: 5, first: 10) {
      nodes { message } } } } }""",
    "queue": """{ moderationQueue(first: 100) { nodes { message flagCount }
      pageInfo { endCursor } } }""",
    "pending": """{ moderationQueue(first: 100, filterBy: { part: PENDING }) {
      nodes { message } } }""",
    "flagged": """{ moderationQueue(first: 100, filterBy: { part: FLAGGED }) {
      nodes { message } } }""",
    "queue of a thread": """query($t: ID!) { moderationQueue(first: 100, filterBy: {
      threadId: $t }) { nodes { message } } }""",
    "numbers of authors": PAGE.format("author { commentCount wordCount }"),
    "numbers of reactors": PAGE.format("reactors(first: 2) { author { commentCount } }"),
    "withdrawn texts": PAGE.format("withdrawnText { message author { commentCount } }"),
    "counts": "query($b: [TargetInput!]!) { counts(targets: $b) { commentCount } }",
}


LARGE = ("comment", "revision", "reaction", "reaction_total", "flag", "mark", "withdrawn_text")
"""The tables that are large; a planner may read a small one whole."""

MAX_VISITED = 20_000
"""How many rows one statement reads at most, in all of its steps."""


@pytest.mark.slow
@pytest.mark.parametrize("policy", [Policy(), Choosy()])
async def test_rows_about_comments_are_read_by_indexes(
    database: Database, crowd: Crowd, policy: Policy
) -> None:
    """No large table is read or sorted whole, and a page reads some rows for each of its own."""
    rules = HostRules(policy=policy, targets=targets_by_name([Target("book", titles)]))
    variables = {
        "t": crowd.thread,
        "b": [{"type": "book", "key": str(n)} for n in range(1, 200, 2)],
    }
    for name, query in READS.items():
        api = PlannedApi(database, rules)
        used = {key: value for key, value in variables.items() if f"${key}" in query}
        with executed(database) as statements:
            answer = await api(query, ADA, **used)
        assert "errors" not in answer, answer
        assert api.counts.executed == 1
        await assert_read_by_indexes(database, name, statements)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [Policy(), Choosy()])
async def test_latest_comments_are_read_by_indexes(
    database: Database, crowd: Crowd, policy: Policy
) -> None:
    discussion = Discussion(database, policy=policy)
    author, cursor = crowd.people[7], None
    for _ in range(2):
        with executed(database) as statements:
            page = await discussion.read_latest_comments(ADA, first=100, after=cursor)
            await discussion.read_latest_comments(None, author_id=author, first=10)
            await discussion.read_moderation_queue(ADA, first=100)
            for thread in crowd.threads[:2]:  # of which the first has the oldest comments
                await discussion.read_latest_comments(None, thread_id=thread, first=50)
            await discussion.read_history(ADA, crowd.comments[:100])
            await discussion.read_withdrawn_texts(ADA, crowd.comments[:100])
            await discussion.read_unread(ADA, crowd.threads[:100])
            await discussion.read_reactions(ADA, crowd.comments[:100])
        await assert_read_by_indexes(database, "latest", statements)
        cursor = page.end_cursor
    assert len(page.nodes) == 100


async def assert_read_by_indexes(
    database: Database, name: str, statements: list[tuple[str, Any]]
) -> None:
    for statement, parameters in statements:
        plan = await plan_of(database, statement, parameters)
        assert not re.search(rf"Seq Scan on tallied_({'|'.join(LARGE)})\b", plan), (name, plan)
        assert not re.search(r"SCAN tallied_\w+$", plan, re.MULTILINE), (name, plan)
        visited = await rows_visited(database, statement, parameters)
        assert visited <= MAX_VISITED, (name, visited, plan)
