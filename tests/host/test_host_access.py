"""Access of the host itself: its scripts and jobs need no permission and stay exact."""

from __future__ import annotations

from typing import Any

import pytest
from support.diary import Diary
from support.host import ADA, Host, codes, key, titles

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.database.unit_of_work import UnitOfWork
from tallied.errors import InvalidText, Locked, SignInRequired, Vetoed
from tallied.host.access import Access
from tallied.host.policy import Policy
from tallied.host.targets import Target
from tallied.resolvers import comments, threads
from tallied.resolvers.authors import delete_author
from tallied.resolvers.comments import NewComment
from tallied.resolvers.target_threads import get_or_create_thread


class Nobody(Policy):
    """Nobody may do anything, nor read what is there."""

    def may_read(self, viewer: Viewer | None, thread: Any) -> bool:
        return False

    def no(self, *_: object) -> bool:
        return False

    may_start = may_comment = may_rename = may_lock = may_delete_thread = no  # type: ignore[assignment]
    may_edit = may_move = may_delete = may_delete_author = no  # type: ignore[assignment]


async def everything(unit: UnitOfWork, access: Access) -> list[Any]:
    """Return every change there is, each to what the one before has left."""
    name = None if access.viewer else "Old Bob"
    begun = await threads.create_thread(unit, access, "Imported", NewComment("one", name))
    about = await get_or_create_thread(unit, access, "photo", "7")
    ids = begun.thread["id"], about.thread["id"]
    added = await comments.add_comment(unit, access, ids[0], NewComment("one two", name))
    assert added.comment is not None
    comment = added.comment["id"]
    return [
        begun,
        about,
        added,
        await threads.rename_thread(unit, access, ids[0], "Renamed"),
        await comments.edit_comment(unit, access, comment, "one two three"),
        await comments.move_comment(unit, access, comment, ids[1]),
        await threads.lock_thread(unit, access, ids[1]),
        await comments.delete_comment(unit, access, comment),
        await threads.delete_thread(unit, access, ids[1]),
    ]


@pytest.mark.parametrize("viewer", [None, ADA], ids=["nobody", "ada"])
async def test_host_may_do_everything_for_any_viewer(
    database: Database, viewer: Viewer | None
) -> None:
    log: list[str] = []
    diary = Diary(log)
    host = Host(
        database, policy=Nobody(), hooks=[diary], targets=[Target("photo", titles, guests="read")]
    )
    access = host.discussion.access_as_host(viewer)
    begun, about, *_, last = await host.discussion.write(lambda unit: everything(unit, access))
    assert about.thread["title"] == "Object 7"
    assert last.thread["id"] == about.thread["id"]
    stage = Host(database)
    listed = await stage.guest(
        "{ threads(first: 5) { nodes { title commentCount author { name commentCount }"
        " comments(first: 5) { nodes { authorName wordCount } } } } }"
    )
    (thread,) = listed["nodes"]
    assert (thread["title"], thread["commentCount"]) == ("Renamed", 1)
    author = {"name": "Ada", "commentCount": 1} if viewer else None
    assert thread["author"] == author
    await stage.assert_exact()
    # Hooks see that the host acts, in whose name, and after the commit with the result.
    operations = (
        "create_thread add_comment create_thread add_comment rename_thread edit_comment"
        " move_comment lock_thread delete_comment delete_thread"
    )
    before = [f"before_{operation}" for operation in operations.split()]
    assert [point for point in log if point.startswith("before_")] == before
    assert len(log) == 20
    assert all(event.by_host for _, event in diary.events)
    subjects = {event.viewer.subject if event.viewer else None for _, event in diary.events}
    assert subjects == {viewer.subject if viewer else None}
    assert begun.thread["comment_count"] == 1


async def test_host_deletes_author(database: Database) -> None:
    stage = Host(database)
    thread = await stage.ada.thread("Engines", "one two")
    author = key((await stage.ada("{ viewer { author { id } } }"))["author"]["id"])
    host = Host(database, policy=Nobody())
    access = host.discussion.access_as_host()
    await host.discussion.write(lambda unit: delete_author(unit, access, author))
    result = await stage.guest(
        "query($id: ID!) { thread(id: $id) { wordCount author { id } } }", id=thread
    )
    assert result == {"wordCount": 2, "author": None}
    await stage.assert_exact()


async def test_rules_of_texts_and_locks_bind_host(database: Database) -> None:
    host = Host(database, targets=[Target("photo", titles, message_length=7)])
    access = host.discussion.access_as_host()

    async def refused(error: type[Exception], work: Any) -> None:
        with pytest.raises(error):
            await host.discussion.write(work)

    begun = await host.discussion.write(
        lambda unit: get_or_create_thread(unit, access, "photo", "7")
    )
    id = begun.thread["id"]
    await refused(
        InvalidText, lambda unit: comments.add_comment(unit, access, id, NewComment("x" * 8))
    )
    await refused(InvalidText, lambda unit: threads.create_thread(unit, access, " "))
    await host.discussion.write(lambda unit: threads.lock_thread(unit, access, id))
    await refused(Locked, lambda unit: comments.add_comment(unit, access, id, NewComment("x")))
    spoken = Host(database, hooks=[Diary([], before_add_comment=Vetoed("No."))])
    own = spoken.discussion.access_as_host()
    other = key(await host.ada.thread("Engines"))
    await refused(Vetoed, lambda unit: comments.add_comment(unit, own, other, NewComment("x")))
    # Who is not the host, is asked as ever.
    guest = host.discussion.access()
    await refused(SignInRequired, lambda unit: threads.rename_thread(unit, guest, other, "x"))


async def test_client_is_never_host(database: Database) -> None:
    diary = Diary([])
    host = Host(database, hooks=[diary])
    thread = await host.moderator.thread("Engines", "one")
    assert len(diary.events) > 1
    assert not any(event.by_host for _, event in diary.events)
    error = await host.bob.refused("deleteThread", threadId=thread)
    assert codes([error]) == ["NOT_ALLOWED"]
