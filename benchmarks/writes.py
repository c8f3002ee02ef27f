"""What each way to keep a counter adds to a transaction: insert, batch, edit, move, delete.

    python -m benchmarks.writes [--quick] [--driver sqlite|aiosqlite|psycopg|asyncpg]
    python -m benchmarks.writes --threads 2 --comments 100000

What is timed is a whole transaction, from the making of the session to the end of the
commit, by one writer; all numbers are ratios to the same operation with no counter.
With an asynchronous driver, the whole transaction runs in one greenlet, which costs less than
a task for each call. :mod:`benchmarks.writers` has eight writers.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from tallied.benchmarks.candidates import CANDIDATES, TABLES, Candidate, Result, make_table
from tallied.benchmarks.databases import blocking_engine, fresh_database
from tallied.benchmarks.hosts import Host
from tallied.benchmarks.strategies import (
    TALLIED,
    TRIGGER,
    WITH_REPLIES,
    WITHOUT_REPLIES,
    Strategy,
)
from tallied.benchmarks.threads import is_exact, make_exact, settle, store_thread
from tallied.benchmarks.timing import as_microseconds, as_ratio, interleave, lower_quartile
from tallied.database import Database

console = Console(width=150)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    threads: int = 100
    """How many threads each contestant has."""
    comments: int = 100
    """How many comments each of them has at the start."""
    rounds: int = 200
    batches: int = 40
    """How many rounds of the batch, which takes longer."""
    budget: float = 20.0
    """The seconds that one contestant may take for one operation."""


HOT = 64
"""The comments of one hot thread that group commit writes in one transaction at most."""

QUICK = Scale(rounds=40, batches=4, budget=2.0)


@dataclass
class Rows:
    """The threads and comments of one contestant."""

    threads: list[UUID]
    comments: list[tuple[UUID, UUID]]
    """In an order of their own, each with its thread at the start."""

    def edited(self, number: int) -> UUID:
        """Return the comment that is edited, and later moved, in the round `number`."""
        return self.comments[number][0]

    def elsewhere(self, number: int) -> UUID:
        """Return a thread that this comment is not in."""
        place = self.threads.index(self.comments[number][1])
        return self.threads[place - 1]

    def deleted(self, number: int) -> UUID:
        """Return the comment that is deleted in the round `number`."""
        return self.comments[-1 - number][0]


@dataclass(frozen=True)
class Operation:
    """Something that an application does in one transaction."""

    name: str
    run: Callable[[Host, Rows, int], None]
    rounds: Callable[[Scale], int] = lambda scale: scale.rounds


OPERATIONS = (
    Operation("insert", lambda host, own, n: host.add(own.threads[n % len(own.threads)])),
    Operation(
        "10 inserts each into all threads",
        lambda host, own, n: host.add_many(own.threads * 10),
        lambda scale: scale.batches,
    ),
    Operation(
        "64 inserts into one thread",
        lambda host, own, n: host.add_many([own.threads[n % len(own.threads)]] * HOT),
        lambda scale: scale.batches,
    ),
    Operation("edit", lambda host, own, n: host.edit(own.edited(n))),
    Operation("move", lambda host, own, n: host.move(own.edited(n), own.elsewhere(n))),
    Operation("delete", lambda host, own, n: host.delete(own.deleted(n))),
)


def store(engine: Engine, strategy: Strategy, scale: Scale) -> Rows:
    """Store threads with comments for one contestant."""
    table = strategy.Comment.__table__
    with engine.begin() as connection:
        threads = [store_thread(connection, strategy, scale.comments) for _ in range(scale.threads)]
        query = select(table.c.id, table.c.thread_id).where(table.c.thread_id.in_(threads))
        comments = [(row.id, row.thread_id) for row in connection.execute(query)]
    random.Random(7).shuffle(comments)
    return Rows(threads, comments)


COMPARISONS = (
    (
        "A comment with replies and numbers, as a ratio to one without",
        Candidate(WITH_REPLIES),
        Candidate(WITHOUT_REPLIES),
        "insert",
        1.15,
    ),
    (
        "Comments of one hot thread, as a ratio to the delta trigger",
        Candidate(TALLIED),
        Candidate(TRIGGER),
        "64 inserts into one thread",
        1.00,
    ),
)
"""What is printed below the table: two candidates in one operation, and the aim of the ratio."""

DRIVERS = {
    "sqlite": "sqlite",
    "aiosqlite": "sqlite",
    "psycopg": "postgresql",
    "asyncpg": "postgresql",
}
"""The kind of database of each driver."""


async def measure(
    engine: Engine, scale: Scale, writer: Engine | None = None
) -> dict[Candidate, Result]:
    """Time all contestants in all operations, on a fresh database.

    :param engine: an engine with a blocking driver.
    :param writer: the engine that writes, if it has an asynchronous driver.
    """
    for strategy in TABLES:
        strategy.metadata.create_all(engine)
    candidates = [item for item in CANDIDATES if writer is None or not item.uses_driver]
    rows = {candidate: store(engine, candidate.strategy, scale) for candidate in candidates}
    results = {candidate: Result() for candidate in candidates}
    gc.freeze()
    for operation in OPERATIONS:
        for strategy in TABLES:
            make_exact(engine, strategy)
        settle(engine)
        with console.status(operation.name):
            await _compare(engine, writer or engine, operation, scale, rows, results)
    return results


async def _compare(
    engine: Engine,
    writer: Engine,
    operation: Operation,
    scale: Scale,
    rows: Mapping[Candidate, Rows],
    results: Mapping[Candidate, Result],
) -> None:
    rounds, turns = operation.rounds(scale), {}
    for candidate in results:
        results[candidate].seconds[operation.name] = None
        turn = _turn(operation, candidate.host(writer), rows[candidate])
        if await _works(turn, rounds + 1):
            turns[candidate] = turn
    timed = await interleave(turns, rounds, scale.budget)
    for candidate in results:
        if candidate in timed:
            results[candidate].seconds[operation.name] = lower_quartile(timed[candidate])
        results[candidate].exact[operation.name] = is_exact(
            engine, candidate.strategy, rows[candidate].threads
        )


def _turn(operation: Operation, host: Host, rows: Rows) -> Callable[[int], Awaitable[None]]:
    async def turn(number: int) -> None:
        if host.engine.dialect.is_async:
            await greenlet_spawn(operation.run, host, rows, number)
        else:
            operation.run(host, rows, number)

    return turn


async def _works(turn: Callable[[int], Awaitable[None]], number: int) -> bool:
    try:
        await turn(number)
    except Exception:
        return False
    return True


def show(driver: str, results: Mapping[Candidate, Result]) -> None:
    """Print the results."""
    names = [operation.name for operation in OPERATIONS]
    console.print(make_table(driver, names, results, as_microseconds))
    for title, own, other, name, aim in COMPARISONS:
        ratio = as_ratio(results[own].seconds[name], results[other].seconds[name])
        console.print(f"{title}: {ratio} (≤ {aim})")


async def measure_driver(url: str, driver: str, scale: Scale) -> dict[Candidate, Result]:
    """Time all contestants with a driver, whose engine is as Tallied makes it.

    :param driver: a key of :data:`DRIVERS`.
    """
    engine = blocking_engine(url)
    try:
        if driver == engine.dialect.driver.removeprefix("py"):
            return await measure(engine, scale)
        database = Database(url)
        async with database.sessions() as session:
            assert isinstance(session.bind, AsyncEngine)
            results = await measure(engine, scale, session.bind.sync_engine)
        await database.dispose()
        return results
    finally:
        engine.dispose()


def main(
    quick: Annotated[bool, typer.Option(help="Fewer rounds.")] = False,
    driver: Annotated[list[str], typer.Option(help="One of the drivers.")] = list(DRIVERS),  # noqa: B006
    threads: Annotated[int, typer.Option(help="How many threads there are.")] = Scale.threads,
    comments: Annotated[int, typer.Option(help="How many each has.")] = Scale.comments,
) -> None:
    """Print what every way to keep a counter costs a transaction, beside none at all."""
    scale = replace(QUICK if quick else Scale(), threads=threads, comments=comments)
    for name in driver:
        with fresh_database(DRIVERS[name], in_memory=True) as url:
            show(name, asyncio.run(measure_driver(url, name, scale)))


if __name__ == "__main__":
    typer.run(main)
