"""Concurrent `threadFor` for one object of a host."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import mutation
from support.host import Gate, Host, about, blocked, titles
from support.rows import count_rows
from support.sessions import Counted

from tallied.database import Database
from tallied.host.hooks import Event, Hooks
from tallied.host.targets import Target
from tallied.models import Thread


@pytest.mark.exhaustive
@pytest.mark.parametrize("veto", [False, True], ids=["the first commits", "the first goes"])
async def test_concurrent_thread_for_makes_one_thread(strict: Database, veto: bool) -> None:
    """The first holds its thread uncommitted: its own hook has begun it, in the same unit."""
    gate = Gate("create_thread")
    gate.veto = veto
    one, two = (
        Host(strict, targets=[Target("a", titles)]),
        Host(strict, targets=[Target("a", titles)]),
    )
    standing = Host(strict, targets=[Target("a", titles)], hooks=[gate])
    await asyncio.gather(one.ada.thread("x"), two.bob.thread("y"))
    selection = mutation("threadFor", "thread { id } userErrors { code }")
    first = asyncio.create_task(standing.ada(selection, i=about("a", 1)))
    await gate.arrived.wait()
    second = asyncio.create_task(two.bob(selection, i=about("a", 1)))
    if strict.is_sqlite:
        await blocked(strict, second)
    else:
        await second  # It is faster: the first has not inserted yet, and finds it.
    gate.open.set()
    answers = [await first, await second]
    if veto:
        assert answers[0] == {"thread": None, "userErrors": [{"code": "VETOED"}]}
        assert answers[1]["thread"] is not None
    else:
        assert answers[0] == answers[1]
        assert answers[0]["thread"] is not None
    assert await count_rows(strict, Thread, Thread.target_type == "a") == 1
    await one.assert_exact()


@pytest.mark.slow
async def test_many_concurrent_thread_for_make_one_each(strict: Database) -> None:
    host = Host(strict, targets=[Target("a", titles)])
    clients = [host.ada, host.bob, host.moderator]
    done = await asyncio.gather(
        *(
            client.do("threadFor", "thread { target { key } id }", **about("a", n))
            for n in range(4)
            for client in clients
        )
    )
    threads = {(item["thread"]["target"]["key"], item["thread"]["id"]) for item in done}
    assert len(threads) == 4
    assert await count_rows(strict, Thread) == 4


@pytest.mark.postgresql  # units of SQLite run one by one: nobody is too late
async def test_loser_of_race_leaves_nothing_of_hooks(database: Database) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    class Note(Hooks):
        async def before_create_thread(self, event: Event, session: AsyncSession) -> None:
            session.add(Thread(title="A note"))
            if event.viewer is not None and event.viewer.subject == "user-1":
                arrived.set()
                await go.wait()

    host = Host(database, targets=[Target("a", titles)], hooks=[Note()])
    late = asyncio.create_task(host.ada.do("threadFor", "thread { id }", **about("a", 1)))
    await arrived.wait()
    created = await host.bob.do("threadFor", "thread { id }", **about("a", 1))
    go.set()
    assert await late == created
    assert await count_rows(database, Thread, Thread.title == "A note") == 1
    assert set(await host.authors()) == {"user-2"}


@pytest.mark.parametrize("commits", [True, False])
async def test_thread_for_waits_for_uncommitted_thread(
    strict: Database, someone_else: Engine, commits: bool
) -> None:
    """Someone else has inserted the thread, and has not committed."""
    host = Host(strict, targets=[Target("a", titles)])
    with Counted(someone_else) as other:
        thread = Thread(title="Theirs", target_type="a", target_id="1")
        other.add(thread)
        other.flush()
        request = asyncio.create_task(host.ada.do("threadFor", "thread { title }", **about("a", 1)))
        await blocked(strict, request)
        if commits:
            other.commit()
        else:
            other.rollback()
        created = await request
    assert created["thread"]["title"] == ("Theirs" if commits else "Object 1")
    assert await count_rows(strict, Thread) == 1
    assert len(await host.authors()) == (0 if commits else 1)
