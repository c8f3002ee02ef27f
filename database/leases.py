"""The leases of a database: how many there are, who has one next, and when they end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..concurrency.pending_tasks import PendingTasks
from ..concurrency.scheduler import yield_if_due
from ..errors import Busy
from .failures import BUSY
from .lease import Lease, Observer, PostgresLease, SqliteLease
from .statement import CompiledStatement, Rows, StatementCache

REST = 1.0
"""Seconds after which a lease that nobody uses goes back to the pool."""

AGE = 60.0
"""Seconds after which a lease goes back to the pool, which may replace the connection."""

SPARE = 2
"""How many connections of the pool are never leased: units of work need some, too."""

OBSERVER = "tallied_observer"
"""The attribute of a listener of ``before_cursor_execute`` that needs the text alone: a function
to call with it. For any other listener, statements go through SQLAlchemy."""

_EVENTS = (
    "before_execute",
    "after_execute",
    "before_cursor_execute",
    "after_cursor_execute",
)
"""The events of an engine that are about single statements."""

_get_local_listeners = attrgetter(*[f"{name}.local" for name in _EVENTS])


class Leases:
    """The leased connections of one engine, which waiting tasks hand on.

    The one that was used last is used next, so that a quiet time needs few of them.

    :param engine: in AUTOCOMMIT.
    :param pooled: the engine that it is a variant of, which has the pool.
    :param open: what takes a connection of it out of its pool.
    :param is_plain: whether the driver may be used directly, as far as the options say.
    :param recycle: seconds after which the pool replaces a connection, or -1.
    :param patience: seconds that a task waits for a lease.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        pooled: Engine,
        open: Callable[[AsyncConnection], Awaitable[AsyncConnection]],
        is_plain: Callable[[], bool],
        *,
        recycle: float,
        patience: float,
        statements: StatementCache,
        pending_tasks: PendingTasks,
    ) -> None:
        self._engine = engine
        self._pooled = pooled
        self._open_connection = open
        self._is_plain = is_plain
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._age = AGE if recycle < 0 else min(AGE, recycle)
        self._patience = patience
        self._statements = statements
        self.pending_tasks = pending_tasks
        self._no_listeners = self._local_listeners()
        self._no_setup = self._setup_listeners()
        self._idle: list[Lease] = []
        self._waiters: deque[asyncio.Future[Lease | None]] = deque()
        self._others = 0
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0
        """How many connections are leased, used or idle."""

    @property
    def size(self) -> int:
        """Return how many connections may be leased at most."""
        pool = self._pooled.pool
        return max(0, pool.size() - SPARE) if isinstance(pool, AsyncAdaptedQueuePool) else 0

    def observers(self) -> Sequence[Observer] | None:
        """Return the observers of statements; None where the engine is to execute them itself.

        A host may begin to listen at any time, or to log.
        """
        engine = self._engine.sync_engine
        has_size = self.count or self.size
        if not self._is_plain() or not has_size or engine.logger.isEnabledFor(logging.INFO):
            return None
        for handler in engine.dialect.dispatch.handle_error:
            if not handler.__module__.startswith(__package__):
                return None
        # SQLAlchemy asks the same before it looks for listeners. The variant has one in any case.
        if not self._pooled._has_events and self._local_listeners() == self._no_listeners:
            return ()
        observers: list[Observer] = []
        for name in _EVENTS:
            for listener in getattr(engine.dispatch, name):
                if (observer := getattr(listener, OBSERVER, None)) is None:
                    return None
                observers.append(observer)
        return observers

    def _local_listeners(self) -> Any:
        """Return what has the listeners of the variant itself, which the first of them replaces."""
        return _get_local_listeners(self._engine.sync_engine.dispatch)

    def _setup_listeners(self) -> list[Any]:
        """Return what sets up a connection of the pool."""
        dispatch = self._pooled.pool.dispatch
        return [*dispatch.connect, *dispatch.checkout]

    async def fetch(
        self,
        statement: CompiledStatement,
        parameters: Mapping[str, Any],
        observers: Sequence[Observer],
    ) -> Rows:
        """Return the rows of a compiled statement, which a lease reads."""
        if self._is_sqlite:
            await yield_if_due()  # before others have to do without the lease
            rows = self._fetch_inline(statement, parameters, observers)
            if rows is not None:
                return await statement.process(rows) if statement.has_processors else rows
        self.pending_tasks.begin()
        try:
            lease = self.take_idle() or await self.acquire()
            try:
                lease.observers = observers
                return await lease.fetch(statement, parameters)
            finally:
                self.release(lease)
        finally:
            self.pending_tasks.end()

    def _fetch_inline(
        self,
        statement: CompiledStatement,
        parameters: Mapping[str, Any],
        observers: Sequence[Observer],
    ) -> Rows | None:
        """Return the rows by a lease that is idle, as :meth:`.Lease.fetch_inline` does."""
        lease = self.take_idle()
        if lease is None:
            return None
        lease.observers = observers
        try:
            return lease.fetch_inline(statement, parameters)
        finally:
            self.release(lease)

    async def acquire(self) -> Lease:
        """Return a lease, which nobody else uses until its :meth:`release`.

        :raises Busy: where there was none in time.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            lease = self.take_idle()
            if lease is not None:
                return lease
            if self.count < self.size:
                return await self._open()
            lease_or_room = await self._wait(deadline)
            if lease_or_room is not None:
                return lease_or_room

    def take_idle(self) -> Lease | None:
        """Return a lease that nobody uses, as :meth:`acquire` does, if there is one."""
        while self._idle:
            lease = self._idle.pop()
            if lease.is_open and lease.pool is self._pooled.pool:
                return lease
            self._end(lease)
        return None

    def release(self, lease: Lease) -> None:
        """Hand the lease on to the next task, or let it rest."""
        now = asyncio.get_running_loop().time()
        # If the connection is closed meanwhile, the next task that takes it notices.
        if lease.is_lost or lease.pool is not self._pooled.pool or now >= lease.ends_at:
            self._end(lease)
        elif not (self._waiters and self._wake(lease)):
            if self._others > SPARE and self.count + self._others > self._capacity:
                self._end(lease)  # A unit of work may wait for it.
            else:
                lease.idle_since = now
                self._idle.append(lease)
                if self._timer is None:
                    self._schedule()

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Count a connection of the pool that the block needs, for which an idle lease may end."""
        self._others += 1
        while self._idle and self.count + self._others > self._capacity:
            self._end(self._idle.pop(0))
        try:
            yield
        finally:
            self._others -= 1

    def end_idle(self) -> list[asyncio.Future[None]]:
        """Give all leases that nobody uses back to the pool; it is done when the futures are."""
        ended = [self._end(lease) for lease in self._idle]
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()  # It refers to the database, which may be done with.
            self._timer = None
        return ended

    @property
    def _capacity(self) -> int:
        return self.size + SPARE

    async def _open(self) -> Lease:
        self.count += 1
        try:
            connection = await self._open_connection(self._engine.connect())
            kind: Any = SqliteLease if connection.dialect.name == "sqlite" else PostgresLease
            ends_at = asyncio.get_running_loop().time() + self._age
            pool = self._pooled.pool
            lease: Lease = kind(connection, pool, ends_at, self._statements, self.pending_tasks)
            lease.is_customized = self._setup_listeners() != self._no_setup
        except BaseException:
            self.count -= 1
            self._wake(None)
            raise
        return lease

    async def _wait(self, deadline: float) -> Lease | None:
        """Return the lease that another task hands on; None where one may be opened."""
        waiter: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                lease = waiter.result()
                if lease is None:
                    self._wake(None)
                else:
                    self.release(lease)
            if isinstance(error, TimeoutError):
                raise Busy(BUSY) from error
            raise

    def _wake(self, lease: Lease | None) -> bool:
        """Return whether a waiting task has the lease now, or may open one."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(lease)
                return True
        return False

    def _end(self, lease: Lease) -> asyncio.Future[None]:
        self.count -= 1
        ended = self.pending_tasks.start(lease.end(is_stale=lease.pool is not self._pooled.pool))
        self._wake(None)
        return ended

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REST, self._sweep)

    def _sweep(self) -> None:
        """End the leases that have rested for long enough; the others are looked at later."""
        self._timer = None
        before = asyncio.get_running_loop().time() - REST
        while self._idle and self._idle[0].idle_since <= before:
            self._end(self._idle.pop(0))
        if self._idle:
            self._schedule()


class LeaseBlock:
    """The block of a read, which has a lease to itself.

    It is a class, since a context manager of a generator takes ten times as long.
    """

    __slots__ = ("_lease", "_leases", "_observers")

    def __init__(self, leases: Leases, observers: Sequence[Observer]) -> None:
        self._leases = leases
        self._observers = observers

    async def __aenter__(self) -> Lease:
        self._leases.pending_tasks.begin()
        try:
            self._lease = self._leases.take_idle() or await self._leases.acquire()
        except BaseException:
            self._leases.pending_tasks.end()
            raise
        self._lease.observers = self._observers
        return self._lease

    async def __aexit__(self, *_: object) -> None:
        self._leases.release(self._lease)
        self._leases.pending_tasks.end()
