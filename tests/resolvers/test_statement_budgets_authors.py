"""What authors, targets and the policy cost in statements, at three sizes; never timed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from support.host import Client, Host, about, titles
from support.statements import Statements

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.hooks import Hooks
from tallied.host.policy import Policy
from tallied.host.targets import Target
from tallied.models import Author, Comment, Thread
from tallied.models.base import new_id
from tallied.schema.ids import encode_id

SIZES = [1, 10, 60]


class Budget:
    """Asks the API, and keeps what the database was told meanwhile."""

    def __init__(self, recording: Any) -> None:
        self._recording = recording

    async def __call__(self, client: Client, query: str, **variables: Any) -> list[str]:
        """What each statement of a request that succeeds is, transactions apart."""
        executed: Statements
        with self._recording() as executed:
            self.answer = await client(query, **variables)
        return executed.verbs

    async def do(self, client: Client, field: str, asked: str, **given: Any) -> list[str]:
        """The same of a mutation."""
        with self._recording() as executed:
            self.answer = await client.do(field, asked, **given)
        verbs: list[str] = executed.verbs
        return verbs


@pytest.fixture
def spent(statements: Any) -> Budget:
    return Budget(statements)


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, targets=[Target("article", titles)])


THREAD, COMMENT, AUTHOR = "tallied_thread", "tallied_comment", "tallied_author"


async def fill(host: Host, size: int) -> tuple[str, list[str]]:
    """A thread with so many comments by as many authors; its id and those of the comments."""
    people = [Author(subject=f"s{n}", name=f"N{n}") for n in range(size)]
    thread = Thread(title="Engines", author_id=people[0].id)
    comments = [Comment(message="one two", author_id=person.id) for person in people]

    async def work(unit: Any) -> None:
        unit.session.add_all(people)
        await unit.session.flush()
        thread.comments.extend(comments)
        unit.session.add(thread)
        await unit.session.flush()

    await host.database.write(work)
    return encode_id("Thread", thread.id), [encode_id("Comment", each.id) for each in comments]


@pytest.mark.parametrize("size", SIZES)
async def test_the_authors_of_a_page_are_one_statement(
    host: Host, spent: Budget, size: int
) -> None:
    thread, _ = await fill(host, size)
    for asked, more in (
        ("message", 0),
        ("authorName", 1),
        ("author { id name commentCount wordCount createdAt }", 1),
        ("authorName author { name }", 1),
    ):
        verbs = await spent(
            host.guest,
            f"""query($id: ID!) {{ thread(id: $id) {{ title comments(first: 100) {{
                  nodes {{ {asked} }} }} }} }}""",
            id=thread,
        )
        assert len(spent.answer["comments"]["nodes"]) == size
        assert len(verbs) == 2 + more
        assert verbs[2:] == [f"SELECT {AUTHOR}"] * more


@pytest.mark.parametrize("size", SIZES)
async def test_the_authors_of_threads_are_one_statement(
    host: Host, spent: Budget, size: int
) -> None:
    for _ in range(min(size, 20)):
        await host.ada.thread("Engines")
    query = "{ threads(first: 100) { nodes { title author { name } target { type } lockedAt } } }"
    assert await spent(host.guest, query) == [f"SELECT {THREAD}", f"SELECT {AUTHOR}"]
    query = """{ threads(first: 100) { nodes { title viewerCanComment viewerCanRename viewerCanLock
                 viewerCanDelete } } }"""
    assert await spent(host.guest, query) == [f"SELECT {THREAD}"]
    assert await spent(host.bob, query) == [f"SELECT {THREAD}", f"SELECT {AUTHOR}"]


@pytest.mark.parametrize("size", SIZES)
async def test_single_reads(host: Host, spent: Budget, size: int) -> None:
    thread, comments = await fill(host, size)
    await host.ada.comment(thread)
    me = "{ viewer { name isModerator canStartThread author { id name commentCount } } }"
    assert await spent(host.guest, me) == []
    assert await spent(host.ada, "{ viewer { name isModerator } }") == []
    assert await spent(host.ada, me) == [f"SELECT {AUTHOR}"] * 2
    author = spent.answer["author"]["id"]
    query = "query($id: ID!) { author(id: $id) { name commentCount viewerCanDelete } }"
    assert await spent(host.guest, query, id=author) == [f"SELECT {AUTHOR}"]
    assert await spent(host.bob, query, id=author) == [f"SELECT {AUTHOR}"] * 2
    made = await host.ada.do("threadFor", "thread { id }", **about("article", 1))
    query = '{ threadFor(target: {type: "article", key: "1"}) { id title target { key } } }'
    assert await spent(host.guest, query) == [f"SELECT {THREAD}"]
    assert spent.answer["id"] == made["thread"]["id"]
    query = "query($id: ID!) { comment(id: $id) { messageHtml viewerCanEdit } }"
    assert await spent(host.guest, query, id=comments[0]) == [f"SELECT {COMMENT}"]


@pytest.mark.parametrize("size", SIZES)
async def test_a_policy_that_hides_threads_costs_no_statement_a_thread(
    database: Database, spent: Budget, size: int
) -> None:
    class Discreet(Policy):
        def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> Any:
            return thread.title != "Secret"

    host = Host(database, policy=Discreet())
    thread, comments = await fill(host, size)
    query = """query($t: ID!, $c: ID!) { thread(id: $t) { title } comment(id: $c) { message }
                 threads(first: 10) { totalCount nodes { comments(first: 10) {
                   nodes { message } } } } }"""
    ids = {"t": thread, "c": comments[0]}
    reads = sorted([f"SELECT {THREAD}"] * 3 + [f"SELECT {COMMENT}"] + [f"SELECT {THREAD}"])
    assert len(await spent(host.guest, query, **ids)) == len(reads)
    # And the viewer's author is looked up once, since the policy may go by it.
    assert len(await spent(host.ada, query, **ids)) == len(reads) + 1


LOOK = [f"SELECT {AUTHOR}"]
"""A row, looked at together with the viewer's author."""

LOCK = [f"SELECT {AUTHOR}", f"SELECT {THREAD}"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("hooks", [(), (Hooks(), Hooks())], ids=["no hooks", "hooks"])
async def test_mutations(
    database: Database, spent: Budget, size: int, hooks: tuple[Hooks, ...]
) -> None:
    host = Host(database, targets=[Target("article", titles)], hooks=hooks)
    thread, _ = await fill(host, size)
    checked = [f"SELECT {THREAD}"] if hooks else []
    write = [f"INSERT {COMMENT}", f"UPDATE {THREAD}", f"UPDATE {AUTHOR}", f"SELECT {THREAD}"]

    first = await spent.do(host.ada, "addComment", "comment { id }", threadId=thread, message="a")
    assert sorted(first) == sorted([f"SELECT {AUTHOR}", f"INSERT {AUTHOR}", *checked, *write])
    again = await spent.do(host.ada, "addComment", "comment { id }", threadId=thread, message="a")
    assert sorted(again) == sorted([f"SELECT {AUTHOR}", *checked, *write])

    made = await spent.do(host.ada, "createThread", "thread { id }", title="Looms")
    assert made == [f"SELECT {AUTHOR}", f"INSERT {THREAD}"]

    moderator = host.moderator
    lock = [*LOCK, f"UPDATE {THREAD}"]
    assert await spent.do(moderator, "lockThread", "thread { lockedAt }", threadId=thread) == lock
    assert await spent.do(moderator, "lockThread", "thread { id }", threadId=thread) == LOCK
    assert await spent.do(moderator, "unlockThread", "thread { id }", threadId=thread) == lock

    begun = await spent.do(host.ada, "threadFor", "thread { id title }", **about("article", size))
    # Whether there is one, who begins it, the row, and what the database made of it.
    assert begun == [
        *LOCK,
        f"SELECT {AUTHOR}",
        f"INSERT {THREAD}",
        f"SELECT {THREAD}",
    ]
    found = await spent.do(host.bob, "threadFor", "thread { id title }", **about("article", size))
    assert found == LOCK


@pytest.mark.parametrize("size", SIZES)
async def test_refusals_cost_no_more_than_what_they_are_found_out_by(
    host: Host, spent: Budget, statements: Any, size: int
) -> None:
    thread, comments = await fill(host, size)
    never = encode_id("Thread", new_id())
    for client, change, given, verbs in (
        (host.guest, "addComment", host.guest.written(thread), []),
        (host.guest, "lockThread", {"threadId": thread}, [f"SELECT {THREAD}"]),
        (host.bob, "lockThread", {"threadId": thread}, LOOK),
        (host.bob, "lockThread", {"threadId": never}, LOOK),
        (
            host.bob,
            "editComment",
            {"commentId": comments[0], "message": "a"},
            LOOK,
        ),
    ):
        name = f"{change[0].upper()}{change[1:]}Input"
        with statements() as executed:
            await client.rejected(
                f"mutation($i: {name}!) {{ {change}(input: $i) {{"
                " userErrors { message field code } } }",
                i=given,
            )
        assert executed.verbs == verbs, change


@pytest.mark.parametrize("size", SIZES)
async def test_deleting_an_author(host: Host, spent: Budget, size: int) -> None:
    for number in range(min(size, 12)):
        await host.ada.thread(f"Thread {number}", "one two")
    async with host.database.read() as connection:
        id = (await connection.execute(select(Author.id))).scalar_one()
    author = encode_id("Author", id)
    verbs = await spent.do(host.moderator, "deleteAuthor", "deletedAuthorId", authorId=author)
    if not host.database.is_sqlite:
        assert verbs.pop(2) == f"SELECT {COMMENT}"  # locked ahead of what they count for
    assert verbs == [
        *[f"SELECT {AUTHOR}"] * 3,  # the moderator, who is to go, and under lock
        *[f"SELECT {COMMENT}"] * 2,  # which comments lose it, under their locks
        f"DELETE {AUTHOR}",
        f"SELECT {COMMENT}",  # and that they have
    ]
