"""Python code of a host follows the rules of the API on each database."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from support.host import ADA, Host, key

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import BadUserInput, InvalidText, NotAllowed
from tallied.host.access import Access
from tallied.resolvers import comments, threads, views
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import NewComment
from tallied.resolvers.moderation import moderate_comments
from tallied.resolvers.pagination.filters import CommentFilter, ThreadFilter
from tallied.resolvers.target_threads import get_or_create_thread

NAMES = [
    (None, "guest", None, "BLANK"),
    (None, "guest", "", "BLANK"),
    (None, "guest", " ", "BLANK"),
    (None, "guest", "x" * 101, "TOO_LONG"),
    (None, "guest", "A\0", "INVALID_CHARACTERS"),
    (ADA, "viewer", "Ada", "NOT_ALLOWED"),
    (ADA, "viewer", "", "NOT_ALLOWED"),
    (None, "host", "", "BLANK"),
    (None, "host", "x" * 101, "TOO_LONG"),
    (ADA, "host", "Ada", "NOT_ALLOWED"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("viewer", "role", "name", "code"), NAMES)
async def test_bad_name_breaks_same_rules_in_python_and_api(
    database: Database, viewer: Viewer | None, role: str, name: str | None, code: str
) -> None:
    host = Host(database, settings={"guests": "write"})
    access, client = host.discussion.access(viewer), host.client(viewer)
    thread, comment = await host.ada.thread("Engines"), NewComment("one", name)
    input = {"message": "one", **({} if name is None else {"authorName": name})}
    before = await client.contents()
    if role == "host":
        access = host.discussion.access_as_host(viewer)
    for path, change, arguments, work in (
        (
            "",
            "addComment",
            {"threadId": thread, **input},
            lambda unit: comments.add_comment(unit, access, key(thread), comment),
        ),
        (
            "comment.",
            "createThread",
            {"title": "Looms", "comment": input},
            lambda unit: threads.create_thread(unit, access, "Looms", comment),
        ),
    ):
        with pytest.raises((InvalidText, NotAllowed)) as refused:
            await host.discussion.write(work)
        reply = refused.value
        assert (reply.field, reply.code) == (f"{path}authorName", code)
        if role != "host":
            error = await client.refused(change, **arguments)
            assert error == {"message": reply.message, "field": reply.field, "code": reply.code}
    assert await client.contents() == before


async def test_name_is_stored_without_whitespace_around_it(database: Database) -> None:
    host = Host(database, settings={"guests": "write"})
    thread = key(await host.ada.thread("Engines"))
    for access, name, stored in (
        (host.discussion.access(), " Gast ", "Gast"),
        (host.discussion.access_as_host(), " Old Bob ", "Old Bob"),
        (host.discussion.access_as_host(), None, None),
        (host.discussion.access_as_host(ADA), None, None),
    ):
        for comment in await host.discussion.write(lambda unit: both(unit, access, thread, name)):  # noqa: B023
            assert comment["author_name"] == stored


async def both(unit: UnitOfWork, access: Access, thread: Any, name: str | None) -> list[Any]:
    new = NewComment("one", name)
    added = await comments.add_comment(unit, access, thread, new)
    begun = await threads.create_thread(unit, access, "Looms", new)
    return [added.comment, begun.comment]


async def test_argument_of_wrong_type_is_type_error(database: Database) -> None:
    host = Host(database)
    ada, id, new = host.discussion.access(ADA), key(await host.ada.thread()), NewComment("one")
    text, other = str(id), uuid4()
    wrong: list[tuple[Any, str]] = [
        (lambda u: comments.add_comment(u, ada, text, new), "thread_id must be a UUID, not a"),
        (lambda u: threads.rename_thread(u, ada, text, "A"), "id must be a UUID, not a"),
        (lambda u: threads.lock_thread(u, ada, text), "id must be a UUID, not a"),
        (lambda u: threads.delete_thread(u, ada, text), "id must be a UUID, not a"),
        (lambda u: comments.edit_comment(u, ada, text, "A"), "id must be a UUID, not a"),
        (lambda u: comments.delete_comment(u, ada, text), "id must be a UUID, not a"),
        (lambda u: comments.move_comment(u, ada, other, text), "thread_id must be a UUID, not a"),
        (lambda u: delete_author(u, ada, text), "id must be a UUID, not a"),
        (lambda u: comments.add_comment(u, ada, id, 5), "comment must be a NewComment, not a"),
        (lambda u: threads.create_thread(u, ada, "A", 5), "comment must be a NewComment, no"),
        (lambda u: comments.add_comment(u, ADA, id, new), "access must be an Access, not a val"),
        (lambda u: comments.add_comment(u.session, ada, id, new), "unit must be a UnitOfWork, not"),
        (lambda u: threads.create_thread(u, ada, None), "title must be a str, not None."),
        (lambda u: comments.add_comment(u, ada, id, NewComment(5)), "message must be a str, not"),
        (lambda u: comments.add_comment(u, ada, id, NewComment(None)), "message must be a str, "),
        (
            lambda u: get_or_create_thread(u, ada, "page", 7),
            "target_id must be a str, not a value of type",
        ),
        (
            lambda u: get_or_create_thread(u, None, "page", "7"),
            "access must be an Access, not None.",
        ),
        (lambda u: views.read_thread(u.session, ada, text), "id must be a UUID, not a value"),
        (lambda u: views.read_comment(u.session, ada, text), "id must be a UUID, not a value"),
        (lambda u: views.read_comments(u.session, ada, text, first=5), "thread_id must be a U"),
        (lambda u: views.read_thread(u.session, ADA, id), "access must be an Access, not a v"),
        (lambda u: views.read_thread_for(u.session, ada, "a", 7), "target_id must be a str, n"),
        (lambda u: views.read_threads(u.session, ada, order_by="TITLE"), "order_by must be one of"),
        (
            lambda u: views.read_threads(u.session, ada, filter_by=CommentFilter()),
            "filter_by must be a ThreadFilter, not a value",
        ),
        (
            lambda u: views.read_comments(u.session, ada, id, filter_by=ThreadFilter()),
            "filter_by must be a CommentFilter, not a value",
        ),
        (lambda u: moderate_comments(u, ada, id, "SPAM"), "ids must be a Sequence, not a value"),
        (lambda u: moderate_comments(u, ada, [text], "SPAM"), "ids must be a UUID, not a value"),
        (lambda u: moderate_comments(u, ada, text, "SPAM"), "ids must be a UUID, not a value"),
    ]
    before = await host.ada.contents()
    for work, sentence in wrong:
        with pytest.raises(TypeError, match=f"^{sentence}"):
            await host.discussion.write(work)
    assert await host.ada.contents() == before


@pytest.mark.parametrize("size", ["5", 5.0, [5]], ids=repr)
async def test_size_is_number(database: Database, size: Any) -> None:
    access = Host(database).discussion.access()
    async with database.read() as connection:
        with pytest.raises(BadUserInput, match="must be a number from 1 to 1000, not") as refused:
            await views.read_threads(connection, access, first=size)
        assert refused.value.field == "first"
        with pytest.raises(BadUserInput, match="must be a number from 1 to 1000, not"):
            await views.read_comments(connection, access, uuid4(), last=size)
