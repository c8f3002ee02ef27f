"""Sixteen writers who do anything, for minutes: no drift, no error, no memory lost.

    python -m benchmarks.soak [--minutes 5] [--database sqlite|postgresql]

Each writer does one random unit of work after the other (:mod:`.random_units`) on the same 50
threads. All the while every counter is recounted: a recount is one snapshot, so it must be
exact in the midst of writing, too. At the end the words of every message are counted again.

It is not an error if a row is gone because somebody else was first. Everything else is, Busy
included. The process has warmed up after a fifth of the time. From then on it may grow by
:data:`MAX_GROWTH`, which the allocator needs. (The cache of asyncpg's prepared statements is kept
small: by default, it has a hundred for each of twenty connections, and would fill for long.)
The exit code is 1 if any of this fails.
"""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.orm.exc import StaleDataError

from tallied.benchmarks.databases import BACKENDS, fresh_database, markdown_table, selected_backends
from tallied.benchmarks.random_units import OPERATIONS, Abandoned, Board, Operation, draw
from tallied.benchmarks.serving.processes import resident_size
from tallied.counters import Drift
from tallied.database import Database, UnitOfWork
from tallied.models import Base, Comment
from tallied.models.counters import counters

MAX_GROWTH = 10_000_000
"""The bytes by which the process may grow between its warm-up and the end."""

FEW_STATEMENTS = {"prepared_statement_cache_size": 20, "statement_cache_size": 20}
"""Arguments of asyncpg's connections."""

console = Console(width=120)


@dataclass
class Soak:
    """One run, and what came of it."""

    database: Database
    writers: int = 16
    threads: int = 50
    done: Counter[str] = field(default_factory=Counter)
    """How many units have ended well, by the name of the operation."""
    attempts: int = 0
    """How often an operation was begun: once a unit, and once more for each retry."""
    deleted: Counter[str] = field(default_factory=Counter)
    """How many were refused because somebody else had deleted what they were about."""
    longest: float = 0.0
    """The longest that a unit has taken, in seconds, its retries included."""
    errors: list[BaseException] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    recounts: int = 0
    """How often all counters were compared while the writers were at work."""
    sizes: list[tuple[float, int]] = field(default_factory=list)
    """The resident size of the process in bytes, by the seconds since the start."""

    async def run(self, *, seconds: float = float("inf"), units: float = float("inf")) -> None:
        """Work until the time is over, or until the units are done."""
        board = Board(self.threads)
        await self.database.write(board.fill)
        began = time.monotonic()

        def is_over() -> bool:
            late = time.monotonic() - began > seconds
            return late or self.done.total() >= units or bool(self.errors)

        over = asyncio.Event()
        watching = asyncio.create_task(self._watch(over, began))
        async with asyncio.TaskGroup() as group:
            for _ in range(self.writers):
                group.create_task(self._write(board, is_over))
        over.set()
        await watching
        self.drift += await self._verify(with_amounts=True)
        gc.collect()
        self.sizes.append((time.monotonic() - began, resident_size()))

    async def _write(self, board: Board, is_over: Callable[[], bool]) -> None:
        while not is_over():
            operation = draw()
            name, began = operation.__name__, time.monotonic()
            try:
                await self.database.write(partial(self._attempt, operation, board))
                self.done[name] += 1
            except Abandoned:
                self.done[name] += 1
            except Exception as error:
                if not is_deleted(error):
                    self.errors.append(error)  # it has reached the user
                    return
                self.deleted[name] += 1
            self.longest = max(self.longest, time.monotonic() - began)

    async def _attempt(self, operation: Operation, board: Board, unit: UnitOfWork) -> None:
        self.attempts += 1
        await operation(board, unit)

    async def _watch(self, over: asyncio.Event, began: float) -> None:
        while not over.is_set():
            self.drift += await self._verify(with_amounts=False)
            self.recounts += 1
            self.sizes.append((time.monotonic() - began, resident_size()))
            try:
                await asyncio.wait_for(over.wait(), 1.0)
            except TimeoutError:
                continue

    async def _verify(self, *, with_amounts: bool) -> list[Drift]:
        async with self.database.engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: list(counters.verify(sync, derived=with_amounts))
            )

    @property
    def retries(self) -> int:
        """Return how many units the database asked to retry, as after a deadlock."""
        return self.attempts - self.done.total() - self.deleted.total() - len(self.errors)

    def size_at(self, share: float) -> int:
        """Return the bytes of the process after a `share` of the time."""
        until = share * self.sizes[-1][0]
        return next(size for at, size in self.sizes if at >= until)

    @property
    def growth(self) -> int:
        """Return the bytes by which the process has grown since a fifth of the time."""
        return self.sizes[-1][1] - self.size_at(0.2)

    def failures(self) -> list[str]:
        """Return the broken promises as sentences."""
        problems = [f"{error!r} has reached a user" for error in self.errors[:3]]
        problems += [f"drift: {drift}" for drift in self.drift[:3]]
        if self.growth > MAX_GROWTH:
            problems.append(f"the process has grown by {self.growth / 1e6:.1f} MB")
        idle = [o.__name__ for o in OPERATIONS if not self.done[o.__name__]]
        if idle:
            problems.append(f"never done: {', '.join(idle)}")
        return problems


def is_deleted(error: Exception) -> bool:
    """Return whether another writer has deleted the row, or the row that its foreign key names."""
    if isinstance(error, IntegrityError):
        state = getattr(error.orig, "sqlstate", None)
        return state == "23503" or "FOREIGN KEY constraint failed" in str(error.orig)
    return isinstance(error, StaleDataError)


async def soak(url: str, seconds: float) -> tuple[Soak, int]:
    """Run on a fresh database; the run, and how many comments there were at its end."""
    arguments = FEW_STATEMENTS if url.startswith("postgresql") else {}
    database = Database(url, pool_size=20, connect_args=arguments)
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        run = Soak(database)
        await run.run(seconds=seconds)
        async with database.read() as reader:
            query = select(func.count()).select_from(Comment)
            return run, (await reader.execute(query)).scalar_one()
    finally:
        await database.dispose()


def show(backend: str, run: Soak, comments: int) -> None:
    """Print what came of a run."""
    table = markdown_table(BACKENDS[backend], "operation", "done", "gone meanwhile")
    for operation in OPERATIONS:
        name = operation.__name__
        table.add_row(name.replace("_", " "), f"{run.done[name]:,}", f"{run.deleted[name]:,}")
    console.print(table)
    seconds = run.sizes[-1][0]
    sizes = ", ".join(f"{run.size_at(fifth / 5) / 1e6:.0f}" for fifth in range(6))
    console.print(
        f"{run.done.total():,} units in {seconds:.0f} s ({run.done.total() / seconds:.0f} a "
        f"second), {run.retries:,} retries, the longest {run.longest:.2f} s; {comments:,} comments "
        f"at the end; "
        f"{run.recounts:,} recounts meanwhile, {len(run.drift)} wrong counters, "
        f"{len(run.errors)} errors; memory {sizes} MB at the start and after each fifth."
    )


def main(
    minutes: Annotated[float, typer.Option(min=0.01, help="How long on each database.")] = 5.0,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
) -> None:
    """Run sixteen writers for minutes: no drift, no error, no growth of memory."""
    failures = []
    for backend in selected_backends(database):
        with fresh_database(backend) as url, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "DELETE statement on table", SAWarning)
            run, comments = asyncio.run(soak(url, 60 * minutes))
        show(backend, run, comments)
        for error in run.errors[:1]:
            traceback.print_exception(error)
        failures += [f"{BACKENDS[backend]}: {failure}" for failure in run.failures()]
    for failure in failures:
        console.print(f"FAILED: {failure}", style="bold red")
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
