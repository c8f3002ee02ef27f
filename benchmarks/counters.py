"""The cost of adding one comment to a thread, as a ratio to the same insert with no counter.

    python -m benchmarks.counters [--quick] [--database sqlite|postgresql]

The thread has 0, 1,000, 10,000 or 100,000 comments. What is timed is a whole
transaction: a session that is made, the comment, the commit.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from tallied.benchmarks.databases import BACKENDS, blocking_engine, chosen, fresh_database
from tallied.benchmarks.forms import FORMS, STRATEGIES, Add, Form
from tallied.benchmarks.strategies import Strategy
from tallied.benchmarks.threads import is_exact, make_exact, settle, store_thread
from tallied.benchmarks.timing import as_microseconds, as_ratio, interleave, lower_quartile

console = Console(width=140)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    sizes: tuple[int, ...] = (0, 1_000, 10_000, 100_000)
    """How many comments the threads have."""
    rounds: int = 200
    budget: float = 2.0
    """The seconds that one contestant may take for one size."""

    @property
    def inserts(self) -> int:
        """Return the number of inserts: one to try, one to warm up, and those of the rounds."""
        return self.rounds + 2


QUICK = Scale(sizes=(0, 1_000, 10_000), rounds=40, budget=0.3)


@dataclass
class Result:
    """What became of one way in one form."""

    seconds: dict[int, float | None] = field(default_factory=dict)
    """What an insert takes, by the size of the thread; None where it failed."""
    exact: bool = True


class Threads:
    """The threads that the ways add to; empty ones are used once."""

    def __init__(self, engine: Engine, scale: Scale) -> None:
        self._of: dict[tuple[Strategy, int], list[UUID]] = {}
        for strategy in STRATEGIES:
            with engine.begin() as connection:
                for size in scale.sizes:
                    number = 1 if size else len(FORMS) * scale.inserts
                    self._of[strategy, size] = [
                        store_thread(connection, strategy, size) for _ in range(number)
                    ]

    def take(self, strategy: Strategy, size: int, inserts: int) -> list[UUID]:
        """Return a thread for each of the `inserts`."""
        mine = self._of[strategy, size]
        return mine * inserts if size else [mine.pop() for _ in range(inserts)]


async def measure(
    form: Form, engine: Engine, threads: Threads, scale: Scale
) -> dict[Strategy, Result]:
    """Time all ways of `form` with threads of every size."""
    results = {strategy: Result() for strategy in form.strategies}
    async with form.open(engine) as adds:
        for size in scale.sizes:
            thread_keys = {
                strategy: threads.take(strategy, size, scale.inserts)
                for strategy in form.strategies
            }
            turns = {}
            for strategy, (first, *rest) in thread_keys.items():
                results[strategy].seconds[size] = None
                if await _works(adds(strategy), first):
                    turns[strategy] = _turn(adds(strategy), rest)
            for strategy, taken in (await interleave(turns, scale.rounds, scale.budget)).items():
                results[strategy].seconds[size] = lower_quartile(taken)
            for strategy in form.strategies:
                results[strategy].exact &= is_exact(engine, strategy, set(thread_keys[strategy]))
    return results


def _turn(add: Add, threads: list[UUID]) -> Callable[[int], Awaitable[None]]:
    return lambda number: add(threads[number])


async def _works(add: Add, thread_id: UUID) -> bool:
    try:
        await add(thread_id)
    except AttributeError:  # how the published ways fail where there is no object of the thread
        return False
    return True


def show(backend: str, form: Form, results: dict[Strategy, Result], scale: Scale) -> None:
    """Print the results of one form as a table, which is Markdown too."""
    floor = results[form.strategies[0]]
    table = Table(
        title=f"{BACKENDS[backend]}: {form.title}", box=box.MARKDOWN, title_justify="left"
    )
    table.add_column("comments in the thread")
    for size in scale.sizes:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("ended exact")
    for strategy, result in results.items():
        cells = [as_ratio(result.seconds[size], floor.seconds[size]) for size in scale.sizes]
        if result is floor:
            cells = [as_microseconds(floor.seconds[size]) for size in scale.sizes]
        table.add_row(strategy.name, *cells, _exact(strategy, result))
    console.print(table)


def _exact(strategy: Strategy, result: Result) -> str:
    if not strategy.keeps or None in result.seconds.values():
        return "n/a"
    return "yes" if result.exact else "no"


def main(
    quick: Annotated[bool, typer.Option(help="Smaller threads, fewer rounds.")] = False,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both.")] = "both",
) -> None:
    """Print what every way to keep a counter costs, beside the same insert without one."""
    scale = QUICK if quick else Scale()
    for backend in chosen(database):
        with fresh_database(backend, in_memory=True) as url:
            engine = blocking_engine(url)
            for strategy in STRATEGIES:
                strategy.metadata.create_all(engine)
            with console.status(f"{BACKENDS[backend]}: storing threads"):
                threads = Threads(engine, scale)
            for form in FORMS:
                with console.status(f"{BACKENDS[backend]}: {form.title}"):
                    for strategy in {s.Thread.__tablename__: s for s in STRATEGIES}.values():
                        make_exact(engine, strategy)
                    settle(engine)
                    gc.freeze()
                    results = asyncio.run(measure(form, engine, threads, scale))
                show(backend, form, results, scale)
            engine.dispose()


if __name__ == "__main__":
    typer.run(main)
