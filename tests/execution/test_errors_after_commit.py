"""A committed change is reported as made, even if reading its payload fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from conftest import Open
from sqlalchemy import event, make_url
from support.api import Api
from support.recount import count_drifted

from tallied.database import Database
from tallied.models import Base

GRAPHQL = "application/graphql-response+json"

MOVE = """mutation($i: MoveCommentInput!) { moveComment(input: $i) {
    comment { message wordCount }
    commentEdge { node { message } }
    thread { commentCount }
    previousThread { commentCount lastCommentAt %s }
    clientMutationId
    userErrors { code } } }"""


def plain(url: str) -> str:
    """Return the URL as psycopg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(False)


@contextmanager
def broken_reads(database: Database, url: str) -> Iterator[None]:
    """Yield every read in the block fails in the database itself.

    PostgreSQL ends the connection under the statement; SQLite finds the table gone.
    """
    away = not database.is_sqlite

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal away
        if not database.is_sqlite:
            pid = connection.connection.driver_connection.get_server_pid()
            with psycopg.connect(plain(url), autocommit=True) as killer:
                killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        elif not away:
            away = True
            with closing(sqlite3.connect(make_url(url).database or "")) as other:
                other.execute("ALTER TABLE tallied_thread RENAME TO hidden")

    reader = database.reader.sync_engine
    event.listen(reader, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(reader, "before_cursor_execute", before)
        if database.is_sqlite and away:
            with closing(sqlite3.connect(make_url(url).database or "")) as other:
                other.execute("ALTER TABLE hidden RENAME TO tallied_thread")


class Forum:
    """A thread with comments, and one that its last comment, of three words, is moved to."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def fill(self, *messages: str) -> None:
        self.source = await self.api.thread("Engines", *messages)
        self.target = await self.api.thread("Looms")
        self.comment = await self.api.comment(self.source, "one two three")

    async def move(self, below: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the response; the former thread is read after the commit."""
        values = {"commentId": self.comment, "threadId": self.target, **more}
        response = await self.api.http.post(
            "/graphql",
            json={"query": MOVE % below, "variables": {"i": values}},
            headers={"accept": GRAPHQL},
        )
        answer: dict[str, Any] = response.json()
        return response.status_code, answer

    async def stored(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the comments and words of both threads, which equal a recount."""
        assert await count_drifted(self.api.database) == 0
        result = await self.api(
            """query($a: ID!, $b: ID!) { a: thread(id: $a) { commentCount wordCount }
                 b: thread(id: $b) { commentCount wordCount } }""",
            a=self.source,
            b=self.target,
        )
        first, second = ((item["commentCount"], item["wordCount"]) for item in result.values())
        return first, second


@pytest.fixture
def forum(api: Api) -> Forum:
    api.database.patience = 0.3  # How long a lost database is waited for.
    return Forum(api)


async def test_unreadable_field_after_change_is_null(forum: Forum, empty_url: str) -> None:
    await forum.fill("one two", "three")
    with broken_reads(forum.api.database, empty_url):
        status, answer = await forum.move("title", clientMutationId="mine")
    assert status == 294
    assert answer["data"]["moveComment"] == {
        "comment": {"message": "one two three", "wordCount": 3},
        "commentEdge": {"node": {"message": "one two three"}},
        "thread": {"commentCount": 1},
        "previousThread": None,
        "clientMutationId": "mine",
        "userErrors": [],
    }
    (error,) = answer["errors"]
    assert error["path"] == ["moveComment", "previousThread", "title"]
    assert "The change was made" in error["message"]
    if forum.api.database.is_sqlite:
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert error["extensions"]["id"] in error["message"]
    else:  # Its connections are lost.
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert "again" not in error["message"]
    # The change is in, once, and is counted.
    assert await forum.stored() == ((2, 3), (1, 3))


async def test_error_below_field_has_its_path(forum: Forum, empty_url: str) -> None:
    await forum.fill("one two")
    with broken_reads(forum.api.database, empty_url):
        status, answer = await forum.move("comments(first: 5) { nodes { message } }")
    assert status == 294
    assert answer["data"]["moveComment"]["comment"] == {"message": "one two three", "wordCount": 3}
    assert answer["data"]["moveComment"]["previousThread"] is None
    (error,) = answer["errors"]
    assert error["path"] == ["moveComment", "previousThread", "comments"]
    assert "The change was made" in error["message"]
    assert await forum.stored() == ((1, 2), (1, 3))


async def test_preloaded_values_need_no_read(forum: Forum, empty_url: str) -> None:
    await forum.fill("one two")
    with broken_reads(forum.api.database, empty_url):
        status, answer = await forum.move("wordCount")
    assert status == 200
    previous = answer["data"]["moveComment"]["previousThread"]
    assert (previous["commentCount"], previous["wordCount"]) == (1, 2)
    assert await forum.stored() == ((1, 2), (1, 3))


async def test_failed_change_is_not_reported_as_made(
    forum: Forum, lost_writes: Callable[[], Any]
) -> None:
    await forum.fill("one two")
    with lost_writes():
        status, answer = await forum.move("title")
    assert status == (294 if forum.api.database.is_sqlite else 503)
    (error,) = answer["errors"]
    assert error["path"] == ["moveComment"]
    assert "change" not in error["message"]
    assert await forum.stored() == ((2, 5), (0, 0))


@pytest.fixture
def lost_writes(database: Database, empty_url: str) -> Callable[[], Any]:
    """``with lost_writes():`` makes every unit of work fail in the database."""

    @contextmanager
    def lost() -> Iterator[None]:
        def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if database.is_sqlite:
                cursor.execute("SELECT * FROM nowhere")
            else:
                pid = connection.connection.driver_connection.get_server_pid()
                with psycopg.connect(plain(empty_url), autocommit=True) as killer:
                    killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        writer = database._writer.sync_engine
        event.listen(writer, "before_cursor_execute", before)
        yield
        event.remove(writer, "before_cursor_execute", before)

    return lost


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_busy_read_after_change_is_no_retry(empty_url: str, open_database: Open) -> None:
    """SQLite's readers wait for nobody."""
    database = open_database(patience=0.2)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    api = Api(database)
    forum = Forum(api)
    await forum.fill("one two")
    with psycopg.connect(plain(empty_url)) as other:

        def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            other.execute("LOCK TABLE tallied_thread IN ACCESS EXCLUSIVE MODE")

        event.listen(database.reader.sync_engine, "before_cursor_execute", before)
        status, answer = await forum.move("title")
        event.remove(database.reader.sync_engine, "before_cursor_execute", before)
    assert status == 294
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BUSY"
    assert error["path"] == ["moveComment", "previousThread", "title"]
    assert "The change was made" in error["message"]
    assert "again" not in error["message"]
    assert await forum.stored() == ((1, 2), (1, 3))


async def test_timeout_after_change_is_reported(database: Database) -> None:
    api = Api(database, execution_time=3)
    forum = Forum(api)
    await forum.fill("one two")

    def before(*_: Any) -> tuple[str, Any]:
        forever = "SELECT pg_sleep(60)"
        if database.is_sqlite:
            forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            forever += " SELECT count(*) FROM n"
        return forever, ()

    # In the place of a statement, so that its end is the end of any statement.
    event.listen(database.reader.sync_engine, "before_cursor_execute", before, retval=True)
    status, answer = await forum.move("title")
    event.remove(database.reader.sync_engine, "before_cursor_execute", before)
    # Not 503, after which clients and proxies send a request again.
    assert status == 500
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "TIMEOUT"
    assert "changes made before: 1." in error["message"]
    assert await forum.stored() == ((1, 2), (1, 3))
