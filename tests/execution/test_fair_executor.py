"""A large response is built in slices, between which other work runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.api import Api

from tallied.concurrency import scheduler
from tallied.database import Database, UnitOfWork, row_reader
from tallied.execution.dataloader import DataLoader
from tallied.models import Comment, Thread
from tallied.resolvers.pagination import keyset


@asynccontextmanager
async def counted() -> AsyncIterator[list[int]]:
    """Yield a count of the turns of the event loop since the block began."""
    rounds = [0]

    async def go_round() -> None:
        while True:
            rounds[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(go_round())
    yield rounds
    task.cancel()


async def test_used_up_slice_yields_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    observed: list[tuple[int, int]] = []

    async def work(number: int) -> None:
        await scheduler.yield_if_due()
        observed.append((number, rounds[0]))

    async with counted() as rounds:
        await asyncio.gather(*map(work, range(20)))
    assert [number for number, _ in observed] == list(range(20))
    assert len({when for _, when in observed}) == 20


async def test_within_slice_nothing_yields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 3600)
    await scheduler.yield_if_due()
    async with counted() as rounds:
        for _ in range(100):
            await scheduler.yield_if_due()
        assert rounds == [0]


class Work:
    """Operations on a clock that only their own work moves on.

    Each takes a turn before each of its parts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slices = 0.0
        monkeypatch.setattr(scheduler, "perf_counter", lambda: self.slices * scheduler.TIME_SLICE)

    async def operate(self, parts: int, part: float) -> float:
        """Return how many slices have passed during an operation."""
        scheduler.new_scheduler()
        began = self.slices
        for _ in range(parts):
            await scheduler.yield_if_due()
            self.slices += part
        return self.slices - began

    async def repeat(self, parts: int, part: float) -> list[float]:
        """Return the same of operations of one client, one after the other."""
        return [await asyncio.create_task(self.operate(parts, part)) for _ in range(50)]


async def test_begun_operations_are_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    times = await asyncio.gather(*(work.repeat(3, 0.25) for _ in range(16)))
    assert max(map(max, times)) <= 16 * 3 * 0.25


async def test_large_operation_goes_on_between_small_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work(monkeypatch)
    small = [asyncio.create_task(work.repeat(2, 0.25)) for _ in range(16)]
    assert await asyncio.create_task(work.operate(20, 1.0)) < 2 * 20 * scheduler.PERIOD
    await asyncio.gather(*small)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_pages_of_many_parents_are_built_in_slices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = [
        Thread(title="T", comments=[Comment(author_name="Ada", message="one") for _ in range(9)])
        for _ in range(30)
    ]

    async def fill(unit: UnitOfWork) -> None:
        unit.session.add_all(threads)

    async def rounds_of() -> int:
        api = Api(database)
        async with counted() as rounds:
            page = await api(
                "{ threads(first: 30) { nodes { comments(first: 9) { totalCount } } } }"
            )
            assert len(page["nodes"]) == 30
            start = rounds[0]
            query = "{ threads(first: 30) { nodes { comments(first: 9) { nodes { message } } } } }"
            page = await api(query)
            assert sum(len(node["comments"]["nodes"]) for node in page["nodes"]) == 270
            return rounds[0] - start

    await database.write(fill)
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    monkeypatch.setattr(row_reader, "ROW_SLICE", 1)
    monkeypatch.setattr(keyset, "TIME_SLICE", 1)
    # A turn for each row that is read, each page of them, and each item that is shown.
    assert await rounds_of() >= 270 + 30 + 270 + 30


NESTED = """query($first: Int!, $after: String) {
    threads(first: 7, orderBy: {field: COMMENT_COUNT, direction: DESC}) {
      totalCount
      edges { cursor node { title
        a: comments(first: $first, after: $after) { totalCount pageInfo { hasNextPage }
          edges { cursor node { message thread { id title wordCount } } } }
        b: comments(last: 2) { nodes { id thread { updatedAt } } } } } } }"""


@pytest.mark.slow
async def test_slices_change_no_response_or_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch, statements: Callable[[], Any]
) -> None:
    api = Api(database)
    for number in range(9):
        await api.thread(f"T{number}", *["a b"] * number)

    async def ask(slice: float, **variables: Any) -> tuple[Any, int]:
        monkeypatch.setattr(scheduler, "TIME_SLICE", slice)
        with statements() as executed:
            answer = await api.post(NESTED, **variables)
        return answer, len(executed)

    sliced = [await ask(0, first=4) for _ in range(3)]
    # graphql-core executes the first, and a plan, with fewer statements, the others.
    by_core = sliced[0][1]
    assert by_core > sliced[1][1]
    faulty = await ask(0, first=4, after="x")
    # Once there is so long a slice, it is not over before the test is.
    answer, count = await ask(3600, first=4)
    (thread, *_) = [edge["node"] for edge in answer["data"]["threads"]["edges"]]
    assert [len(thread["a"]["edges"]), len(thread["b"]["nodes"])] == [4, 2]
    assert thread["a"]["edges"][3]["node"]["thread"]["wordCount"] == 16
    assert sliced == [(answer, by_core), (answer, count), (answer, count)]
    assert faulty[0]["errors"][0]["path"] == ["threads", "edges", 0, "node", "a"]
    assert (await ask(3600, first=4, after="x"))[0] == faulty[0]


async def test_small_operation_does_not_wait_for_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    ended: list[str] = []

    async def work(name: str, count: int) -> None:
        scheduler.new_scheduler()
        await asyncio.gather(*[scheduler.yield_if_due() for _ in range(count)])
        ended.append(name)

    large = [asyncio.create_task(work(f"large {n}", 300)) for n in range(10)]
    for _ in range(50):
        await asyncio.sleep(0)
    async with counted() as rounds:
        await asyncio.create_task(work("small", 3))
        # Most slices are for the operation that has had fewest.
        assert rounds[0] < 15
    assert ended == ["small"]
    await asyncio.gather(*large)
    assert len(ended) == 11


async def test_loader_waits_for_running_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    selection: list[list[int]] = []

    async def load(keys: list[int]) -> list[int]:
        selection.append(keys)
        return [key * 10 for key in keys]

    pace = scheduler.new_scheduler()
    loader: DataLoader[int, int] = DataLoader(load, max_batch_size=30)

    async def ask(key: int) -> int:
        try:
            await scheduler.yield_if_due()
        finally:
            pace.settle(key)
        return await loader.load(key % 40)

    for key in range(100):
        pace.expect(key)
    values = await asyncio.gather(*map(ask, range(100)))
    assert values == [key % 40 * 10 for key in range(100)]
    assert [len(keys) for keys in selection] == [30, 10]


async def test_failed_load_fails_for_all_callers() -> None:
    async def load(keys: list[int]) -> list[int]:
        raise ValueError(len(keys))

    loader: DataLoader[int, int] = DataLoader(load, max_batch_size=30)
    result = await asyncio.gather(*map(loader.load, (1, 2, 2)), return_exceptions=True)
    assert [str(item) for item in result] == ["2", "2", "2"]
