"""Eight processes that insert at once: into one hot thread, and each into a thread of its own.

    python -m benchmarks.writers [--quick] [--database sqlite|postgresql]

What counts is throughput: the time from the start of all to the end of the last, as a ratio
to the same number of inserts with no counter. On one thread every way that keeps its counter
has the writers wait for each other, from the change of the thread's row to the end of the
commit; PostgreSQL is as it is installed, so that a commit waits for the disk. On SQLite all
writers wait for each other anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from sqlalchemy import Engine

from tallied.benchmarks.candidates import CANDIDATES, TABLES, Candidate, Result, make_table
from tallied.benchmarks.databases import (
    BACKENDS,
    blocking_engine,
    fresh_database,
    selected_backends,
)
from tallied.benchmarks.threads import is_exact, make_exact, settle, store_thread
from tallied.benchmarks.timing import interleave, lower_quartile
from tallied.benchmarks.worker_pool import WorkerFailed, WorkerPool, worker_pool

console = Console(width=140)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    writers: int = 8
    inserts: int = 50
    """How many of them each writer does in a round."""
    comments: int = 1_000
    """How many comments each thread has at the start."""
    rounds: int = 16
    budget: float = 30.0
    """The seconds that one contestant may take for one scenario."""


QUICK = Scale(inserts=25, rounds=5, budget=5.0)

SCENARIOS = ("one hot thread", "a thread for each writer")


def measure(url: str, scale: Scale) -> dict[Candidate, Result]:
    """Time all contestants in both scenarios, on a fresh database."""
    engine = blocking_engine(url)
    for strategy in TABLES:
        strategy.metadata.create_all(engine)
    results = {candidate: Result() for candidate in CANDIDATES}
    with worker_pool(url, scale.writers) as writers:
        for scenario in SCENARIOS:
            number = 1 if scenario == SCENARIOS[0] else scale.writers
            threads = {
                candidate: _store(engine, candidate, number, scale) for candidate in CANDIDATES
            }
            for strategy in TABLES:
                make_exact(engine, strategy)
            settle(engine)
            with console.status(scenario):
                _compare(engine, writers, scenario, scale, threads, results)
    engine.dispose()
    return results


def _store(engine: Engine, candidate: Candidate, number: int, scale: Scale) -> list[UUID]:
    with engine.begin() as connection:
        return [store_thread(connection, candidate.strategy, scale.comments) for _ in range(number)]


def _compare(
    engine: Engine,
    writers: WorkerPool,
    scenario: str,
    scale: Scale,
    threads: Mapping[Candidate, list[UUID]],
    results: Mapping[Candidate, Result],
) -> None:
    failed: set[Candidate] = set()
    turns = {
        candidate: _turn(writers, candidate, thread * (scale.writers // len(thread)), scale, failed)
        for candidate, thread in threads.items()
    }
    timed = asyncio.run(interleave(turns, scale.rounds, scale.budget))
    for candidate, result in results.items():
        taken = None if candidate in failed else lower_quartile(timed[candidate])
        result.seconds[scenario] = taken
        result.exact[scenario] = is_exact(engine, candidate.strategy, threads[candidate])


def _turn(
    writers: WorkerPool,
    candidate: Candidate,
    threads: list[UUID],
    scale: Scale,
    failed: set[Candidate],
) -> Callable[[int], Awaitable[None]]:
    tasks = [(str(candidate), [thread] * scale.inserts) for thread in threads]

    async def turn(number: int) -> None:
        if candidate not in failed:
            try:
                writers.insert(tasks)
            except WorkerFailed:
                failed.add(candidate)

    return turn


def show(backend: str, results: Mapping[Candidate, Result], scale: Scale) -> None:
    """Print the results."""
    title = f"{BACKENDS[backend]}: {scale.writers} writers"
    per_second = partial(_per_second, inserts=scale.writers * scale.inserts)
    console.print(make_table(title, SCENARIOS, results, per_second))


def _per_second(seconds: float | None, inserts: int) -> str:
    return "fails" if seconds is None else f"{inserts / seconds:,.0f} a second"


def main(
    quick: Annotated[bool, typer.Option(help="Fewer rounds.")] = False,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
) -> None:
    """Print what every way to keep a counter does to the throughput of many writers."""
    scale = QUICK if quick else Scale()
    for backend in selected_backends(database):
        with fresh_database(backend) as url:
            show(backend, measure(url, scale), scale)


if __name__ == "__main__":
    typer.run(main)
