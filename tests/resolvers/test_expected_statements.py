"""The SQL statements of each request by table, as each role, with and without hooks."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import mutation
from support.host import Discreet, Host, titles

from tallied.database import Database, UnitOfWork
from tallied.host.hooks import Hooks
from tallied.host.targets import Target
from tallied.models import Author, Comment, Thread
from tallied.models.base import new_id
from tallied.schema.ids import encode_id

AUTHOR, THREAD, COMMENT = (f"SELECT tallied_{name}" for name in ("author", "thread", "comment"))
REACTION = "SELECT tallied_reaction"
CHECKED = "only with hooks"
LOCKED_AHEAD = "only on PostgreSQL"
CAN = "viewerCanEdit viewerCanMove viewerCanDelete"
COMMENTS = """query($thread: ID!) { thread(id: $thread) { title
  comments(first: 100) { nodes { %s } } } }"""
THREADS = "{ threads(first: 100) { nodes { title %s } } }"
ME = "{ viewer { name isModerator canStartThread author { id name commentCount } } }"
VERBS: list[tuple[str, str, list[str]]] = [
    ("guest", COMMENTS % "message", [THREAD, THREAD]),
    ("guest", COMMENTS % "authorName", [THREAD, THREAD, AUTHOR]),
    ("guest", COMMENTS % "author { id name commentCount createdAt }", [THREAD, THREAD, AUTHOR]),
    ("guest", COMMENTS % "authorName author { name }", [THREAD, THREAD, AUTHOR]),
    ("guest", COMMENTS % CAN, [THREAD, THREAD]),
    ("bob", COMMENTS % CAN, [THREAD, THREAD, AUTHOR]),
    ("guest", THREADS % "author { name } target { type } lockedAt", [THREAD, AUTHOR]),
    ("guest", THREADS % "viewerCanComment viewerCanRename viewerCanLock", [THREAD]),
    ("bob", THREADS % "viewerCanComment viewerCanRename viewerCanLock", [THREAD, AUTHOR]),
    ("guest", ME, []),
    ("ada", "{ viewer { name isModerator } }", []),
    ("ada", ME, [AUTHOR, AUTHOR]),
    ("guest", "query($author: ID!) { author(id: $author) { viewerCanDelete } }", [AUTHOR]),
    ("bob", "query($author: ID!) { author(id: $author) { viewerCanDelete } }", [AUTHOR] * 2),
    ("guest", '{ threadFor(target: {type: "article", key: "1"}) { id target { key } } }', [THREAD]),
    ("guest", "query($c: ID!) { comment(id: $c) { messageHtml viewerCanEdit } }", [COMMENT]),
]
"""What each viewer asks, and the statements of it."""

LOCK = [AUTHOR, THREAD]
ADDED = [CHECKED, "INSERT tallied_comment", "UPDATE tallied_thread", "UPDATE tallied_author"]
SAID = {"threadId": "thread", "message": "a"}
CHANGES: list[tuple[str, str, dict[str, Any], str | None, list[str]]] = [
    ("guest", "addComment", SAID | {"authorName": "Gast"}, "SIGN_IN_REQUIRED", []),
    ("guest", "lockThread", {"threadId": "thread"}, "SIGN_IN_REQUIRED", [THREAD]),
    ("bob", "lockThread", {"threadId": "thread"}, "NOT_ALLOWED", [AUTHOR]),
    ("bob", "lockThread", {"threadId": "never"}, "NOT_FOUND", [AUTHOR]),
    ("bob", "editComment", {"commentId": "c", "message": "a"}, "NOT_ALLOWED", [AUTHOR]),
    ("bob", "addComment", SAID, None, [AUTHOR, "INSERT tallied_author", THREAD, *ADDED]),
    ("bob", "addComment", SAID, None, [AUTHOR, THREAD, *ADDED]),
    ("bob", "createThread", {"title": "Looms"}, None, [AUTHOR, "INSERT tallied_thread"]),
    ("moderator", "lockThread", {"threadId": "thread"}, None, [*LOCK, "UPDATE tallied_thread"]),
    ("moderator", "lockThread", {"threadId": "thread"}, None, LOCK),
    ("moderator", "unlockThread", {"threadId": "thread"}, None, [*LOCK, "UPDATE tallied_thread"]),
    # Whether there is one, who begins it, the row, and what the database made of it.
    (
        "bob",
        "threadFor",
        {"target": {"type": "article", "key": "2"}},
        None,
        [*LOCK, AUTHOR, "INSERT tallied_thread", THREAD],
    ),
    ("ada", "threadFor", {"target": {"type": "article", "key": "2"}}, None, LOCK),
    # The moderator, the author, and the author under lock; the comments under their locks, and
    # once they have lost their author.
    (
        "moderator",
        "deleteAuthor",
        {"authorId": "author"},
        None,
        [
            AUTHOR,
            AUTHOR,
            LOCKED_AHEAD,
            AUTHOR,
            COMMENT,
            COMMENT,
            "SELECT tallied_flag",
            REACTION,
            "DELETE tallied_author",
            COMMENT,
        ],
    ),
]
"""Who makes each change of what, the code if it is refused, and the statements of it."""


async def filled_host(host: Host, size: int) -> dict[str, Any]:
    """Fill in threads and comments of as many authors and of Ada; return ids by their names."""
    people = [Author(subject=f"s{n}", name=f"N{n}") for n in range(size)]
    comments = [Comment(message="one two", author_id=person.id) for person in people]
    thread = Thread(title="Engines", author_id=people[0].id, comments=comments)
    threads = [Thread(title=f"Engine {n}", author_id=people[n].id) for n in range(size)]
    arguments = {"target": {"type": "article", "key": "1"}}
    created = await host.ada.do("threadFor", "thread { id }", **arguments)
    for _ in range(size):
        await host.ada.comment(created["thread"]["id"])

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(people)
        await unit.session.flush()
        unit.session.add_all([thread, *threads])

    await host.database.write(work)
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    keys = {"thread": thread.id, "never": new_id()}
    return {
        "author": author,
        "c": encode_id("Comment", comments[0].id),
        **{name: encode_id("Thread", key) for name, key in keys.items()},
    }


SIZES = [12, *(pytest.param(size, marks=pytest.mark.exhaustive) for size in (1, 40))]
"""Numbers of threads, which change no number of statements."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("hooks", [(), (Hooks(), Hooks())], ids=["no hooks", "hooks"])
async def test_requests_execute_expected_statements(
    database: Database, statements: Any, size: int, hooks: tuple[Hooks, ...]
) -> None:
    host = Host(database, targets=[Target("article", titles)], hooks=hooks)
    ids = await filled_host(host, size)
    for role, query, verbs in VERBS:
        with statements() as executed:
            await getattr(host, role)(
                query, **{name: id for name, id in ids.items() if f"${name}:" in query}
            )
        assert sorted(executed.verbs) == sorted(verbs), query
    left_out = {*([] if hooks else [CHECKED]), *([LOCKED_AHEAD] if database.is_sqlite else [])}
    instead = {CHECKED: THREAD, LOCKED_AHEAD: COMMENT}
    for role, change, values, code, verbs in CHANGES:
        input = {
            name: ids.get(value, value) if isinstance(value, str) else value
            for name, value in values.items()
        }
        with statements() as executed:
            payload = await getattr(host, role)(mutation(change, "userErrors { code }"), i=input)
        assert payload["userErrors"] == ([{"code": code}] if code else []), change
        expected = [instead.get(verb, verb) for verb in verbs if verb not in left_out]
        assert executed.verbs == expected, (role, change)


@pytest.mark.parametrize("size", SIZES)
async def test_hiding_policy_costs_no_statement_per_thread(
    database: Database, statements: Any, size: int
) -> None:
    host = Host(database, policy=Discreet(), targets=[Target("article", titles)])
    ids = await filled_host(host, size)
    query = """query($t: ID!, $c: ID!) { thread(id: $t) { title } comment(id: $c) { message }
                 threads(first: 10) { totalCount nodes { comments(first: 10) {
                   nodes { message } } } } }"""
    for client in (host.guest, host.ada):
        with statements() as executed:
            await client(query, t=ids["thread"], c=ids["c"])
        assert len(executed) == 5
