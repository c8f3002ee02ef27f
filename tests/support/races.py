"""Two real transactions, interleaved by force.

An :class:`Actor` is a session in a thread of its own. The test tells it what to do
next and goes on when the actor has done it, or waits for a lock of the other (which
the database itself is asked for), or stands at a statement that it was told to stop
before. So every schedule is made, not hoped for, and none depends on a pause.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import wraps
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

RETRIED = {"40001", "40P01"}
"""serialization_failure, deadlock_detected (PostgreSQL, Appendix A)."""
TIMEOUT = 60.0
Operation = Callable[[Session, Any, int], None]
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Actor:
    """One session, driven step by step."""

    def __init__(self, engine: Engine, session_class: type[Session], **options: Any) -> None:
        self.engine = engine.execution_options(**options)
        self.session = session_class(self.engine, expire_on_commit=False, autoflush=False)
        self.pid: int | None = None
        self.standing = threading.Event()
        self._go_on = threading.Event()
        self._stop_before: tuple[str, ...] | None = None
        self._steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        event.listen(self.engine, "before_cursor_execute", self._before)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, step: Callable[[Session], Any]) -> Future[Any]:
        """Start `step`; the future holds what it returns or raises."""
        future: Future[Any] = Future()
        self._steps.put((step, future))
        return future

    def done(self, step: Callable[[Session], Any]) -> Any:
        """Do `step` to its end."""
        return self.do(step).result(TIMEOUT)

    def begin(self) -> None:
        """Begin a transaction, and know by which process the server serves it."""
        self.pid = self.done(
            lambda session: session.connection().execute(text("SELECT pg_backend_pid()")).scalar()
        )

    def stop_before(self, *start: str) -> None:
        """Stop before the first statement that starts with one of `start`, until :meth:`go_on`."""
        self.standing.clear()
        self._go_on.clear()
        self._stop_before = start

    def go_on(self) -> None:
        """Go on from where the actor stands, if it does."""
        self._stop_before = None
        self.standing.clear()
        self._go_on.set()

    def close(self, server: Engine) -> None:
        """Roll back what is open, whatever it waits for, and end the thread."""
        self.go_on()
        ended = self.do(lambda session: session.close())
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
        if self._stop_before is not None and statement.lstrip().startswith(self._stop_before):
            self._stop_before = None
            self.standing.set()
            assert self._go_on.wait(TIMEOUT)


def settle(actor: Actor, future: Future[Any], server: Engine) -> str:
    """Wait until the actor is ``done``, ``standing`` where it was told, or ``blocked``."""
    deadline = time.monotonic() + TIMEOUT
    query = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0").bindparams(pid=actor.pid)
    with server.connect() as connection:
        while time.monotonic() < deadline:
            if future.done():
                return "done"
            if actor.standing.is_set():
                return "standing"
            if connection.execute(query).scalar():
                return "blocked"
            connection.rollback()
            time.sleep(0.002)
    raise AssertionError("the actor neither ended nor waits for a lock")


def outcome(future: Future[Any]) -> str:
    """``ok``; ``retry``, which a unit of work does; or ``gone``, which a user is told."""
    error = future.exception(TIMEOUT)
    if error is None:
        return "ok"
    if isinstance(error, StaleDataError | IntegrityError):
        return "gone"
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in RETRIED:
        return "retry"
    raise error


def in_order_of_ends(
    one: tuple[Actor, Future[Any]], two: tuple[Actor, Future[Any]]
) -> tuple[int, int]:
    """Which of two must be finished first, since the other may wait for it.

    One that the database has refused is rolled back here, and is run again last.
    """
    (first, ran), (second, ran_too) = one, two
    if ran.done() and outcome(ran) != "ok":
        first.done(lambda session: session.rollback())
        return 1, 0
    if not ran.done() and outcome(ran_too) == "ok":
        return 1, 0
    if ran_too.done() and outcome(ran_too) != "ok":
        second.done(lambda session: session.rollback())
    return 0, 1


def in_savepoint(operation: Operation) -> Operation:
    """The same, in a savepoint of its own."""

    @wraps(operation)
    def run(session: Session, loaded: Any, who: int) -> None:
        with session.begin_nested():
            operation(session, loaded, who)

    return run


def race(
    server: Engine,
    actors: tuple[Actor, Actor],
    pair: tuple[Operation, Operation],
    schedule: str,
    *,
    load: Callable[[Session], Any],
    stop: tuple[str, ...],
    writes_nothing: Collection[Operation] = (),
) -> tuple[str, str]:
    """Run `pair` on `schedule`, ``after``, ``within`` or ``stale``; how each of the two ended.

    :param load: what a unit has in memory before it acts.
    :param stop: how the statement begins that the first stops before, ``within`` its flush.
    :param writes_nothing: operations that have no such statement.
    """
    (one, two), (first, second) = actors, pair
    for actor in actors:
        actor.begin()
    loaded = [actor.done(load) for actor in actors]
    if schedule == "stale":
        for actor in actors:
            actor.done(lambda session: session.commit())
            actor.begin()
    if schedule == "within":
        one.stop_before(*stop)
    ran = one.do(lambda session: first(session, loaded[0], 0))
    reached = settle(one, ran, server)
    assert schedule != "within" or reached == "standing" or _plain(first) in writes_nothing
    if schedule == "stale":
        ended = _finish(one, ran, first, 0, load)
        ran_too = two.do(lambda session: second(session, loaded[1], 1))
        return ended, _finish(two, ran_too, second, 1, load)
    ran_too = two.do(lambda session: second(session, loaded[1], 1))
    settle(two, ran_too, server)
    one.go_on()
    if settle(one, ran, server) == "blocked":
        # Each waits for the other's commit: the second's flush is complete, or a deadlock ends one.
        assert wait((ran, ran_too), timeout=TIMEOUT, return_when=FIRST_COMPLETED).done
    ends = [(one, ran, first, 0), (two, ran_too, second, 1)]
    order = in_order_of_ends((one, ran), (two, ran_too))
    results = {place: _finish(*ends[place], load) for place in order}
    return results[0], results[1]


def _plain(operation: Operation) -> Operation:
    plain: Operation = getattr(operation, "__wrapped__", operation)
    return plain


def _finish(
    actor: Actor, future: Future[Any], operation: Operation, who: int, load: Callable[..., Any]
) -> str:
    """Commit what went well; run again what the database asks for; give up what is gone."""
    result = outcome(future)
    for _ in range(5):
        if result == "ok":
            result = outcome(actor.do(lambda session: session.commit()))
            if result == "ok":
                return result
        actor.done(lambda session: session.rollback())
        if result == "gone":
            return result
        actor.done(lambda session: session.expunge_all())
        result = outcome(actor.do(lambda session: operation(session, load(session), who)))
    raise AssertionError("asked for a retry five times")
