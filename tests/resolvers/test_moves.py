"""Moves of comments with their replies."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from support.api import Api, mutation
from support.host import key
from support.rows import fetch, find_drifts, store

from tallied.database import Database
from tallied.models import Comment, Thread
from tallied.models.base import new_id
from tallied.resolvers.moves import MAX_MOVED
from tallied.schema.ids import encode_id

ADD = mutation("addComment", "comment { id } userErrors { code }")
MOVE = mutation(
    "moveComment",
    "comment { depth parent { message } root { message } } thread { commentCount wordCount }"
    " previousThread { commentCount } userErrors { code field }",
)


async def add(api: Api, thread: str, message: str, to: str | None = None) -> str:
    input = {"threadId": thread, "authorName": "Ada", "message": message, "replyToId": to}
    return str((await api.post(ADD, i=input))["data"]["addComment"]["comment"]["id"])


async def move(api: Api, comment: str, thread: str, to: str | None = None) -> Any:
    input = {"commentId": comment, "threadId": thread, "replyToId": to}
    return (await api.post(MOVE, i=input))["data"]["moveComment"]


async def places(database: Database) -> dict[str, tuple[Any, ...]]:
    """Return thread, parent, root, answered comment and depth of each comment by messages."""
    assert await find_drifts(database) == []
    rows = await fetch(database, select(Comment.__table__))
    titles = dict(await fetch(database, select(Thread.id, Thread.title)))
    names = {row.id: row.message for row in rows} | {None: None}
    return {
        row.message: (
            titles[row.thread_id],
            names[row.parent_id],
            names[row.root_id],
            names[row.in_reply_to_id],
            row.depth,
        )
        for row in rows
    }


async def test_comment_is_moved_with_its_replies(database: Database) -> None:
    api = Api(database, reply_depth=3)
    thread, other = await api.thread("Looms"), await api.thread("Mills")
    a = await add(api, thread, "a")
    b = await add(api, thread, "b", a)
    c = await add(api, thread, "c", b)
    d = await add(api, thread, "d", c)
    await add(api, thread, "e", d)  # as deep as d, which it answers
    x = await add(api, other, "x")
    payload = await move(api, b, other, x)
    assert payload["userErrors"] == []
    assert payload["comment"] == {
        "depth": 1,
        "parent": {"message": "x"},
        "root": {"message": "x"},
    }
    assert payload["thread"] == {"commentCount": 5, "wordCount": 5}
    assert payload["previousThread"] == {"commentCount": 1}
    assert await places(database) == {
        "a": ("Looms", None, None, None, 0),
        "x": ("Mills", None, None, None, 0),
        "b": ("Mills", "x", "x", None, 1),
        "c": ("Mills", "b", "x", None, 2),
        "d": ("Mills", "c", "x", None, 3),
        "e": ("Mills", "c", "x", "d", 3),
    }
    # What it answers stays elsewhere; below the deepest, it answers that one.
    assert (await move(api, d, thread))["userErrors"] == []
    assert (await move(api, b, other))["comment"]["depth"] == 0
    assert await places(database) == {
        "a": ("Looms", None, None, None, 0),
        "x": ("Mills", None, None, None, 0),
        "b": ("Mills", None, None, None, 0),
        "c": ("Mills", "b", "b", None, 1),
        "d": ("Looms", None, None, None, 0),
        "e": ("Mills", "c", "b", None, 2),
    }


async def test_impossible_moves_change_nothing(database: Database) -> None:
    api = Api(database, reply_depth=2)
    thread, other = await api.thread("Looms"), await api.thread("Mills")
    a = await add(api, thread, "a")
    b = await add(api, thread, "b", a)
    c = await add(api, thread, "c", b)
    x = await add(api, other, "x")
    y = await add(api, other, "y", x)
    before = await places(database)
    missing = encode_id("Comment", new_id())
    for arguments, code, field in (
        ((a, thread, a), "NOT_MOVABLE", "replyToId"),
        ((a, thread, c), "NOT_MOVABLE", "replyToId"),
        ((b, other, y), "NOT_MOVABLE", "replyToId"),  # c would be too deep
        ((b, thread, x), "NOT_FOUND", "replyToId"),  # of the other thread
        ((b, thread, missing), "NOT_FOUND", "replyToId"),
        ((missing, thread), "NOT_FOUND", "commentId"),
        ((b, encode_id("Thread", new_id())), "NOT_FOUND", "threadId"),
    ):
        payload = await move(api, *arguments)
        assert payload["userErrors"] == [{"code": code, "field": field}], arguments
    await api(mutation("lockThread"), i={"threadId": other})
    for to in (None, x):
        payload = await move(api, b, other, to)
        assert payload["userErrors"] == [{"code": "LOCKED", "field": "threadId"}]
    assert await places(database) == before


async def test_tombstone_without_replies_goes_with_last_move(database: Database) -> None:
    api = Api(database)
    thread, other = await api.thread("Looms"), await api.thread("Mills")
    a = await add(api, thread, "a")
    b = await add(api, thread, "b", a)
    await api(mutation("deleteComment"), i={"commentId": a})
    assert (await move(api, b, other))["userErrors"] == []
    assert await places(database) == {"b": ("Mills", None, None, None, 0)}


@pytest.mark.parametrize("bound", [50, pytest.param(MAX_MOVED, marks=pytest.mark.slow)])
async def test_move_of_many_replies_is_bounded(
    database: Database, statements: Any, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    monkeypatch.setattr("tallied.resolvers.moves.MAX_MOVED", bound)
    api = Api(database)
    thread, other = await api.thread("Looms"), await api.thread("Mills")
    roots = [await add(api, thread, "a"), await add(api, thread, "b")]

    for root, number in zip(roots, (bound - 1, bound), strict=True):
        place = {"thread_id": key(thread), "parent_id": key(root), "root_id": key(root)}
        replies = [Comment(message=f"{root} {n}", depth=1, **place) for n in range(number)]
        await store(database, *replies)
    payload = await move(api, roots[1], other)
    assert payload["userErrors"] == [{"code": "NOT_MOVABLE", "field": "commentId"}]
    with statements() as executed:
        payload = await move(api, roots[0], other)
    assert payload["thread"]["commentCount"] == bound
    # One lock, one update of threads, and those of comments in batches. A comment whose number in
    # the new thread happens to be that in the old one divides a batch.
    assert len(executed) < 40, executed.verbs
    await places(database)
