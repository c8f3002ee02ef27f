"""Comments that share a transaction, and what fails, waits or is cancelled within it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from support.rows import count_rows, find_drifts, locked
from support.shared_units import Shared, read_messages, store_threads
from support.waiting import eventually

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import Busy, NotFound, OutcomeUnknown, SignInRequired
from tallied.host.access import HostRules
from tallied.host.policy import Policy, ThreadContext
from tallied.models import Comment, Thread
from tallied.resolvers.changes import ChangedRows
from tallied.resolvers.comments import delete_comment, edit_comment, move_comment
from tallied.resolvers.shared_comments import SHARED_COMMENTS


@pytest.fixture
def shared(database: Database) -> Shared:
    return Shared(database)


async def test_failing_batch_runs_one_by_one(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)

    async def fail(unit: UnitOfWork) -> None:
        raise ValueError("not together")

    shared.work.after_batch = fail
    drafts = [shared.draft(thread, f"{n}") for n in range(4)]
    results = await shared.add(*drafts)
    assert [result.thread["comment_count"] for result in results] == [1, 2, 3, 4]
    assert shared.work.alone == ["0", "1", "2", "3"]
    assert shared.acknowledged == ["0", "1", "2", "3"]
    assert await find_drifts(database) == []


async def test_failing_flush_runs_one_by_one(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)

    def refuse(session: Any, *_: Any) -> None:
        if any(getattr(row, "message", "") == "2" for row in session.new):
            raise ValueError("refused by a listener")

    event.listen(database.session_class, "before_flush", refuse)
    try:
        results = await shared.add(*(shared.draft(thread, f"{n}") for n in range(4)))
    finally:
        event.remove(database.session_class, "before_flush", refuse)
    assert [type(result) for result in results] == [
        ChangedRows,
        ChangedRows,
        ValueError,
        ChangedRows,
    ]
    assert sorted(await read_messages(database)) == ["0", "1", "3"]
    assert shared.acknowledged == ["0", "1", "3"]
    assert await find_drifts(database) == []


async def test_cancelled_unit_does_not_run_before_its_turn(
    database: Database, shared: Shared
) -> None:
    (thread,) = await store_threads(database, 1)
    first = await shared.hold(shared.draft(thread, "first"))
    tasks = await shared.queue([shared.draft(thread, f"{n}") for n in range(3)])
    tasks[1].cancel()
    await asyncio.sleep(0)
    shared.release()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    assert tasks[1].cancelled()
    assert await read_messages(database) == ["first", "0", "2"]
    assert shared.work.sizes == [2]


async def test_cancelled_unit_of_a_batch_runs(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    first = await shared.hold(shared.draft(thread, "first"))
    tasks = await shared.queue([shared.draft(thread, f"{n}") for n in range(3)])

    async def cancel(unit: UnitOfWork) -> None:
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert not tasks[1].done(), "it waits for its end"

    shared.work.before_batch = cancel
    shared.release()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    assert tasks[1].cancelled()
    assert await read_messages(database) == ["first", "0", "1", "2"]
    assert shared.acknowledged == ["first", "0", "1", "2"]


async def test_waiting_unit_gives_up_when_it_is_late(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    shared.group.patience = 0.05
    first = await shared.hold(shared.draft(thread, "first"))
    with pytest.raises(Busy):
        await shared.start(shared.draft(thread, "late"))
    shared.release()
    await first
    assert await read_messages(database) == ["first"]


@pytest.mark.postgresql  # one transaction writes at a time
async def test_unit_before_is_overtaken(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    shared.group.overtaking_time = 0.01
    first = await shared.hold(shared.draft(thread, "slow"))
    tasks = await shared.queue([shared.draft(thread, f"{n}") for n in range(3)])
    await asyncio.gather(*tasks)
    assert not first.done()
    shared.release()
    await first
    assert await read_messages(database) == ["0", "1", "2", "slow"]


@pytest.mark.postgresql  # SQLite has no serialization failures
async def test_conflict_repeats_the_batch(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    attempts: list[int] = []

    async def fail_once(unit: UnitOfWork) -> None:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            statement = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"
            await unit.session.execute(text(statement))

    shared.work.after_batch = fail_once
    results = await shared.add(*(shared.draft(thread, f"{n}") for n in range(4)))
    assert [result.thread["comment_count"] for result in results] == [1, 2, 3, 4]
    assert (attempts, shared.work.alone) == ([0, 1], ["0"])
    assert shared.acknowledged == ["0", "1", "2", "3"]
    assert await find_drifts(database) == []


async def test_unknown_outcome_repeats_no_unit(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    write = database.write

    async def lose(work: Any) -> Any:
        result = await write(work)
        if shared.work.sizes:
            raise OutcomeUnknown("nobody knows")
        return result

    shared.group.write = lose
    results = await shared.add(*(shared.draft(thread, f"{n}") for n in range(4)))
    assert [type(result) for result in results[1:]] == [OutcomeUnknown] * 3
    assert len({id(result) for result in results[1:]}) == 3, "each has an error of its own"
    assert await read_messages(database) == ["0", "1", "2", "3"]


@pytest.mark.postgresql  # one transaction writes at a time
async def test_locked_thread_delays_no_other(database: Database, shared: Shared) -> None:
    threads = await store_threads(database, 2)
    async with locked(database, (Thread, threads[1])):
        first = await shared.hold(shared.draft(threads[0], "first"))
        pairs = [(0, "a"), (1, "b"), (0, "c"), (1, "d"), (1, "e")]
        tasks = await shared.queue([shared.draft(threads[n], name) for n, name in pairs])
        shared.release()
        await asyncio.wait_for(asyncio.gather(first, tasks[0], tasks[2]), 3)
        assert await read_messages(database) == ["first", "a", "c"]
    results = await asyncio.gather(*tasks)
    counts = [result.thread["comment_count"] for result in results]
    assert counts == [2, 1, 3, 2, 3]
    assert shared.work.sizes == [5, 3], "those of one thread share as well"
    assert await find_drifts(database) == []


async def defer(shared: Shared, thread: UUID, elsewhere: UUID) -> list[asyncio.Task[Any]]:
    """Begin comments that wait for the lock of a thread, which another transaction has."""
    first = await shared.hold(shared.draft(elsewhere, "first"))
    tasks = await shared.queue([shared.draft(thread, name) for name in "ab"])
    shared.release()
    await first
    await eventually(lambda: shared.work.sizes == [2, 2], 3)
    return tasks


@pytest.mark.postgresql  # one transaction writes at a time
async def test_units_queue_behind_deferred_ones(database: Database, shared: Shared) -> None:
    elsewhere, thread = await store_threads(database, 2)
    async with locked(database, (Thread, thread)):
        tasks = await defer(shared, thread, elsewhere)
        tasks += await shared.queue([shared.draft(thread, name) for name in "cdef"])
        await shared.start(shared.draft(elsewhere, "free"))
        tasks[3].cancel()
        await asyncio.sleep(0.05)
        assert tasks[3].done()
    results = await asyncio.gather(*tasks[:3], *tasks[4:])
    assert [result.thread["comment_count"] for result in results] == [1, 2, 3, 4, 5]
    assert shared.work.sizes == [2, 2, 3], "those behind share the next transaction"
    assert shared.work.alone == ["first", "free"]
    assert sorted(await read_messages(database)) == ["a", "b", "c", "e", "f", "first", "free"]
    assert await find_drifts(database) == []
    assert not shared.group._behind


@pytest.mark.postgresql  # one transaction writes at a time
async def test_unit_behind_deferred_ones_gives_up_late(database: Database, shared: Shared) -> None:
    elsewhere, thread = await store_threads(database, 2)
    async with locked(database, (Thread, thread)):
        tasks = await defer(shared, thread, elsewhere)
        shared.group.patience = 0.05
        with pytest.raises(Busy):
            await shared.start(shared.draft(thread, "late"))
    await asyncio.gather(*tasks)
    assert sorted(await read_messages(database)) == ["a", "b", "first"]


class Members(Policy):
    """Viewers may comment, and guests may not."""

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return viewer is not None


@pytest.mark.postgresql  # one transaction writes at a time
async def test_viewer_without_right_does_not_queue(database: Database) -> None:
    """A wait for the lock would tell of a thread in which the viewer may not comment."""
    shared = Shared(database)
    elsewhere, thread = await store_threads(database, 2)
    async with locked(database, (Thread, thread)):
        tasks = await defer(shared, thread, elsewhere)
        shared.rules = HostRules(policy=Members(), guests="write")
        with pytest.raises(SignInRequired):
            await asyncio.wait_for(shared.start(shared.draft(thread, "refused")), 2)
    await asyncio.gather(*tasks)


@pytest.mark.postgresql  # one transaction writes at a time
async def test_deleted_thread_refuses_those_that_wait(database: Database, shared: Shared) -> None:
    threads = await store_threads(database, 2)
    async with database.engine.connect() as other:
        await other.execute(Thread.__table__.delete().where(Thread.id == threads[1]))
        first = await shared.hold(shared.draft(threads[0], "first"))
        tasks = await shared.queue([shared.draft(threads[1], name) for name in "ab"])
        shared.release()
        await first
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in tasks)
        await other.commit()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [NotFound, NotFound]
    assert await read_messages(database) == ["first"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 9])
async def test_counters_stay_exact_among_other_changes(database: Database, count: int) -> None:
    threads = await store_threads(database, count)
    context = Shared(database)
    access = context.draft(threads[0], "a").access.as_host()
    written: list[UUID] = []

    async def change(number: int) -> None:
        if not written:
            return
        id, thread = written[number % len(written)], threads[number % count]
        kinds = (
            lambda unit: edit_comment(unit, access, id, "w " * (number % 7 + 1)),
            lambda unit: move_comment(unit, access, id, thread),
            lambda unit: delete_comment(unit, access, id),
        )
        with suppress(NotFound):
            await database.write(kinds[number % 3])

    async def client(number: int) -> None:
        for turn in range(3):
            draft = context.draft(threads[(number * turn) % count], "w " * (number % 5 + 1))
            change_of = await run(database, draft)
            assert change_of.comment is not None
            written.append(change_of.comment["id"])
            if number % 4 == 0:
                await change(number + turn)

    await asyncio.gather(*map(client, range(100)))
    assert await find_drifts(database) == []
    deleted = 300 - await count_rows(database, Comment)
    assert 0 <= deleted <= 75


async def run(database: Database, draft: Any) -> ChangedRows:
    return await database.group_commits.run(SHARED_COMMENTS, draft, lambda unit: None)
