"""Locked threads accept no comments."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import mutation
from support.host import Client, Gate, Host, blocked, run_behind
from support.rows import count_rows

from tallied.database import Database
from tallied.host.hooks import Event, Hooks
from tallied.host.policy import Policy
from tallied.models import Comment

LOCKED = {
    "message": "The thread is locked, and takes no more comments.",
    "field": "threadId",
    "code": "LOCKED",
}


class Anything(Policy):
    """Everyone may do everything."""

    def owns(self, viewer: Any, row: Any) -> bool:
        return True

    may_lock = may_delete_thread = may_move = owns


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, policy=Anything(), settings={"guests": "write"})


async def lock(client: Client, thread: str, *, unlock: bool = False) -> Any:
    change = "unlockThread" if unlock else "lockThread"
    done = await client.do(change, "thread { lockedAt }", threadId=thread)
    return done["thread"]["lockedAt"]


async def test_locked_thread_refuses_comments(host: Host) -> None:
    thread = await host.ada.thread("Engines", "one two")
    assert await lock(host.ada, thread) is not None
    for client in (host.guest, host.ada, host.bob, host.moderator):
        assert await client.refused("addComment", **client.written(thread)) == LOCKED


async def test_locked_thread_refuses_moderating_guests(database: Database) -> None:
    host = Host(database, settings={"guests": "moderate"})
    thread = await host.guest.thread("Engines")
    await lock(host.guest, thread)
    assert await host.guest.refused("addComment", **host.guest.written(thread)) == LOCKED


async def test_locked_thread_refuses_moved_comment(host: Host) -> None:
    thread, other = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    comment = await host.ada.comment(other)
    await lock(host.ada, thread)
    for client in (host.ada, host.moderator, host.guest):
        assert await client.refused("moveComment", commentId=comment, threadId=thread) == LOCKED


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [(), (Hooks(),)], ids=["no hooks", "hooks"])
async def test_comments_of_locked_thread_can_be_changed(
    database: Database, hooks: tuple[Hooks, ...]
) -> None:
    host = Host(database, policy=Anything(), hooks=hooks)
    thread, other = await host.ada.thread("Engines"), await host.ada.thread("Looms")
    comments = [await host.ada.comment(thread, "one two") for _ in range(3)]
    await lock(host.moderator, thread)
    await host.ada.do("editComment", "comment { id }", commentId=comments[0], message="three")
    await host.ada.do("moveComment", "comment { id }", commentId=comments[0], threadId=thread)
    await host.ada.do("moveComment", "comment { id }", commentId=comments[1], threadId=other)
    await host.ada.do("deleteComment", "comment { id }", commentId=comments[2])
    await host.ada.do("renameThread", "thread { id }", threadId=thread, title="Mills")
    query = "query($id: ID!) { thread(id: $id) { commentCount wordCount title } }"
    assert await host.ada(query, id=thread) == {"commentCount": 1, "wordCount": 1, "title": "Mills"}
    await host.assert_exact()


async def test_unlocked_thread_accepts_comments(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    first = await lock(host.ada, thread)
    assert await lock(host.moderator, thread) == first  # the first time stays
    assert await lock(host.ada, thread, unlock=True) is None
    assert await lock(host.ada, thread, unlock=True) is None
    await host.guest.comment(thread)
    assert await lock(host.ada, thread) > first
    await host.assert_exact()


async def test_locking_is_no_renaming(host: Host) -> None:
    thread = await host.ada.thread("Engines")
    query = "query($id: ID!) { thread(id: $id) { updatedAt } }"
    before = await host.ada(query, id=thread)
    await lock(host.ada, thread)
    assert await host.ada(query, id=thread) == before


async def test_locking_is_for_moderators(database: Database) -> None:
    host = Host(database)
    thread = await host.ada.thread("Engines")
    for change in ("lockThread", "unlockThread"):
        assert (await host.ada.refused(change, threadId=thread))["code"] == "NOT_ALLOWED"
        assert (await host.guest.refused(change, threadId=thread))["code"] == "SIGN_IN_REQUIRED"


# Races


async def add(client: Client, thread: str) -> list[dict[str, Any]]:
    """Return the user errors of a new comment."""
    answer = await client(mutation("addComment"), i=client.written(thread))
    errors: list[dict[str, Any]] = answer["userErrors"]
    return errors


async def test_comment_behind_lock_is_refused(strict: Database) -> None:
    """The lock is written, and not committed, when the comment comes."""
    gate = Gate("lock_thread")
    host, plain = Host(strict, hooks=[gate]), Host(strict)
    thread = await plain.ada.thread("Engines")
    await plain.bob.thread("Looms")
    locked_at, errors = await run_behind(
        gate, strict, lock(host.moderator, thread), add(plain.bob, thread)
    )
    assert locked_at is not None
    assert errors == [LOCKED]
    assert await count_rows(strict, Comment) == 0
    await host.assert_exact()


async def test_move_behind_lock_is_refused(strict: Database) -> None:
    gate = Gate("lock_thread")
    host, plain = Host(strict, hooks=[gate]), Host(strict)
    thread, other = await plain.ada.thread("Engines"), await plain.ada.thread("Looms")
    input = {"commentId": await plain.ada.comment(other), "threadId": thread}
    moving = plain.moderator(mutation("moveComment"), i=input)
    _, payload = await run_behind(gate, strict, lock(host.moderator, thread), moving)
    assert payload["userErrors"] == [LOCKED]
    await host.assert_exact()


@pytest.mark.postgresql  # units of SQLite run one by one: nothing can come between
async def test_comment_checked_before_lock_is_refused(strict: Database) -> None:
    """The one who writes has seen the thread open; it is locked before the comment is in."""
    gate = Gate("add_comment")
    host, plain = Host(strict, hooks=[gate]), Host(strict)
    thread = await plain.ada.thread("Engines")
    adding = asyncio.create_task(add(host.ada, thread))
    await gate.arrived.wait()
    await lock(plain.moderator, thread)
    gate.open.set()
    assert await adding == [LOCKED]
    assert await count_rows(strict, Comment) == 0
    await host.assert_exact()


async def test_lock_behind_comment_waits_for_it(strict: Database) -> None:
    """The comment is written and holds its thread; it commits, and then the thread is locked."""
    host = Host(strict)
    thread = await host.ada.thread("Engines")
    written, commit = asyncio.Event(), asyncio.Event()

    class Stand(Hooks):
        """Stops once its own comment is in the thread, within the unit."""

        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            assert event.thread is not None
            session.add(Comment(thread_id=event.thread["id"], message="first"))
            await session.flush()
            written.set()
            await commit.wait()

    adding = asyncio.create_task(add(Host(strict, hooks=[Stand()]).ada, thread))
    await written.wait()
    locking = asyncio.create_task(lock(host.moderator, thread))
    await blocked(strict, locking)
    commit.set()
    assert await adding == []
    assert await locking is not None
    assert await count_rows(strict, Comment) == 2
    assert await add(host.ada, thread) == [LOCKED]
    await host.assert_exact()


@pytest.mark.slow
async def test_no_comment_is_added_after_lock(strict: Database) -> None:
    """Many write while it is locked; whatever is in it was in before the lock was."""
    host = Host(strict)
    thread = await host.ada.thread("Engines")
    clients = [host.ada, host.bob, host.moderator]

    async def write(client: Client) -> list[list[dict[str, Any]]]:
        return [await add(client, thread) for _ in range(6)]

    async def at_last() -> int:
        await asyncio.sleep(0.02)
        await lock(host.moderator, thread)
        return await count_rows(strict, Comment)

    *reply, then = await asyncio.gather(*map(write, clients), at_last())
    assert await count_rows(strict, Comment) == then  # type: ignore[comparison-overlap]
    refused = sum(errors == [LOCKED] for item in reply for errors in item)  # type: ignore[union-attr]
    assert refused + then == 18  # type: ignore[operator]
    await host.assert_exact()
