"""A large answer is put together in slices, between which everything else has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.api import Api

from tallied.database import Database, UnitOfWork
from tallied.models import Comment, Thread
from tallied.resolvers import pages
from tallied.schema import turns


@asynccontextmanager
async def counted() -> AsyncIterator[list[int]]:
    """How often the event loop has gone round since the block began."""
    rounds = [0]

    async def go_round() -> None:
        while True:
            rounds[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(go_round())
    yield rounds
    task.cancel()


async def test_once_the_slice_is_used_up_there_is_one_turn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SLICE", 0)
    seen: list[tuple[int, int]] = []

    async def work(number: int) -> None:
        await turns.take_turn()
        seen.append((number, rounds[0]))

    async with counted() as rounds:
        await asyncio.gather(*map(work, range(20)))
    assert [number for number, _ in seen] == list(range(20))
    assert len({when for _, when in seen}) == 20


async def test_within_a_slice_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE", 3600)
    await turns.take_turn()
    async with counted() as rounds:
        for _ in range(100):
            await turns.take_turn()
        assert rounds == [0]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_the_pages_of_many_parents_are_put_together_in_turns(
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
    monkeypatch.setattr(turns, "SLICE", 0)
    monkeypatch.setattr(pages, "SLICE", 1)
    # A turn for each row that is read, each page of them, and each page that is shown.
    assert await rounds_of() >= 270 + 30 + 30
