"""Concurrent siblings, and rows that others delete during a request."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event
from support.api import Api, mutation
from support.leases import taken
from support.recount import count_drifted
from support.sessions import Counted
from support.waiting import eventually

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.execution.context import Context
from tallied.models import Comment, Thread
from tallied.schema.ids import decode_id
from tallied.settings import Settings

MODELS = {"Thread": Thread, "Comment": Comment}


@contextmanager
def meanwhile(database: Database, before: str, id: str, by: Engine | None) -> Iterator[list[str]]:
    """Delete an object once, right before the first statement that starts with `before`.

    :param by: who deletes and commits; by default, the very transaction of the statement.
    """
    type_name, key = decode_id(id, "id", *MODELS)
    table = MODELS[type_name].__table__
    deletion = delete(table).where(table.c.id == key)
    done: list[str] = []

    def strike(connection: Connection, _: object, statement: str, *__: object) -> None:
        if done or not statement.startswith(before):
            return
        done.append(statement)
        if by is None:
            assert connection.execute(deletion).rowcount == 1
            return
        with by.begin() as other:
            assert other.execute(deletion).rowcount == 1

    event.listen(database.engine.sync_engine, "before_cursor_execute", strike)
    yield done
    event.remove(database.engine.sync_engine, "before_cursor_execute", strike)
    assert len(done) == 1


@pytest.fixture
def in_a_unit(database: Database, someone_else: Engine) -> Engine | None:
    """Who deletes between two statements of a unit: on SQLite, only the unit itself can."""
    return None if database.is_sqlite else someone_else


async def test_sibling_root_fields_read_at_once(api: Api) -> None:
    """Each has a connection of its own: a session that they share fails on asyncpg."""
    ids = [await api.thread(f"Thread {number}", "one two") for number in range(3)]
    fields = "".join(
        f"""t{n}: thread(id: "{ids[n % 3]}") {{ title comments(first: 2) {{ nodes {{ id }} }} }}
            n{n}: node(id: "{ids[n % 3]}") {{ ... on Thread {{ title }} }}
            l{n}: threads(first: 2) {{ totalCount nodes {{ title }} }} """
        for n in range(10)
    )
    answer = await api(f"{{ {fields} }}")
    assert len(answer) == 30
    for n in range(10):
        assert answer[f"t{n}"]["title"] == answer[f"n{n}"]["title"] == f"Thread {n % 3}"
        assert answer[f"l{n}"]["totalCount"] == 3


@pytest.mark.slow
async def test_siblings_of_failing_field_release_connections(api: Api) -> None:
    """The error of a field that cannot be null ends them, wherever they have come to."""
    thread = await api.thread("Engines", "one two")
    for number in range(8):
        siblings = " ".join(
            f"b{n}: comments(first: 3) {{ nodes {{ thread {{ comments {{ totalCount }} }} }} }}"
            for n in range(number)
        )
        failing = "a: comments(first: 0) { totalCount }"
        query = f"query($id: ID!) {{ thread(id: $id) {{ {failing} {siblings} }} }}"
        answer = await api.post(query, id=thread)
        assert answer["data"] == {"thread": None}
        gc.collect()  # What is lost is found now, and told as a warning, which is an error here.
    await eventually(lambda: taken(api.database.engine) == 0, 5)


async def test_cancelled_sibling_keeps_author_lookup(database: Database) -> None:
    """They are looked up once for all, by whoever asks first."""
    context = Context(database, Settings(), viewer=Viewer("7", is_moderator=True))
    first, second = [asyncio.create_task(context.load_access()) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).viewer == Viewer("7", is_moderator=True)
    assert first.cancelled()


@pytest.mark.slow
async def test_concurrent_requests_lose_nothing(api: Api) -> None:
    """Guests, and authors, whose counters are exact, too."""
    one, other = await api.thread("Engines"), await api.thread("Looms")
    viewers = [Viewer(subject, is_moderator=True) for subject in ("7", "8")]
    apis = [api, *(Api(api.database, viewer=viewer) for viewer in viewers)]

    async def write(number: int) -> None:
        role, other_one = apis[number // 3 % 3], apis[number // 2 % 3]
        for _ in range(4):
            id = await role.comment(one, "one two three")
            if number % 3 == 0:
                await other_one.do("moveComment", "comment { id }", commentId=id, threadId=other)
            elif number % 3 == 1:
                await other_one.do("editComment", "comment { id }", commentId=id, message="one")

    await asyncio.gather(*map(write, range(12)))
    counted = "commentCount wordCount"
    answer = await api(
        f"""query($a: ID!, $b: ID!) {{ a: thread(id: $a) {{ {counted} }}
              b: thread(id: $b) {{ {counted} }} }}""",
        a=one,
        b=other,
    )
    assert answer == {
        "a": {"commentCount": 32, "wordCount": 16 * 1 + 16 * 3},
        "b": {"commentCount": 16, "wordCount": 48},
    }
    viewer_response = await apis[1]("{ viewer { author { commentCount wordCount } } }")
    assert viewer_response == {"author": {"commentCount": 12, "wordCount": 4 * 1 + 8 * 3}}
    assert await count_drifted(api.database) == 0


async def assert_not_found(api: Api, change: str, field: str, **input: Any) -> None:
    (error,) = await api.rejected(mutation(change), i=input)
    assert (error["code"], error["field"]) == ("NOT_FOUND", field)
    assert await count_drifted(api.database) == 0


async def test_thread_deleted_before_insert_is_not_found(
    api: Api, in_a_unit: Engine | None
) -> None:
    """Before it is locked; afterwards only the unit itself, such as a trigger, can do this."""
    for before, by in (("SELECT tallied_thread", in_a_unit), ("INSERT INTO tallied_comment", None)):
        id = await api.thread("Engines", "one two")
        with meanwhile(api.database, before, id, by):
            await assert_not_found(api, "addComment", "threadId", **api.written(id))


async def test_row_deleted_before_update_is_not_found(api: Api) -> None:
    """A row that is changed is locked: only its own transaction can delete it, as a trigger."""
    thread = await api.thread("Engines", "one two")
    id, target = await api.comment(thread), await api.thread("Looms", "one two")
    move = {"commentId": id, "threadId": target}
    for change, table, deleted, field, input in (
        ("editComment", "comment", id, "commentId", {"commentId": id, "message": "three"}),
        ("moveComment", "comment", id, "commentId", move),
        ("renameThread", "thread", thread, "threadId", {"threadId": thread, "title": "x"}),
    ):
        with meanwhile(api.database, f"UPDATE tallied_{table}", deleted, None):
            await assert_not_found(api, change, field, **input)


async def behind(api: Api, engine: Engine, change: Any, query: str, **variables: Any) -> Any:
    """Return the data of a request that waits for another session to commit its change."""
    waiting = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(*call: Any) -> None:
        if call[2].startswith(("BEGIN IMMEDIATE", "SELECT", "UPDATE", "WITH")):
            loop.call_soon_threadsafe(waiting.set)

    with Counted(engine) as other:
        change(other)
        other.flush()
        event.listen(api.database.engine.sync_engine, "before_cursor_execute", tell)
        request = asyncio.create_task(api(query, **variables))
        await asyncio.wait_for(waiting.wait(), 10)
        # It has sent its first statement, and gets no answer as long as the other holds the row.
        done, _ = await asyncio.wait([request], timeout=0.3)
        assert not done
        other.commit()
        answer = await request
        event.remove(api.database.engine.sync_engine, "before_cursor_execute", tell)
    assert await count_drifted(api.database) == 0
    return answer


def key(id: str) -> Any:
    return decode_id(id, "id", *MODELS)[1]


async def test_edit_behind_move_returns_new_thread(api: Api, someone_else: Engine) -> None:
    source = await api.thread("Engines", "one two")
    target = await api.thread("Looms", "one two three")
    id = await api.comment(source, "four five six seven")
    edited = await behind(
        api,
        someone_else,
        lambda other: setattr(other.get_one(Comment, key(id)), "thread_id", key(target)),
        """mutation($id: ID!) { editComment(input: {commentId: $id, message: "four"}) {
             comment { thread { id wordCount } } thread { id wordCount } } }""",
        id=id,
    )
    assert edited["thread"] == edited["comment"]["thread"] == {"id": target, "wordCount": 4}


async def test_move_behind_move_returns_previous_thread(api: Api, someone_else: Engine) -> None:
    ids = [await api.thread(title, "one two") for title in ("Engines", "Looms", "Mills")]
    id = await api.comment(ids[0], "four five six seven")
    moved = await behind(
        api,
        someone_else,
        lambda other: setattr(other.get_one(Comment, key(id)), "thread_id", key(ids[1])),
        """mutation($id: ID!, $to: ID!) { moveComment(input: {commentId: $id, threadId: $to}) {
             previousThread { id wordCount } thread { id wordCount } } }""",
        id=id,
        to=ids[2],
    )
    assert moved["previousThread"] == {"id": ids[1], "wordCount": 2}
    assert moved["thread"] == {"id": ids[2], "wordCount": 6}


async def test_deletion_behind_edit_returns_edited_comment(api: Api, someone_else: Engine) -> None:
    id = await api.comment(await api.thread("Engines", "one two"), "three")
    deleted = await behind(
        api,
        someone_else,
        lambda other: setattr(other.get_one(Comment, key(id)), "message", "four five"),
        """mutation($id: ID!) { deleteComment(input: {commentId: $id}) {
             comment { message wordCount } thread { wordCount commentCount } } }""",
        id=id,
    )
    assert deleted["comment"] == {"message": "four five", "wordCount": 2}
    assert deleted["thread"] == {"wordCount": 2, "commentCount": 1}


async def test_deletion_behind_new_comment_returns_new_counts(
    api: Api, someone_else: Engine
) -> None:
    id = await api.thread("Engines", "one two")
    new = Comment(thread_id=key(id), author_name="Ada", message="three four five")
    deleted = await behind(
        api,
        someone_else,
        lambda other: other.add(new),
        """mutation($id: ID!) { deleteThread(input: {threadId: $id}) {
             thread { title wordCount commentCount } } }""",
        id=id,
    )
    assert deleted["thread"] == {"title": "Engines", "wordCount": 5, "commentCount": 2}
    assert await api("{ threads(first: 1) { totalCount } }") == {"totalCount": 0}


async def test_thread_deleted_after_change_is_null_in_its_payload(
    api: Api, someone_else: Engine
) -> None:
    thread = await api.thread("Engines", "one two")
    id = await api.comment(thread)
    query = mutation("editComment", "comment { message } thread { title wordCount }")
    # An edit does not read its thread: the title is, once the edit has been committed.
    with meanwhile(api.database, "SELECT tallied_thread", thread, someone_else):
        edited = await api(query, i={"commentId": id, "message": "three"})
    assert edited == {"comment": {"message": "three"}, "thread": None}
    assert await api("{ threads(first: 1) { totalCount } }") == {"totalCount": 0}


async def test_deleted_thread_of_page_has_no_comments(api: Api, someone_else: Engine) -> None:
    ids = [await api.thread(f"Thread {number}", "one", "two") for number in range(3)]
    query = "{ threads(first: 9) { nodes { id title comments(first: 9) { nodes { id } } } } }"
    with meanwhile(api.database, "SELECT page.", ids[1], someone_else):
        nodes = (await api(query))["nodes"]
    assert {node["id"]: len(node["comments"]["nodes"]) for node in nodes} == {
        ids[0]: 2,
        ids[1]: 0,
        ids[2]: 2,
    }


async def test_thread_deleted_while_read_is_error(api: Api, someone_else: Engine) -> None:
    thread = await api.thread("Engines", "one two")
    id = await api.comment(thread)
    query = "query($id: ID!) { comment(id: $id) { message thread { title } } }"
    with meanwhile(api.database, "SELECT tallied_thread", thread, someone_else):
        answer = await api.post(query, id=id)
    assert answer["data"] == {"comment": None}
    (error,) = answer["errors"]
    assert error["path"] == ["comment", "thread"]
    assert error["extensions"] == make_extensions("NOT_FOUND")
    assert "deleted" in error["message"]
