"""Shortcuts: one call for one change or view, in asynchronous and in synchronous applications."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, func, literal, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from support.host import ADA, BOB, MODERATOR, Host

from tallied.database import CountedSession, Database
from tallied.errors import ConfigurationError, InvalidText, NotAllowed, NotFound, Vetoed
from tallied.host.hooks import Event, HookedOperation, Hooks
from tallied.models import Comment, Thread
from tallied.models.counters import counters
from tallied.resolvers import comments, views
from tallied.resolvers.comments import NewComment
from tallied.shortcuts import SyncShortcuts


class Diary(Hooks):
    """Refuses a comment that says "No", and notes what was done."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
        assert event.comment is not None
        if event.comment["message"] == "No":
            raise Vetoed("Not here.")
        count = await session.scalar(select(Thread.comment_count))
        self.entries.append(f"before {count}")

    async def after_add_comment(self, event: Event) -> None:
        assert event.thread is not None
        self.entries.append(f"after {event.thread['comment_count']}")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A synchronous engine of the database, as Flask has one."""
    driver = "sqlite" if database.is_sqlite else "postgresql+psycopg"
    options = {"check_same_thread": False} if database.is_sqlite else {}
    engine = create_engine(database.url.set(drivername=driver), connect_args=options)
    yield engine
    engine.dispose()


@pytest.fixture
def host(database: Database) -> Host:
    return Host(database, hooks=[Diary()])


@pytest.fixture
def sync(host: Host) -> SyncShortcuts:
    return host.discussion.sync


def assert_exact(engine: Engine) -> None:
    with engine.connect() as connection:
        assert [str(drift) for drift in counters.verify(connection)] == []


def diary(host: Host) -> list[str]:
    (hook,) = host.discussion.rules.hooks
    assert isinstance(hook, Diary)
    return hook.entries


def test_every_operation_has_shortcut() -> None:
    """Its hooks have its name; ``lock_thread`` unlocks, too."""
    names = {name.removesuffix("s") for name in dir(SyncShortcuts)}
    assert set(get_args(HookedOperation)) - names == {"unlock_thread"}


def test_author_is_deleted_by_shortcut(engine: Engine, sync: SyncShortcuts) -> None:
    with CountedSession(engine) as session:
        id = sync.create_thread(session, ADA, "Engines", "one two").thread["id"]
        row = session.get_one(Thread, id)
        assert row.author_id is not None
        with pytest.raises(NotAllowed):
            sync.delete_author(session, BOB, row.author_id)
        session.commit()
        assert sync.delete_author(session, ADA, row.author_id)["name"] == "Ada"
        session.commit()
        session.refresh(row)
        assert (row.author_id, row.word_count) == (None, 2)
    assert_exact(engine)


def test_deletion_takes_comments_along(engine: Engine, sync: SyncShortcuts) -> None:
    """SQLite enforces foreign keys on none of the connections that the application opens."""
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines", "one two").thread
        session.commit()
        sync.delete_thread(session, MODERATOR, thread["id"])
        session.commit()
        assert session.scalar(select(func.count()).select_from(Comment)) == 0
    assert_exact(engine)


def test_changes_on_synchronous_session_are_exact(engine: Engine, sync: SyncShortcuts) -> None:
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines", "one two three").thread
        id = thread["id"]
        row = session.get_one(Thread, id)
        reply = sync.add_comment(session, BOB, id, "four five")
        assert reply.comment is not None
        assert (row.comment_count, row.word_count) == (2, 5)
        root = reply.comment["id"]
        added = sync.add_comment(session, ADA, id, NewComment("six"), reply_to_id=root)
        assert added.comment is not None
        sync.edit_comment(session, ADA, added.comment["id"], "six seven")
        sync.add_reaction(session, ADA, root, "like")
        assert (row.comment_count, row.word_count) == (3, 7)
        session.commit()
        assert sync.read_unread(session, BOB, [id])[id].count == 2
        sync.mark_read(session, BOB, id)
        sync.delete_comment(session, MODERATOR, root)
        other = sync.create_thread(session, ADA, "Looms").thread["id"]
        sync.move_comment(session, MODERATOR, added.comment["id"], other)
        session.commit()
        assert (row.comment_count, row.word_count) == (1, 3)
    assert_exact(engine)


async def test_commit_in_running_loop_is_followed_by_hooks(
    engine: Engine, host: Host, sync: SyncShortcuts
) -> None:
    with CountedSession(engine) as session:

        def write() -> None:
            id = sync.create_thread(session, ADA, "Engines", "one two").thread["id"]
            sync.add_comment(session, BOB, id, "three four")

        with ThreadPoolExecutor(1) as thread:  # The session is used by one thread at a time.
            thread.submit(write).result()
        assert diary(host) == ["before 0", "before 1"]
        session.commit()
    assert diary(host) == ["before 0", "before 1", "after 1", "after 2"]
    assert_exact(engine)


async def test_synchronous_views_equal_asynchronous_ones(
    engine: Engine, host: Host, database: Database
) -> None:
    discussion = host.discussion
    id = (await discussion.create_thread(ADA, "Engines", "one two")).thread["id"]
    for number in range(3):
        added = await discussion.add_comment(BOB, id, f"message {number}")
        assert added.comment is not None
    key = added.comment["id"]
    await discussion.add_comment(ADA, id, "a reply", reply_to_id=key)
    expected = [
        await discussion.read_threads(ADA, first=5),
        await discussion.read_thread(None, id),
        await discussion.read_comments(BOB, id, last=2),
        await discussion.read_comment(BOB, key),
        await discussion.read_comments_since(BOB, id, 2),
        await discussion.read_replies(ADA, key),
        await discussion.read_around(ADA, key),
        await discussion.read_latest_comments(ADA, first=2),
        await discussion.read_moderation_queue(MODERATOR),
        await discussion.read_reactions(ADA, [key]),
    ]
    async with database.read() as connection:
        access = discussion.access(BOB)
        assert await views.read_comments(connection, access, id, last=2) == expected[2]

    def read() -> list[Any]:
        sync = discussion.sync
        with CountedSession(engine) as session:
            return [
                sync.read_threads(session, ADA, first=5),
                sync.read_thread(session, None, id),
                sync.read_comments(session, BOB, id, last=2),
                sync.read_comment(session, BOB, key),
                sync.read_comments_since(session, BOB, id, 2),
                sync.read_replies(session, ADA, key),
                sync.read_around(session, ADA, key),
                sync.read_latest_comments(session, ADA, first=2),
                sync.read_moderation_queue(session, MODERATOR),
                sync.read_reactions(session, ADA, [key]),
            ]

    assert await asyncio.to_thread(read) == expected
    await host.assert_exact()


def test_rights_and_rules_hold_on_synchronous_session(
    engine: Engine, sync: SyncShortcuts, host: Host
) -> None:
    with CountedSession(engine) as session:
        added = sync.create_thread(session, ADA, "Engines", "one two")
        id = added.thread["id"]
        assert added.comment is not None
        session.commit()
        for error, change in (
            (NotAllowed, lambda: sync.rename_thread(session, BOB, id, "Looms")),
            (NotAllowed, lambda: sync.edit_comment(session, BOB, added.comment["id"], "x")),
            (InvalidText, lambda: sync.add_comment(session, ADA, id, " ")),
            (NotFound, lambda: sync.add_comment(session, ADA, UUID(int=7), "one")),
            (Vetoed, lambda: sync.add_comment(session, ADA, id, "No")),
            (TypeError, lambda: sync.add_comment(session, ADA, str(id), "one")),  # type: ignore[arg-type]
        ):
            with pytest.raises(error):
                change()
            session.rollback()
        assert session.get_one(Thread, id).comment_count == 1
        sync.rename_thread(session, host.discussion.access_as_host(), id, "By the host")
        session.commit()
        assert session.get_one(Thread, id).title == "By the host"
    assert_exact(engine)


def test_wrong_session_or_viewer_is_type_error(engine: Engine, sync: SyncShortcuts) -> None:
    with CountedSession(engine) as session:
        calls: list[tuple[Any, str]] = [
            (lambda: sync.create_thread(ADA, "Engines"), "session must be a Session or a sco"),
            (lambda: sync.read_threads(sessionmaker(engine), ADA), "session must be a Session"),
            (lambda: sync.read_threads(session, "ada"), "viewer must be a Viewer or None, not"),
            (lambda: sync.create_thread(session, {"id": 7}, "A"), "viewer must be a Viewer or"),
        ]
        for call, sentence in calls:
            with pytest.raises(TypeError, match=f"^{sentence}"):
                call()
        assert session.scalars(select(Thread.title)).all() == []


def test_hook_cannot_commit_transaction_of_caller(engine: Engine, database: Database) -> None:
    class Meddling(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            await session.commit()

    sync = Host(database, hooks=[Meddling()]).discussion.sync
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines").thread
        with pytest.raises(InvalidRequestError, match="cannot be committed within it"):
            sync.add_comment(session, ADA, thread["id"], "one two")
        session.rollback()
        assert session.scalars(select(Thread.title)).all() == []
        sync.create_thread(session, ADA, "Looms")
        session.commit()
        assert session.scalars(select(Thread.title)).all() == ["Looms"]


def test_hook_of_synchronous_session_executes_any_statement(
    engine: Engine, database: Database
) -> None:
    class Reading(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            assert (await session.execute(text("SELECT 1"))).scalar_one() == 1
            assert (await session.scalars(select(literal(2)))).all() == [2]
            assert await session.scalar(select(Thread.title)) == "Engines"

    sync = Host(database, hooks=[Reading()]).discussion.sync
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines").thread
        sync.add_comment(session, ADA, thread["id"], "one two")


@pytest.mark.parametrize("nested", [False, True])
def test_hook_cannot_release_savepoint_of_caller(
    engine: Engine, database: Database, nested: bool
) -> None:
    class Meddling(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            if nested:
                await session.begin_nested()
            await session.commit()

    sync = Host(database, hooks=[Meddling()]).discussion.sync
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines").thread
        savepoint = session.begin_nested()
        sync.create_thread(session, ADA, "Looms")
        with pytest.raises(InvalidRequestError, match="cannot be committed within it"):
            sync.add_comment(session, ADA, thread["id"], "one two")
        savepoint.rollback()
        session.commit()
        assert session.scalars(select(Thread.title)).all() == ["Engines"]


def test_hook_cannot_roll_back_savepoint_of_caller(engine: Engine, database: Database) -> None:
    class Meddling(Hooks):
        async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
            savepoint = session.sync_session.get_nested_transaction()
            assert savepoint is not None
            savepoint.rollback()

    sync = Host(database, hooks=[Meddling()]).discussion.sync
    with CountedSession(engine) as session:
        thread = sync.create_thread(session, ADA, "Engines").thread
        session.begin_nested()
        with pytest.raises(InvalidRequestError, match="was rolled back or closed within it"):
            sync.add_comment(session, ADA, thread["id"], "one two")


def test_hooks_follow_commit_and_not_rollback(
    engine: Engine, sync: SyncShortcuts, host: Host
) -> None:
    with CountedSession(engine) as session:
        id = sync.create_thread(session, ADA, "Engines").thread["id"]
        session.commit()
        sync.add_comment(session, ADA, id, "one")
        assert diary(host) == ["before 0"]
        session.rollback()
        session.commit()
        assert diary(host) == ["before 0"]
        with session.begin_nested():
            sync.add_comment(session, ADA, id, "one")
        with pytest.raises(RuntimeError), session.begin_nested():
            sync.add_comment(session, ADA, id, "two")
            raise RuntimeError
        sync.add_comment(session, ADA, id, "three")
        assert diary(host) == ["before 0", "before 0", "before 1", "before 1"]
        session.commit()
        assert diary(host)[4:] == ["after 1", "after 2"]
        session.commit()
        assert len(diary(host)) == 6
    assert_exact(engine)


def test_scoped_session_is_taken(engine: Engine, sync: SyncShortcuts) -> None:
    registry = scoped_session(sessionmaker(engine, class_=CountedSession))
    id = sync.create_thread(registry, ADA, "Engines", "one two").thread["id"]
    registry.commit()
    thread = sync.read_thread(registry, None, id)
    assert thread is not None
    assert (thread.comment_count, thread.word_count) == (1, 2)
    registry.remove()


@pytest.mark.sqlite
def test_session_without_counters_is_refused(engine: Engine, sync: SyncShortcuts) -> None:
    class PlainSession(Session):
        pass

    with PlainSession(engine) as session, pytest.raises(ConfigurationError, match="PlainSession"):
        sync.create_thread(session, ADA, "Engines")


@pytest.mark.sqlite
async def test_event_loop_is_refused(engine: Engine, host: Host) -> None:
    error = pytest.raises(ConfigurationError, match="await the same function")
    with CountedSession(engine) as session, error:
        host.discussion.sync.create_thread(session, ADA, "Engines")


async def test_asynchronous_change_is_one_unit_of_work(host: Host) -> None:
    discussion = host.discussion
    id = (await discussion.create_thread(ADA, "Engines")).thread["id"]
    with pytest.raises(NotAllowed):
        await discussion.delete_thread(BOB, id)
    for message in ("one two", "three"):
        done = await discussion.add_comment(BOB, id, message)
    assert (done.thread["comment_count"], done.thread["word_count"]) == (2, 3)
    assert diary(host) == ["before 0", "after 1", "before 1", "after 2"]
    await host.assert_exact()


def test_shortcut_shows_documentation_of_its_function(host: Host) -> None:
    for shortcuts in (host.discussion, host.discussion.sync):
        assert inspect.getdoc(shortcuts.add_comment) == inspect.getdoc(comments.add_comment)
