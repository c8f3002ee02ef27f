"""Every race of the test suite, run against every way to keep a counter: a report, not a gate.

``python -m benchmarks.races [--quick]`` prints how many of the races each way ends with the stored
word count equal to the recount, on PostgreSQL. What a race is, and how it is forced,
stands in ``tests/counters/races/test_races.py`` and ``tests/support/races.py``; a unit that the
database asks to retry is run again, and nothing afterwards repairs a counter.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from tests.support.races import TIMEOUT, Actor, in_order_of_ends, outcome, settle

from .databases import blocking_engine, fresh_database
from .ways import AGGREGATED, PUBLISHED, TALLIED, TRIGGER, Way

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
SCHEDULES = ("after", "within", "stale")
X, Y, Z, MINE = (UUID(int=n + (7 << 76) + (2 << 62)) for n in range(1, 5))

Operation = Callable[[Session, Way, Any, int], None]


def words(number: int) -> str:
    """A message of `number` words."""
    return " ".join(["word"] * number)


def insert(session: Session, way: Way, mine: Any, who: int) -> None:
    """Add a comment to X."""
    session.add(way.Comment(thread=session.get(way.Thread, X), message=words(2 + who)))


def edit(session: Session, way: Way, mine: Any, who: int) -> None:
    """Edit the comment that both want."""
    mine.message = words(20 + 10 * who)


def move(session: Session, way: Way, mine: Any, who: int) -> None:
    """Move it, one to Y and the other to Z."""
    mine.thread = session.get(way.Thread, (Y, Z)[who])


def remove(session: Session, way: Way, mine: Any, who: int) -> None:
    """Delete it."""
    session.delete(mine)


def bulk_update(session: Session, way: Way, mine: Any, who: int) -> None:
    """Edit all comments of X by one statement."""
    statement = update(way.Comment).where(way.Comment.thread_id == X)
    session.execute(statement.values(message=words(12 + who), word_count=12 + who))


def bulk_delete(session: Session, way: Way, mine: Any, who: int) -> None:
    """Delete some comments of X by one statement."""
    small = (way.Comment.thread_id == X) & (way.Comment.word_count > 3 + who)
    session.execute(delete(way.Comment).where(small))


def remove_thread(session: Session, way: Way, mine: Any, who: int) -> None:
    """Delete X, and its comments by the foreign key's cascade."""
    thread = session.get(way.Thread, X)
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


def prepare(engine: Engine, way: Way) -> None:
    """Three threads whose counters are right, however the way came to them."""
    with engine.begin() as connection:
        for table in reversed(way.metadata.sorted_tables):
            connection.execute(table.delete())
        threads, comments = way.Thread.__table__, way.Comment.__table__
        for key, sizes in ((X, (10, 3, 4)), (Y, (5, 6)), (Z, (7, 8, 9))):
            connection.execute(threads.insert().values(id=key, title="T"))
            for place, size in enumerate(sizes):
                extra = {"id": MINE} if (key, place) == (X, 0) else {}
                values = {"thread_id": key, "message": words(size), "word_count": size}
                connection.execute(comments.insert().values(**values, **extra))
            stored = threads.update().where(threads.c.id == key)
            connection.execute(stored.values(word_count=sum(sizes)))


def is_exact(engine: Engine, way: Way) -> bool:
    """Whether every thread's word count is its recount."""
    threads, comments = way.Thread.__table__, way.Comment.__table__
    true = (
        select(func.coalesce(func.sum(comments.c.word_count), 0))
        .where(comments.c.thread_id == threads.c.id)
        .scalar_subquery()
    )
    with engine.connect() as connection:
        rows = connection.execute(select(threads.c.word_count, true)).all()
    return all(stored == counted for stored, counted in rows)


class Race:
    """Two operations of one way, in a given order, on one schedule and level."""

    def __init__(self, server: Engine, way: Way, level: str) -> None:
        self.server = server
        self.way = way
        self.actors = [Actor(server, way.Session, isolation_level=level) for _ in range(2)]

    def run(self, pair: tuple[Operation, Operation], schedule: str) -> None:
        """Run it to its end."""
        one, two = self.actors
        for actor in self.actors:
            actor.begin()
        loaded = [actor.done(self._load) for actor in self.actors]
        if schedule == "stale":
            for actor in self.actors:
                actor.done(lambda session: session.commit())
                actor.begin()
        if schedule == "within":
            one.stop_before("UPDATE thread", "WITH tallied_delta", "UPDATE trigger_thread")
        first = one.do(self._act(pair[0], 0, loaded[0]))
        settle(one, first, self.server)
        if schedule == "stale":
            self._finish(one, first, pair[0], 0)
            self._finish(two, two.do(self._act(pair[1], 1, loaded[1])), pair[1], 1)
            return
        second = two.do(self._act(pair[1], 1, loaded[1]))
        settle(two, second, self.server)
        one.go_on()
        if settle(one, first, self.server) == "blocked":
            wait((first, second), timeout=TIMEOUT, return_when=FIRST_COMPLETED)
        ends = [(one, first, pair[0], 0), (two, second, pair[1], 1)]
        for place in in_order_of_ends((one, first), (two, second)):
            self._finish(*ends[place])

    def close(self) -> None:
        """End both sessions."""
        for actor in self.actors:
            actor.close(self.server)

    def _load(self, session: Session) -> Any:
        session.get(self.way.Thread, X)
        return session.get(self.way.Comment, MINE)

    def _act(self, operation: Operation, who: int, mine: Any) -> Callable[[Session], None]:
        def step(session: Session) -> None:
            if mine is not None or operation in (insert, bulk_update, bulk_delete):
                operation(session, self.way, mine, who)
            session.flush()

        return step

    def _finish(self, actor: Actor, future: Any, operation: Operation, who: int) -> None:
        for _ in range(5):
            result = outcome(future)
            if result == "ok":
                result = outcome(actor.do(lambda session: session.commit()))
            if result == "ok":
                return
            actor.done(lambda session: session.rollback())
            if result == "gone":
                return
            actor.done(lambda session: session.expunge_all())
            mine = actor.done(self._load)
            future = actor.do(self._act(operation, who, mine))


def results(server: Engine, way: Way, level: str, operations: Sequence[Operation]) -> Counter[str]:
    """How many races the way ends ``exact``, ``wrong``, or ``failed`` with an error."""
    ended: Counter[str] = Counter()
    races = list(itertools.product(operations, operations, SCHEDULES))
    for first, second, schedule in track(races, f"{way}, {level}", transient=True):
        prepare(server, way)
        race = Race(server, way, level)
        try:
            race.run((first, second), schedule)
        except Exception:
            ended["failed"] += 1
        else:
            ended["exact" if is_exact(server, way) else "wrong"] += 1
        finally:
            with contextlib.suppress(Exception):
                race.close()
    return ended


def main(
    quick: Annotated[
        bool, typer.Option(help="Inserts and edits only, at the usual isolation level.")
    ] = False,
) -> None:
    """Run all, and print how many races each way ends exact."""
    warnings.simplefilter("ignore")
    ways = (TALLIED, TRIGGER, AGGREGATED, *PUBLISHED)
    levels, operations = (LEVELS[:1], OPERATIONS[:2]) if quick else (LEVELS, OPERATIONS)
    kinds, schedules = len(operations), len(SCHEDULES)
    races = f"{kinds**2 * schedules} ({kinds} * {kinds} pairs, {schedules} schedules)"
    table = Table("way", *levels, title=f"races that end exact, of {races}")
    with fresh_database("postgresql") as url:
        server = blocking_engine(url)
        with server.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET deadlock_timeout = '30ms'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        for way in ways:
            way.metadata.create_all(server)
            cells = []
            for level in levels:
                ended = results(server, way, level, operations)
                failed = f", {ended['failed']} fail" if ended["failed"] else ""
                cells.append(f"{ended['exact']}{failed}")
            table.add_row(way.name, *cells)
        server.dispose()
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
