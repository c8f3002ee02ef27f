"""The events of hooks: request, viewer and author; models and their errors in a log."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import selectinload
from starlette.requests import HTTPConnection
from support.diary import Diary
from support.host import ADA, MODERATOR, Client, Host, key
from support.sockets import site

from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.models import Author, Comment, Thread
from tallied.resolvers.comments import NewComment, add_comment

BROWSER = "Browser/7.3"


async def write_all(client: Client, thread: str) -> None:
    """Add a comment and edit it."""
    id = await client.comment(thread, "one two")
    await client.do("editComment", "comment { id }", commentId=id, message="three")


async def test_hooks_receive_request(database: Database) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary], settings={"guests": "moderate"})
    for client in (host.moderator, host.guest):
        client.headers["user-agent"] = BROWSER
        thread = await client.thread("Engines")
        await write_all(client, thread)
        await client.do("deleteThread", "deletedThreadId", threadId=thread)
    assert len(diary.events) == 16
    for point, event in diary.events:
        assert isinstance(event.request, HTTPConnection), point
        assert event.request.headers["user-agent"] == BROWSER
        assert event.request.client is not None
        assert event.request.client.host == "127.0.0.1"
        assert BROWSER not in repr(event)
        assert "127.0.0.1" not in repr(event)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_hooks_receive_request_of_websocket(database: Database) -> None:
    diary = Diary([])
    async with site(database, hooks=[diary]) as server, server.socket() as socket:
        await socket('mutation { createThread(input: {title: "A"}) { thread { id } } }')
    assert [event.request is not None for _, event in diary.events] == [True, True]


async def test_host_may_pass_request_to_hooks(database: Database) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary])
    thread = key(await host.ada.thread("Engines"))
    diary.events.clear()
    request = HTTPConnection({"type": "http", "headers": [], "client": ("192.0.2.7", 73)})
    discussion = host.discussion
    for access, expected in (
        (discussion.access(ADA), None),
        (discussion.access(ADA, request=request), request),
        (discussion.access(ADA, request=request).as_host(ADA), request),
    ):
        new = NewComment("one two")
        await discussion.write(lambda unit, a=access, n=new: add_comment(unit, a, thread, n))
        assert [event.request for _, event in diary.events] == [expected, expected]
        diary.events.clear()


async def test_hooks_receive_displayed_name(database: Database) -> None:
    diary = Diary([])
    host = Host(
        database, hooks=[diary], settings={"guests": "write"}, deleted_author=lambda: "Someone"
    )
    thread = await host.moderator.thread("Engines")
    diary.events.clear()

    def names() -> set[Any]:
        author_names = {event.comment["author_name"] for _, event in diary.events if event.comment}
        assert len(diary.events) in (2, 4)
        diary.events.clear()
        return author_names

    id = await host.ada.comment(thread, "one two")
    assert names() == {"Ada"}
    edit = {"commentId": id, "message": "three"}
    await host.moderator.do("editComment", "comment { id }", **edit)
    assert names() == {"Ada"}  # who wrote it, and not who edits it
    guests = await host.guest.comment(thread, "four")
    assert names() == {"Gast"}
    first = {"title": "Looms", "comment": {"message": "five"}}
    await host.bob.do("createThread", "thread { id }", **first)
    assert names() == {"Bob"}
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    await host.ada.do("deleteAuthor", "deletedAuthorId", authorId=author)
    diary.events.clear()
    await host.moderator.do("editComment", "comment { id }", **{**edit, "message": "six"})
    assert names() == {"Someone"}
    await host.moderator.do("deleteComment", "deletedCommentId", commentId=guests)
    assert names() == {"Gast"}
    await host.assert_exact()


async def test_change_returns_stored_name(database: Database) -> None:
    host = Host(database, hooks=[Diary([])])
    thread = key(await host.moderator.thread("Engines"))
    access = host.discussion.access(MODERATOR)
    done = await host.discussion.write(
        lambda unit: add_comment(unit, access, thread, NewComment("one two"))
    )
    assert done.comment is not None
    assert done.comment["author_name"] is None


# Models in a log


async def test_model_repr_has_no_text(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = await host.ada.thread("Secret title")
    comment = await host.guest.comment(thread, "secret words here")

    async def read(unit: UnitOfWork) -> list[str]:
        rows = [
            await unit.session.get(Thread, key(thread)),
            await unit.session.get(Comment, key(comment)),
            await unit.session.scalar(select(Author)),
        ]
        return list(map(repr, rows))

    visible = await database.write(read)
    numbers = r"(, [a-z_]+=(\d+|True|False))*\)"
    counts = "comment_count=1, top_level_count=1"
    own = f"id={key(comment)}, thread_id={key(thread)}, word_count=3"
    expected = rf"Thread\(id={key(thread)}, author_id=[0-9a-f-]{{36}}, {counts}{numbers}"
    assert re.fullmatch(expected, visible[0])
    assert re.fullmatch(rf"Comment\({own}{numbers}", visible[1])
    assert visible[2].startswith("Author(id=")
    for text in visible:
        for secret in ("ecret", "Ada", "Gast", "user-1"):
            assert secret not in text
    assert repr(Thread(title="secret")).startswith("Thread(id=")
    assert "expired" not in repr(Comment.__new__(Comment))


async def test_unloaded_relationship_names_remedy(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    id = key(await host.ada.comment(thread, "one two"))

    async def careless(unit: UnitOfWork) -> str:
        comment = await unit.session.get_one(Comment, id)
        return comment.thread.title

    with pytest.raises(InvalidRequestError, match="lazy='raise'") as refused:
        await database.write(careless)
    (note,) = refused.value.__notes__
    assert "select(Comment).options(selectinload(Comment.thread))" in note
    assert "session.get(Thread, comment.thread_id)" in note

    async def careful(unit: UnitOfWork) -> tuple[str, str]:
        query = select(Comment).options(selectinload(Comment.thread)).where(Comment.id == id)
        comment = (await unit.session.scalars(query)).one()
        result = await unit.session.get_one(Thread, comment.thread_id)
        return comment.thread.title, result.title

    assert await database.write(careful) == ("Engines", "Engines")
