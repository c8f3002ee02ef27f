"""Every race of the test suite, run against every way to keep a counter: a report, not a gate.

``python -m benchmarks.races [--quick]`` prints how many of the races each way ends with the stored
word count equal to the recount, on PostgreSQL. What a race is, and how it is forced,
stands in ``tests/counters/races/test_races.py``, and the driver in ``tests/support/races.py``; a
unit that the database asks to retry is run again, and nothing afterwards repairs a counter.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from tests.support.races import LEVELS, actors_on, race, uuids

from .databases import blocking_engine, fresh_database
from .strategies import AGGREGATED, PUBLISHED, TALLIED, TRIGGER, Strategy

SCHEDULES = ("after", "within", "stale")
X, Y, Z, MINE = uuids(4)
STOP = ("UPDATE thread", "WITH tallied_delta", "UPDATE trigger_thread")

Operation = Callable[[Session, Strategy, Any, int], None]


def words(number: int) -> str:
    """Return a message of `number` words."""
    return " ".join(["word"] * number)


def insert(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Add a comment to X."""
    thread = session.get(strategy.Thread, X)
    session.add(strategy.Comment(thread=thread, **strategy.values(words(2 + who))))


def edit(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Edit the comment that both want."""
    for name, value in strategy.values(words(20 + 10 * who)).items():
        setattr(mine, name, value)


def move(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Move it, one to Y and the other to Z."""
    mine.thread = session.get(strategy.Thread, (Y, Z)[who])


def remove(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Delete it."""
    session.delete(mine)


def bulk_update(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Edit all comments of X by one statement."""
    statement = update(strategy.Comment).where(strategy.Comment.thread_id == X)
    session.execute(statement.values(message=words(12 + who), word_count=12 + who))


def bulk_delete(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Delete some comments of X by one statement."""
    small = (strategy.Comment.thread_id == X) & (strategy.Comment.word_count > 3 + who)
    session.execute(delete(strategy.Comment).where(small))


def remove_thread(session: Session, strategy: Strategy, mine: Any, who: int) -> None:
    """Delete X, and its comments by the foreign key's cascade."""
    thread = session.get(strategy.Thread, X)
    if thread is not None:
        session.delete(thread)


OPERATIONS: tuple[Operation, ...] = (
    insert,
    edit,
    move,
    remove,
    bulk_update,
    bulk_delete,
    remove_thread,
)


def prepare(session: Session, strategy: Strategy) -> None:
    """Store three threads whose counters are right, however the way came to them."""
    connection = session.connection()
    threads, comments = strategy.Thread.__table__, strategy.Comment.__table__
    for key, sizes in ((X, (10, 3, 4)), (Y, (5, 6)), (Z, (7, 8, 9))):
        connection.execute(threads.insert().values(id=key, title="T"))
        for place, size in enumerate(sizes):
            extra = {"id": MINE} if (key, place) == (X, 0) else {}
            values = {"thread_id": key, "message": words(size), "word_count": size}
            connection.execute(comments.insert().values(**values, **extra))
        stored = threads.update().where(threads.c.id == key)
        connection.execute(stored.values(word_count=sum(sizes)))


def is_exact(engine: Engine, strategy: Strategy) -> bool:
    """Return whether every thread's word count equals its recount."""
    threads, comments = strategy.Thread.__table__, strategy.Comment.__table__
    true = (
        select(func.coalesce(func.sum(comments.c.word_count), 0))
        .where(comments.c.thread_id == threads.c.id)
        .scalar_subquery()
    )
    with engine.connect() as connection:
        rows = connection.execute(select(threads.c.word_count, true)).all()
    return all(stored == counted for stored, counted in rows)


def load(session: Session, strategy: Strategy) -> Any:
    """Load the thread and the comment that both want; return the comment, None if it is deleted."""
    session.get(strategy.Thread, X)
    return session.get(strategy.Comment, MINE)


def act(operation: Operation, strategy: Strategy) -> Callable[[Session, Any, int], None]:
    """Return `operation` as one of the races': it is flushed, and needs no deleted comment."""

    def step(session: Session, mine: Any, who: int) -> None:
        if mine is not None or operation in (insert, bulk_update, bulk_delete):
            operation(session, strategy, mine, who)
        session.flush()

    return step


def results(
    server: Engine, strategy: Strategy, level: str, operations: Sequence[Operation]
) -> Counter[str]:
    """Count the races that end ``exact``, ``wrong``, or ``failed`` with an error."""
    ended: Counter[str] = Counter()
    races = list(itertools.product(operations, operations, SCHEDULES))
    store, read = partial(prepare, strategy=strategy), partial(load, strategy=strategy)
    for first, second, schedule in track(races, f"{strategy}, {level}", transient=True):
        pair = act(first, strategy), act(second, strategy)
        options = {"isolation_level": level}
        with actors_on(server, strategy.Session, store, strategy.metadata, **options) as actors:
            try:
                race(server, actors, pair, schedule, load=read, stop=STOP, writes_nothing=pair)
            except Exception:
                ended["failed"] += 1
            else:
                ended["exact" if is_exact(server, strategy) else "wrong"] += 1
    return ended


def main(
    quick: Annotated[
        bool, typer.Option(help="Inserts and edits only, at the usual isolation level.")
    ] = False,
) -> None:
    """Run all, and print how many races each way ends exact."""
    warnings.simplefilter("ignore")
    strategies = (TALLIED, TRIGGER, AGGREGATED, *PUBLISHED)
    levels, operations = (LEVELS[:1], OPERATIONS[:2]) if quick else (LEVELS, OPERATIONS)
    kinds, schedules = len(operations), len(SCHEDULES)
    races = f"{kinds**2 * schedules} ({kinds} * {kinds} pairs, {schedules} schedules)"
    table = Table("way", *levels, title=f"races that end exact, of {races}")
    with fresh_database("postgresql") as url:
        server = blocking_engine(url)
        with server.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET deadlock_timeout = '30ms'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        for strategy in strategies:
            strategy.metadata.create_all(server)
            cells = []
            for level in levels:
                ended = results(server, strategy, level, operations)
                failed = f", {ended['failed']} fail" if ended["failed"] else ""
                cells.append(f"{ended['exact']}{failed}")
            table.add_row(strategy.name, *cells)
        server.dispose()
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
