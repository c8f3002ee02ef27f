"""What goes wrong while a plan executes: graphql-core answers, and nothing is read again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete
from support.leases import taken
from support.outages import proxied, terminate_backends
from support.plans import PlannedApi
from support.slow_threads import slow_down
from support.waiting import eventually

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.errors import Busy
from tallied.host.access import HostRules
from tallied.host.policy import CommentContext, Policy, ThreadContext
from tallied.models import Comment, Thread
from tallied.schema.ids import encode_id

LEAST = 65_536
NESTED = """{ threads(first: 9) { nodes { title commentCount
  comments(first: 9) { totalCount nodes { message } } } } }"""
TWO = "{ viewer { name } a: threads { totalCount } b: threads { nodes { title } } }"
ADA = Viewer("7", "Ada")


async def fill(database: Database, *, threads: int = 3, message: str = "one two") -> list[str]:
    """Write threads with 2 comments each, and return their ids."""
    written = [
        Thread(
            title=f"Engine {number}",
            comments=[Comment(author_name="Ada", message=message) for _ in range(2)],
        )
        for number in range(threads)
    ]

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(written)

    await database.write(work)
    return [encode_id("Thread", thread.id) for thread in written]


class Reads:
    """The reads of a database, before one of which something happens.

    :param number: which one, from 1.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        database: Database,
        number: int,
        happen: Callable[[], Awaitable[None]],
    ) -> None:
        self.count = 0
        for name in ("fetch", "query_rows"):
            monkeypatch.setattr(database, name, self._counted(getattr(database, name)))
        self._number, self._happen = number, happen

    def _counted(self, read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def count(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self._number:
                await self._happen()
            return await read(*arguments)

        return count


async def be_busy() -> None:
    raise Busy("The database is busy.")


@pytest.mark.sampled
@pytest.mark.parametrize(("query", "number"), [(NESTED, 1), (NESTED, 2), (TWO, 1), (TWO, 2)])
async def test_busy_database_is_one_error_at_each_root(
    database: Database, monkeypatch: pytest.MonkeyPatch, query: str, number: int
) -> None:
    await fill(database)
    api = PlannedApi(database)
    assert "errors" not in await api(query)
    reads = Reads(monkeypatch, database, number, be_busy)
    answer = await api(query)
    roots = ["a", "b"] if query == TWO else ["threads"]
    assert [error["path"] for error in answer["errors"]] == [[root] for root in roots]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BUSY"}
    assert all(answer["data"] is None or answer["data"][root] is None for root in roots)
    assert reads.count == number
    assert api.counts.failed == {"Busy": 1}


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_outage_is_not_waited_for_twice(
    with_tables: None, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxied(empty_url, patience=0.3) as (proxy, database):
        await fill(database)
        api = PlannedApi(database)
        expected = await api(NESTED)
        proxy.shut()

        async def nothing() -> None: ...

        reads = Reads(monkeypatch, database, 0, nothing)
        answer = await api(NESTED)
        assert answer["data"] is None
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
        assert reads.count == 1  # with its repetitions
        proxy.reopen()
        assert await api(NESTED) == expected


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_connection_lost_between_levels_is_replaced(
    database: Database, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    api = PlannedApi(database)
    expected = await api(NESTED)

    async def lose() -> None:
        assert terminate_backends(empty_url)

    Reads(monkeypatch, database, 2, lose)
    assert await api(NESTED) == expected


async def test_thread_deleted_between_levels_has_no_comments(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    api = PlannedApi(database)
    expected = (await api(NESTED))["data"]
    first = expected["threads"]["nodes"][0]

    async def remove() -> None:
        async def work(unit: UnitOfWork) -> None:
            await unit.session.execute(delete(Thread).where(Thread.title == first["title"]))

        await database.write(work)

    Reads(monkeypatch, database, 2, remove)
    first["comments"]["nodes"] = []
    assert (await api(NESTED))["data"] == expected
    assert not api.counts.failed


class Unreliable(Policy):
    """A policy that cannot decide about one thread."""

    def may_lock(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        if thread.target_id == "1":
            raise RuntimeError("The policy is out of order.")
        return True

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        raise RuntimeError("The policy is out of order.")


def render(message: str) -> str:
    if len(message) > 2:
        raise RuntimeError("The renderer is out of order.")
    return message


RAISING = "{ threads(first: 9) { nodes { comments(first: 9) { nodes { message %s } } } } }"


@pytest.mark.parametrize("field", ["viewerCanEdit", "messageHtml"])
async def test_error_of_host_is_at_its_place(database: Database, field: str) -> None:
    # All messages fit into the answer once, but not twice.
    await fill(database, message="word " * (LEAST // 40))
    rules = HostRules(policy=Unreliable(), guests="write", render=render)
    api = PlannedApi(database, rules, answer_size=LEAST)
    query = RAISING % field
    answer = await api(query, ADA)
    assert {error["path"][-1] for error in answer["errors"]} == {field}
    assert answer["data"] == {"threads": None}
    assert api.counts.failed == {"RuntimeError": 1}
    await api("{ viewer { name } }", ADA)
    assert api.counts.executed == 1


SHARED = """query($id: ID!) { thread(id: $id) { comments(first: 2) { nodes { thread {
  comments(first: 2) { nodes { thread { comments(first: 2) { nodes { message } } } } } } } } } }"""
ALIASED = """query($id: ID!) { thread(id: $id) { comments(first: 2) { nodes {
  a: message b: message c: message d: message } } } }"""


@pytest.mark.parametrize("query", [SHARED, ALIASED], ids=["shared", "aliased"])
async def test_repeated_messages_count_each_time(database: Database, query: str) -> None:
    (id,) = await fill(database, threads=1, message="x" * 9000)
    api = PlannedApi(database, answer_size=LEAST)
    answer = await api(query, id=id)
    (error,) = answer["errors"]
    assert error["extensions"]["limit"] == "answer_size"
    assert "data" not in answer
    assert len((await PlannedApi(database)(query, id=id))["data"]["thread"]["comments"]) == 1


async def test_messages_beyond_limit_stop_the_reading(database: Database) -> None:
    await fill(database, threads=9, message="x" * 9000)
    api = PlannedApi(database, answer_size=LEAST)
    (error,) = (await api(NESTED))["errors"]
    assert error["extensions"]["limit"] == "answer_size"
    assert not api.counts.executed
    assert not api.counts.failed


async def test_operation_ends_at_its_time_limit(database: Database) -> None:
    await fill(database)
    api = PlannedApi(database, execution_time=1)
    await api(NESTED)
    await slow_down(database)
    (error,) = (await api(NESTED))["errors"]
    assert error["extensions"]["code"] == "TIMEOUT"
    await eventually(lambda: taken(database.engine) <= 1)


async def test_cancelled_operation_leaves_no_lease_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    api = PlannedApi(database)
    expected = await api(NESTED)
    for number in (1, 2):
        for rounds in range(6):
            arrived = asyncio.Event()

            async def arrive(arrived: asyncio.Event = arrived) -> None:
                arrived.set()

            with monkeypatch.context() as patch:
                Reads(patch, database, number, arrive)
                task = asyncio.create_task(api.send(NESTED))
                await arrived.wait()
                for _ in range(rounds):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    answers = await asyncio.gather(*(api(NESTED) for _ in range(30)))
    assert answers == [expected] * 30
    await eventually(lambda: len(database._leases._idle) == database._leases.count)
