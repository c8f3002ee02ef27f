"""Comments that arrive while another one is written share a transaction."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from support.rows import count_rows, find_drifts, store
from support.shared_units import Shared, read_messages, store_threads

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import InvalidText, Locked, NotFound, Vetoed
from tallied.execution.context import Context
from tallied.host.access import HostRules
from tallied.host.hooks import Event, Hooks
from tallied.models import Author, Thread
from tallied.models.base import new_id, now
from tallied.resolvers import chronology
from tallied.resolvers.changes import ChangedRows
from tallied.resolvers.list_statements import fill_up
from tallied.resolvers.shared_comments import SHARED_COMMENTS
from tallied.schema.mutations import comment as declared
from tallied.settings import Settings

LOCK, INSERT, COUNT, COUNT_AUTHOR = (
    "SELECT tallied_thread",
    "INSERT tallied_comment",
    "UPDATE tallied_thread",
    "UPDATE tallied_author",
)


@pytest.fixture
def shared(database: Database) -> Shared:
    return Shared(database)


@pytest.mark.parametrize("size", [2, 7, 30])
async def test_batch_costs_one_insert_and_one_update(
    database: Database, shared: Shared, statements: Any, size: int
) -> None:
    threads = await store_threads(database, 2)
    drafts = [shared.draft(threads[n % 2], "w " * (n + 1)) for n in range(size + 1)]
    with statements() as executed:
        results = await shared.add(*drafts)
    assert all(isinstance(result, ChangedRows) for result in results), results
    assert executed.verbs == [LOCK, INSERT, COUNT, LOCK, INSERT, COUNT]
    assert shared.work.sizes == [size]
    assert await find_drifts(database) == []


@pytest.mark.parametrize(
    ("length", "filled"), [(1, 1), (2, 2), (3, 4), (5, 8), (65, 128), (128, 128)]
)
def test_list_of_a_statement_is_filled_up(length: int, filled: int) -> None:
    keys = [new_id() for _ in range(length)]
    values = fill_up(keys)
    assert len(values) == filled
    assert (values[:length], {*values}) == (keys, {*keys})


async def test_criteria_of_a_host_hide_threads_from_batches(
    database: Database, shared: Shared
) -> None:
    shown, hidden = await store_threads(database, 2)

    def hide(state: ORMExecuteState) -> None:
        if state.is_select:
            option = with_loader_criteria(Thread, Thread.id != hidden)
            state.statement = state.statement.options(option)

    event.listen(database.session_class, "do_orm_execute", hide)
    try:
        threads = [shown, shown, hidden, shown]
        results = await shared.add(*(shared.draft(id, f"{n}") for n, id in enumerate(threads)))
    finally:
        event.remove(database.session_class, "do_orm_execute", hide)
    outcomes = [type(result) for result in results]
    assert outcomes == [ChangedRows, ChangedRows, NotFound, ChangedRows]
    assert shared.work.sizes == [3]
    assert await find_drifts(database) == []


async def test_unit_without_others_runs_by_itself(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    shared.release()
    for n in range(3):
        await shared.start(shared.draft(thread, f"{n}"))
    assert (shared.work.sizes, shared.work.alone) == ([], ["0", "1", "2"])


async def test_answers_are_running_sums(database: Database, shared: Shared) -> None:
    threads = await store_threads(database, 3)
    words = [3, 1, 4, 1, 5, 9, 2, 6, 5]
    drafts = [shared.draft(threads[n % 3], "w " * size) for n, size in enumerate(words)]
    results = await shared.add(*drafts)
    sums: dict[UUID, tuple[int, int]] = dict.fromkeys(threads, (0, 0))
    for draft, size, result in zip(drafts, words, results, strict=True):
        count, total = sums[draft.thread_id]
        sums[draft.thread_id] = count + 1, total + size
        thread = result.thread
        assert (thread["comment_count"], thread["word_count"]) == sums[draft.thread_id]
        assert thread["last_comment_at"] == result.comment["created_at"]
        assert thread["title"]
    times = [result.comment["created_at"] for result in results[::3]]
    assert times == sorted(set(times))
    assert await find_drifts(database) == []
    assert shared.acknowledged == [draft.message for draft in drafts]


async def test_times_differ_within_a_batch(
    database: Database, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = await store_threads(database, 2)
    moment = now()
    monkeypatch.setattr(chronology, "now", lambda: moment)
    results = await shared.add(*(shared.draft(threads[n % 2], f"{n}") for n in range(8)))
    times = [result.comment["created_at"] for result in results]
    assert times == [moment + n // 2 * chronology.TICK for n in range(8)]
    assert await find_drifts(database) == []


async def test_batch_takes_the_most_units(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    await shared.add(*(shared.draft(thread, f"{n}") for n in range(165)))
    assert shared.work.sizes == [128, 36]
    assert await read_messages(database) == [str(n) for n in range(165)]


async def test_others_have_a_turn_before_a_batch_is_flushed(database: Database) -> None:
    """A batch may be large, and its rows take about as long as their flush."""
    order: list[str] = []

    def check(_: str) -> None:
        asyncio.get_running_loop().call_soon(order.append, "others")

    def note_flush(*_: object) -> None:
        order.append("flush")

    shared = Shared(database, HostRules(guests="write", check_message=check))
    threads = await store_threads(database, 2)
    event.listen(database.session_class, "before_flush", note_flush)
    try:
        await shared.add(*(shared.draft(threads[n % 2], f"{n}") for n in range(5)))
    finally:
        event.remove(database.session_class, "before_flush", note_flush)
    assert shared.work.sizes == [4]
    assert order[-5:] == [*4 * ["others"], "flush"]


@pytest.mark.parametrize(("is_shared", "sizes"), [(False, [4]), (True, [3, 3])])
async def test_clients_of_a_commit_share_the_next_one(
    database: Database, shared: Shared, is_shared: bool, sizes: list[int]
) -> None:
    """Those who waited for a unit alone, or for one that they shared."""
    (thread,) = await store_threads(database, 1)
    first = await shared.hold(shared.draft(thread, "first"))
    tasks = [] if is_shared else await shared.queue([shared.draft(thread, "other")])

    async def add_after(number: int) -> ChangedRows:
        await (shared.start(shared.draft(thread, f"{number}")) if is_shared else first)
        return await shared.start(shared.draft(thread, f"{number} again"))

    tasks += [asyncio.ensure_future(add_after(number)) for number in range(3)]
    await asyncio.sleep(0)
    shared.release()
    await asyncio.gather(first, *tasks)
    assert shared.work.sizes == sizes
    assert shared.work.alone == ["first"]


async def test_refused_units_leave_the_others(database: Database) -> None:
    def check(message: str) -> None:
        if "bad" in message:
            raise Vetoed("bad", field="message")

    shared = Shared(database, HostRules(guests="write", check_message=check))
    threads = await store_threads(database, 2)

    locked = update(Thread).where(Thread.id == threads[1]).values(locked_at=now())
    await database.write(lambda unit: unit.session.execute(locked))
    pairs = [(0, "a"), (0, "b"), (1, "closed"), (0, "bad"), (0, "c")]
    drafts = [shared.draft(threads[thread], message) for thread, message in pairs]
    gone = shared.draft(new_id(), "gone")
    results = await shared.add(*drafts, gone)
    errors = [type(result) for result in results]
    assert errors == [ChangedRows, ChangedRows, Locked, Vetoed, ChangedRows, NotFound]
    assert [results[n].thread["comment_count"] for n in (0, 1, 4)] == [1, 2, 3]
    assert sorted(shared.work.alone) == ["a", "gone"], "the others share"
    assert sorted(await read_messages(database)) == ["a", "b", "c"]
    assert sorted(shared.acknowledged) == ["a", "b", "c"]
    assert await find_drifts(database) == []


def test_text_is_refused_before_it_waits(database: Database, shared: Shared) -> None:
    with pytest.raises(InvalidText):
        shared.draft(new_id(), " ")


async def test_duplicates_of_a_batch_are_one_comment(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    first, other = shared.draft(thread, "first"), shared.draft(thread, "other")
    twice = shared.draft(thread, "twice", submission="2")
    results = await shared.add(first, twice, other, twice)
    assert [result.is_duplicate for result in results] == [False, False, False, True]
    assert results[3].comment["id"] == results[1].comment["id"]
    assert await read_messages(database) == ["first", "twice", "other"]
    assert {*shared.work.alone} == {"first", "twice"}, "the others share"
    assert await find_drifts(database) == []


async def test_repetition_of_a_stored_comment_is_found(database: Database, shared: Shared) -> None:
    (thread,) = await store_threads(database, 1)
    first, other = shared.draft(thread, "first", submission="1"), shared.draft(thread, "other")
    results = await shared.add(first, other, first)
    assert [result.is_duplicate for result in results] == [False, False, True]
    assert results[2].comment["id"] == results[0].comment["id"]
    assert await read_messages(database) == ["first", "other"]
    assert await find_drifts(database) == []


class Follower(Hooks):
    """Records what follows, and in which order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def after_add_comment(self, event: Event) -> None:
        self.events.append(event)


async def test_after_hooks_run_once_and_in_order(database: Database) -> None:
    hook = Follower()
    shared = Shared(database, HostRules(guests="write", hooks=(hook,)))
    (thread,) = await store_threads(database, 1)
    drafts = [shared.draft(thread, f"{n}") for n in range(4)]
    assert all(draft.may_share for draft in drafts)
    await shared.add(*drafts)
    rows = [(event.comment, event.thread) for event in hook.events]
    assert [comment and comment["message"] for comment, _ in rows] == ["0", "1", "2", "3"]
    assert [row and row["comment_count"] for _, row in rows] == [1, 2, 3, 4]
    assert shared.work.sizes == [3]


async def test_slow_hook_delays_no_other_unit(database: Database) -> None:
    gate = asyncio.Event()

    class Slow(Hooks):
        async def after_add_comment(self, event: Event) -> None:
            await gate.wait()

    shared = Shared(database, HostRules(guests="write", hooks=(Slow(),)))
    (thread,) = await store_threads(database, 1)
    first = await shared.hold(shared.draft(thread, "first"))
    tasks = await shared.queue([shared.draft(thread, f"{n}") for n in range(3)])
    shared.release()
    async with asyncio.timeout(5):
        while len(await read_messages(database)) < 4:
            await asyncio.sleep(0.01)
    assert not any(task.done() for task in (first, *tasks))
    gate.set()
    await asyncio.gather(first, *tasks)


async def test_hook_with_the_session_shares_nothing(database: Database) -> None:
    class Before(Hooks):
        async def before_add_comment(self, event: Event, session: Any) -> None: ...

    shared = Shared(database, HostRules(guests="write", hooks=(Before(),)))
    assert not shared.draft(new_id(), "a").may_share


async def test_known_viewers_share(database: Database, shared: Shared, statements: Any) -> None:
    (thread,) = await store_threads(database, 1)
    ada, bob, new = (Viewer(str(n), name) for n, name in enumerate(("Ada", "Bob", "New")))

    await store(database, Author(subject="0", name="Ada"), Author(subject="1", name="Bob"))
    first = shared.draft(thread, "first")
    viewers = (ada, bob, ada, new, replace(bob, name="Bobby"))
    drafts = [shared.draft(thread, v.name or "", v) for v in viewers]
    with statements() as executed:
        results = await shared.add(first, *drafts)
    assert all(isinstance(result, ChangedRows) for result in results), results
    assert executed.verbs[:8] == [
        LOCK,
        INSERT,
        COUNT,
        "SELECT tallied_author",
        LOCK,
        INSERT,
        COUNT,
        COUNT_AUTHOR,
    ]
    assert sorted(shared.work.alone) == ["Bobby", "New", "first"]
    assert await count_rows(database, Author) == 3
    assert await find_drifts(database) == []


@pytest.mark.parametrize("group_commit", [True, False])
async def test_setting_decides_whether_units_share(
    database: Database, statements: Any, group_commit: bool
) -> None:
    (thread,) = await store_threads(database, 1)
    settings, rules = Settings(group_commit=group_commit), HostRules(guests="write")

    async def add(number: int) -> ChangedRows:
        values = (thread, f"{number}", "Gast", None, None)
        shared = declared.SharedChange(
            SHARED_COMMENTS, lambda access: declared._draft_comment(access, *values)
        )
        context = Context(database, settings, rules)
        rows: ChangedRows = await context.write(
            lambda unit, access: declared._add_comment(unit, access, *values), shared
        )
        assert context.changes == 1
        return rows

    with statements() as executed:
        results = await asyncio.gather(*map(add, range(10)))
    assert sorted(row.thread["comment_count"] for row in results) == list(range(1, 11))
    inserts = executed.verbs.count(INSERT)
    assert inserts < 10 if group_commit else inserts == 10
