"""Real transactions, interleaved by force.

An :class:`Actor` is a session in a thread of its own. The test gives it a step, and goes on when
the step has ended, waits for a lock (which the database itself is asked for), or has stopped at a
statement of the test's choice. No schedule depends on a pause.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import wraps
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, MetaData, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from .databases import OVERSEER

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
RETRIED = {"40001", "40P01"}
"""serialization_failure, deadlock_detected (PostgreSQL, Appendix A)."""
TIMEOUT = 60.0
Step = Callable[[Session], Any]
Operation = Callable[[Session, Any, int], None]
"""A function of a session, the objects that it has loaded, and the place of its actor: 0 or 1."""
TERMINATE = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name <> '{OVERSEER}'
"""
GATE = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
CREATE TRIGGER wait_for_the_test BEFORE UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""


def uuids(number: int) -> list[UUID]:
    """Return so many UUIDs of version 7, in ascending order."""
    return [UUID(int=n + (7 << 76) + (2 << 62)) for n in range(1, number + 1)]


def label(value: Any) -> str:
    """Return the id of a parameter: a pair of operations, or the name of a schedule."""
    return value if isinstance(value, str) else "-".join(operation.__name__ for operation in value)


def parameters(values: Iterable[Any], *, plain: Callable[[Any], bool]) -> list[Any]:
    """Return parameters, of which all that are not `plain` run under ``--exhaustive`` only."""
    return [
        pytest.param(value, id=label(value), marks=() if plain(value) else pytest.mark.exhaustive)
        for value in values
    ]


def is_of_one_operation(pair: Sequence[Operation]) -> bool:
    """Return whether both actors do the same."""
    return pair[0] is pair[1]


class Actor:
    """One session, driven step by step."""

    def __init__(self, engine: Engine, session_class: type[Session], **options: Any) -> None:
        self.engine = engine.execution_options(**options)
        self.session = session_class(self.engine, expire_on_commit=False, autoflush=False)
        self.pid: int | None = None
        self.stopped = threading.Event()
        self._go_on = threading.Event()
        self._stop_before: tuple[str, ...] = ()
        self._steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        event.listen(self.engine, "before_cursor_execute", self._before)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start(self, step: Step) -> Future[Any]:
        """Start `step`; the future holds what it returns or raises."""
        future: Future[Any] = Future()
        self._steps.put((step, future))
        return future

    def run(self, step: Step) -> Any:
        """Run `step` to its end."""
        return self.start(step).result(TIMEOUT)

    def begin(self, *disabled: str) -> None:
        """Begin a transaction, and note which process of the server serves it.

        :param disabled: settings of the planner that are off in it, such as ``enable_seqscan``.
        """
        query = text("SELECT pg_backend_pid()")
        self.pid = self.run(lambda session: session.connection().execute(query).scalar())
        for setting in disabled:
            self.run(lambda session, s=setting: session.execute(text(f"SET LOCAL {s} = off")))

    def stop_before(self, *starts: str) -> None:
        """Stop before the first statement that starts with one of `starts`."""
        self.stopped.clear()
        self._go_on.clear()
        self._stop_before = starts

    def go_on(self) -> None:
        """Go on from the statement that the actor has stopped before, if it has."""
        self._stop_before = ()
        self.stopped.clear()
        self._go_on.set()

    def end(self, future: Future[Any]) -> str:
        """Commit what a step has done, or roll it back if it failed; return its outcome."""
        result = outcome(future)
        if result == "ok":
            result = outcome(self.start(Session.commit))
        if result != "ok":
            self.run(Session.rollback)
        return result

    def close(self, server: Engine) -> None:
        """Roll back the open transaction, even if it waits for a lock, and end the thread."""
        self.go_on()
        ended = self.start(Session.close)
        try:
            ended.exception(2)
        except TimeoutError:  # a race that failed has left it waiting
            with server.connect() as connection:
                connection.execute(text(TERMINATE))
            server.dispose()
            ended.exception(TIMEOUT)
        self._steps.put(None)
        self._thread.join(TIMEOUT)

    def _run(self) -> None:
        while (item := self._steps.get()) is not None:
            step, future = item
            try:
                future.set_result(step(self.session))
            except BaseException as error:
                future.set_exception(error)

    def _before(self, conn: object, cursor: object, statement: str, *_: object) -> None:
        if self._stop_before and statement.lstrip().startswith(self._stop_before):
            self._stop_before = ()
            self.stopped.set()
            assert self._go_on.wait(TIMEOUT)


@contextmanager
def actors_on(
    server: Engine,
    session_class: type[Session],
    prepare: Step,
    *metadata: MetaData,
    number: int = 2,
    **options: Any,
) -> Iterator[tuple[Actor, ...]]:
    """Provide actors on a database that holds only the rows that `prepare` stores.

    :param metadata: the tables to empty first; in this order, those of each from the last.
    :param options: execution options of the actors' engines, such as their isolation level.
    """
    names = [table.name for tables in metadata for table in reversed(tables.sorted_tables)]
    deletions = "".join(f"DELETE FROM {name}; " for name in names)
    with server.begin() as connection:
        connection.execute(text(f"DO $$ BEGIN {deletions} END $$"))
    with session_class(server) as session:
        prepare(session)
        session.commit()
    actors = tuple(Actor(server, session_class, **options) for _ in range(number))
    yield actors
    for actor in actors:
        actor.close(server)


def wait_for_state(actor: Actor, future: Future[Any], server: Engine) -> str:
    """Wait until the actor's step is ``done``, ``stopped`` before a statement, or ``blocked``."""
    deadline = time.monotonic() + TIMEOUT
    query = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0").bindparams(pid=actor.pid)
    with server.connect() as connection:
        while time.monotonic() < deadline:
            if future.done():
                return "done"
            if actor.stopped.is_set():
                return "stopped"
            if connection.execute(query).scalar():
                return "blocked"
            connection.rollback()
            time.sleep(0.002)
    raise AssertionError("the actor neither ended nor waits for a lock")


def outcome(future: Future[Any]) -> str:
    """Return ``ok``; ``retry``, which a unit of work does; or ``gone``, an error of the user."""
    error = future.exception(TIMEOUT)
    if error is None:
        return "ok"
    if isinstance(error, StaleDataError | IntegrityError):
        return "gone"
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in RETRIED:
        return "retry"
    raise error


def end_all(actors: Sequence[Actor], futures: Sequence[Future[Any]]) -> list[str]:
    """Commit or roll back each step as it ends, since another may wait for it; the outcomes."""
    results: dict[int, str] = {}
    while len(results) < len(futures):
        running = [place for place in range(len(futures)) if place not in results]
        wait([futures[n] for n in running], timeout=TIMEOUT, return_when=FIRST_COMPLETED)
        place = next(n for n in running if futures[n].done())
        results[place] = actors[place].end(futures[place])
    return [results[place] for place in range(len(futures))]


def meet(
    server: Engine,
    actors: Sequence[Actor],
    steps: Sequence[Step],
    *,
    stop: Sequence[str] = (),
    release: Callable[[], None] | None = None,
    states: tuple[str | None, str | None] = ("stopped", "blocked"),
) -> list[str]:
    """Run the first step until it stops or waits, then the second; then let both go on, and end.

    :param stop: how the statement starts that the first stops before.
    :param release: give up what both wait for; without it, the first goes on from its stop.
    :param states: what must have become of each by then; None for anything.
    :returns: the two outcomes.
    """
    actors[0].stop_before(*stop)
    futures = []
    for actor, step, state in zip(actors, steps, states, strict=True):
        futures.append(actor.start(step))
        reached = wait_for_state(actor, futures[-1], server)
        assert state in (None, reached)
    (release or actors[0].go_on)()
    wait_for_state(actors[0], futures[0], server)  # the first commits first, unless it waits
    return end_all(actors, futures)


@contextmanager
def update_gate(server: Engine, table: str) -> Iterator[Callable[[], None]]:
    """Have each UPDATE of `table` wait, its first row locked, until the function is called."""
    with server.connect() as connection:

        def release() -> None:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.commit()

        connection.execute(text(GATE.format(table=table)))
        connection.commit()
        connection.execute(text("SELECT pg_advisory_lock(42)"))
        connection.commit()
        try:
            yield release
        finally:
            release()
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(text("DROP FUNCTION wait_for_the_test() CASCADE"))
            connection.commit()


def in_savepoint(operation: Operation) -> Operation:
    """Return the same operation in a savepoint of its own."""

    @wraps(operation)
    def run(session: Session, loaded: Any, place: int) -> None:
        with session.begin_nested():
            operation(session, loaded, place)

    return run


def race(
    server: Engine,
    actors: Sequence[Actor],
    pair: Sequence[Operation],
    schedule: str,
    *,
    load: Callable[[Session], Any],
    stop: Sequence[str],
    writes_nothing: Collection[Operation] = (),
) -> tuple[str, str]:
    """Run `pair` on `schedule`, ``after``, ``within`` or ``stale``, and return the two outcomes.

    An operation that the database refuses with a request to retry is run again from its start.

    :param load: what a unit has in memory before it acts.
    :param stop: how the statement starts that the first stops before, ``within`` its flush.
    :param writes_nothing: operations that have no such statement.
    """
    for actor in actors:
        actor.begin()
    loaded = [actor.run(load) for actor in actors]

    def step(place: int, again: bool = False) -> Step:
        return lambda session: pair[place](
            session, load(session) if again else loaded[place], place
        )

    if schedule == "stale":
        for actor in actors:
            actor.run(Session.commit)
            actor.begin()
        results = [actors[place].end(actors[place].start(step(place))) for place in (0, 1)]
    else:
        plain = getattr(pair[0], "__wrapped__", pair[0])
        stops = schedule == "within"
        state = "stopped" if stops and plain not in writes_nothing else None
        steps = [step(0), step(1)]
        results = meet(server, actors, steps, stop=stop if stops else (), states=(state, None))
    for place, actor in enumerate(actors):
        for _ in range(4):
            if results[place] != "retry":
                break
            actor.run(Session.expunge_all)
            results[place] = actor.end(actor.start(step(place, again=True)))
        assert results[place] != "retry", "asked for a retry five times"
    return results[0], results[1]
