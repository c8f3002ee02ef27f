"""A cancelled operation, as after a disconnect, leaves no coroutine behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest
from support.api import Api
from support.sockets import site

from tallied.concurrency import scheduler
from tallied.database import Database, UnitOfWork
from tallied.models import Author, Comment, Thread

POINTS = 12
"""How many times an operation is cancelled, each at another point between its start and its end."""

READ = """query { threads(first: 4) { totalCount nodes { title comments(first: 3) { totalCount
  nodes { message messageHtml author { name wordCount }
    thread { comments(first: 2) { nodes { message thread { title } } } } } } } } }"""

WRITE = """mutation { one: createThread(input: { title: "Looms", comment: { authorName: "Ada",
  message: "one two" } }) { thread { title comments(first: 2) { nodes { message messageHtml
    thread { comments(first: 2) { nodes { message } } } } } } userErrors { code } } }"""


async def fill(database: Database) -> None:
    """Write 4 threads with 3 comments each, by 3 authors."""

    async def work(unit: UnitOfWork) -> None:
        authors = [Author(name=name, subject=name) for name in ("Ada", "Bea", "Cho")]
        for _ in range(4):
            comments = [Comment(author=author, message="one **two**") for author in authors]
            unit.session.add(Thread(title="Engines", comments=comments))

    await database.write(work)


class Canceller:
    """Cancels an operation at some point.

    :param api: what executes the operation.
    """

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api = api
        self.rounds = 0
        """How often the event loop went round during the last operation."""
        self.turns = 0
        """How many turns the last operation asked for."""
        self._task: asyncio.Task[Any] | None = None
        self._last_turn = -1
        take = scheduler.Scheduler.take

        async def take_and_count(pace: scheduler.Scheduler) -> None:
            self.turns += 1
            if self.turns == self._last_turn and self._task is not None:
                asyncio.get_running_loop().call_soon(self._task.cancel)
            await take(pace)

        monkeypatch.setattr(scheduler.Scheduler, "take", take_and_count)
        monkeypatch.setattr(
            scheduler, "TIME_SLICE", 0
        )  # Every item and every field waits for a turn.

    async def run(self, query: str, *, at_round: int = -1, at_turn: int = -1) -> None:
        """Execute an operation, and cancel it at that point, if there is one."""
        self.rounds = self.turns = 0
        self._last_turn = at_turn
        self._task = asyncio.create_task(self.api.post(query))
        while not self._task.done():
            if self.rounds == at_round:
                self._task.cancel()
            await asyncio.sleep(0)
            self.rounds += 1
        if at_round == at_turn:
            assert "errors" not in await self._task


@pytest.mark.slow
@pytest.mark.parametrize("query", [READ, WRITE], ids=["read", "write"])
async def test_cancelled_operation_leaves_no_coroutine(
    database: Database, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    await fill(database)
    canceller = Canceller(Api(database), monkeypatch)
    await canceller.run(query)
    rounds, count = canceller.rounds, canceller.turns
    assert min(rounds, count) >= POINTS
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for point in range(POINTS):
            await canceller.run(query, at_round=rounds * point // POINTS)
            await canceller.run(query, at_turn=1 + count * point // POINTS)
        gc.collect()
    assert {str(item.message) for item in warned} == set()
    assert problems == []


@pytest.mark.slow
async def test_client_that_disconnects_leaves_no_coroutine(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "TIME_SLICE", 0)
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    await fill(database)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with site(database) as server:
            for point in range(POINTS):
                async with server.socket() as socket:
                    for query in (READ, WRITE, READ):
                        await socket.subscribe(query)
                    await asyncio.sleep(0.005 * point)
                    socket.connection.transport.abort()
        gc.collect()
    assert {str(item.message) for item in warned} == set()
    assert problems == []
