"""A plan executes one statement a level, whatever the number of rows, by the indexes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from support.host import ADA, BOB, MODERATOR, Discreet, titles
from support.plans import PlannedApi
from support.reply_trees import grow

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Author, Comment, ReactionTotal, Thread
from tallied.models.base import new_id
from tallied.schema.ids import encode_id

AUTHOR, THREAD, COMMENT = (f"SELECT tallied_{name}" for name in ("author", "thread", "comment"))
RULES = HostRules(targets=targets_by_name([Target("article", titles)]))
ROW = "title author { name } viewerCanComment viewerCanRename target { key }"
WORDS = "message author { name } authorName messageHtml thread { title author { name } }"
BUDGETS: list[tuple[str, list[str]]] = [
    (f"{{ threads(first: 50) {{ nodes {{ {ROW} }} }} }}", [THREAD]),
    (f"{{ threads(first: 50) {{ totalCount nodes {{ {ROW} }} }} }}", [THREAD, THREAD]),
    ("{ threads { totalCount } }", [THREAD]),
    (
        f"{{ threads(first: 20) {{ nodes {{ {ROW} comments(first: 10) {{ totalCount"
        f" nodes {{ {WORDS} }} edges {{ cursor }} pageInfo {{ hasNextPage }} }} }} }} }}",
        [THREAD, THREAD],
    ),
    (
        "{ threads { nodes { a: comments(first: 2) { nodes { message } }"
        ' b: comments(filterBy: {authorName: "Ada"}) { totalCount } } } }',
        [THREAD, THREAD, COMMENT],
    ),
    (f"query($t: ID!) {{ thread(id: $t) {{ {ROW} }} }}", [THREAD]),
    (f"query($c: ID!) {{ comment(id: $c) {{ {WORDS} }} }}", [COMMENT]),
    (
        "query($c: ID!) { comment(id: $c) { thread { comments(first: 5) { nodes { id } } } } }",
        [COMMENT, THREAD],
    ),
    ("query($a: ID!) { author(id: $a) { name viewerCanDelete } }", [AUTHOR]),
    ("query($c: ID!) { node(id: $c) { id ... on Comment { message } } }", [COMMENT]),
    (
        "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Thread { title author { name } } } }",
        [THREAD, COMMENT, AUTHOR],
    ),
    ('{ threadFor(target: {type: "article", key: "1"}) { title } }', [THREAD]),
    ('{ counts(targets: [{type: "article", key: "1"}]) { commentCount } }', [THREAD]),
    ("{ viewer { name isModerator } }", []),
]
"""Queries, and the statements of a guest."""

SIGNED_IN: list[tuple[str, list[str]]] = [
    ("{ viewer { name canStartThread author { name } } }", [AUTHOR, AUTHOR]),
    ("{ threads { nodes { title } } }", [THREAD]),
    (
        "{ threads { nodes { viewerCanRename comments { nodes { viewerCanEdit } } } } }",
        [AUTHOR, THREAD, THREAD],
    ),
]
"""Queries, and the statements of a signed-in viewer, whose author is looked up where needed."""


async def fill(database: Database, size: int) -> dict[str, Any]:
    """Write threads with comments of as many authors, one of whom is Ada.

    :returns: values of variables.
    """
    subjects = [ADA.subject, *(f"s{number}" for number in range(1, size))]
    authors = [Author(id=new_id(), subject=subject, name="N") for subject in subjects]
    threads = [
        Thread(
            title=f"Engine {number}",
            target_type="article",
            target_id=str(number + 1),
            comments=[Comment(message="one two", author_id=author.id) for author in authors],
        )
        for number in range(size)
    ]

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(authors)
        await unit.session.flush()
        unit.session.add_all(threads)

    await database.write(work)
    t, c, a = (
        [encode_id(type(row).__name__, row.id) for row in rows]
        for rows in (threads, threads[0].comments, authors)
    )
    return {"t": t[0], "c": c[0], "a": a[0], "ids": [*t, *c, *a]}


SIZES = [12, *(pytest.param(size, marks=pytest.mark.exhaustive) for size in (1, 30))]


@pytest.mark.parametrize("size", SIZES)
async def test_level_is_one_statement(database: Database, statements: Any, size: int) -> None:
    values = await fill(database, size)
    api = PlannedApi(database, RULES)
    hidden = PlannedApi(database, HostRules(policy=Discreet(), targets=RULES.targets))
    cases: list[tuple[PlannedApi, Viewer | None, str, list[str]]] = [
        *((each, None, query, verbs) for query, verbs in BUDGETS for each in (api, hidden)),
        *((api, ADA, query, verbs) for query, verbs in SIGNED_IN),
        # The condition does not look at the viewer's author.
        (hidden, BOB, "{ threads { nodes { title } } }", [THREAD]),
    ]
    for client, viewer, query, verbs in cases:
        variables = {name: value for name, value in values.items() if f"${name}:" in query}
        for _ in range(2):
            with statements() as executed:
                answer = await client(query, viewer, **variables)
            assert "errors" not in answer
            assert executed.verbs == verbs, query
    assert api.counts.executed + hidden.counts.executed == 2 * len(cases)


@pytest.mark.parametrize("part", ["", "edges { cursor }", "pageInfo { endCursor }"])
async def test_positions_are_read_for_cursors_only(
    database: Database, statements: Any, part: str
) -> None:
    await fill(database, 1)
    api = PlannedApi(database, RULES)
    query = f"{{ threads {{ nodes {{ comments {{ nodes {{ message }} {part} }} }} }} }}"
    for _ in range(2):
        with statements() as executed:
            answer = await api(query)
        assert answer["data"]["threads"]["nodes"][0]["comments"]["nodes"]
        columns = executed[1].partition("FROM")[0]
        assert ("row_id" in columns) is bool(part)


@pytest.mark.parametrize(
    ("arguments", "part", "has_extra"),
    [
        ("first: 2", "", False),
        ("first: 2", "pageInfo { hasPreviousPage }", False),
        ("first: 2", "pageInfo { hasNextPage }", True),
        ("last: 2", "pageInfo { hasNextPage }", False),
        ("last: 2", "pageInfo { hasPreviousPage }", True),
    ],
)
async def test_row_that_shows_more_is_read_on_request(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    part: str,
    has_extra: bool,
) -> None:
    await fill(database, 3)
    api, numbers = PlannedApi(database, RULES), []
    fetch = database.fetch

    async def fetch_and_count(*statement: Any) -> Any:
        rows = await fetch(*statement)
        numbers.append(len(rows))
        return rows

    comments = f"comments({arguments}) {{ nodes {{ message }} {part} }}"
    query = f"{{ threads({arguments}) {{ nodes {{ {comments} }} {part} }} }}"
    monkeypatch.setattr(database, "fetch", fetch_and_count)
    assert await api(query) == await api.by_core(query)
    assert numbers == ([3, 6] if has_extra else [2, 4])


REPLIES = "replies(first: 3) {{ totalCount nodes {{ message {} {} }} }}"
REACTIONS = "reactionGroups { kind count viewerHasReacted }"
TREE = REPLIES.format(REACTIONS, REPLIES.format(REACTIONS, ""))
DISCUSSIONS: list[tuple[str, list[str]]] = [
    (
        f"""query($t: ID!) {{ thread(id: $t) {{ comments(first: 50) {{ nodes {{
          message {REACTIONS} {TREE} }} }} }} }}""",
        [THREAD, THREAD, "SELECT parents", "SELECT tallied_reaction"],
    ),
    ("{ threads(first: 50) { nodes { title unreadCount } } }", [THREAD, COMMENT]),
    (
        "{ threads(first: 50) { nodes { title unreadCount firstUnread { message } } } }",
        [THREAD, COMMENT, COMMENT],
    ),
    (
        """query($t: ID!, $c: ID!) { thread(id: $t) { title around(commentId: $c, siblings: 5) {
          ancestors { message } siblings { nodes { message } } } } }""",
        [THREAD, "SELECT line"],
    ),
    (
        "{ moderationQueue(first: 50) { nodes { message flagCount thread { title } } } }",
        [AUTHOR, COMMENT],
    ),
    ("{ moderationQueue(first: 50) { totalCount nodes { message } } }", [COMMENT, COMMENT]),
]
"""Queries of discussions, and the statements of a moderator."""


@pytest.mark.parametrize("size", SIZES)
async def test_discussion_is_read_by_few_statements(
    database: Database, statements: Any, size: int
) -> None:
    thread = await grow(database, size)

    async def work(unit: UnitOfWork) -> str:
        query = select(Comment).where(Comment.shown).order_by(Comment.depth.desc(), Comment.id)
        comments = (await unit.session.scalars(query)).all()
        for comment in comments:
            comment.flagged = comment.id.int % 2 == 0
            unit.session.add(ReactionTotal(comment_id=comment.id, kind="like"))
        return encode_id("Comment", comments[0].id)

    values = {"t": thread, "c": await database.write(work)}
    api = PlannedApi(database, RULES)
    for query, verbs in DISCUSSIONS:
        variables = {name: value for name, value in values.items() if f"${name}:" in query}
        with statements() as executed:
            answer = await api(query, MODERATOR, **variables)
        assert "errors" not in answer
        assert executed.verbs == verbs, query
    assert api.counts.executed == len(DISCUSSIONS)
