"""The scheduler: a large response is built in slices, between which other tasks run.

asyncio runs all that is ready before it looks for what has come in. An operation that
reads ten thousand rows has ten thousand things ready at once, and nobody else would be
served until all of them are done. So whatever may be large takes turns: it works for a
slice of time, and then waits for another. The operations of one event loop share its
slices. Of those that wait, the one has most slices that has had fewest, so that a small one
is not behind the large ones. Nobody works before the one whose slice it is: what comes in
meanwhile would keep those waiting that have begun. The others have what is left of the slice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from operator import attrgetter
from time import perf_counter
from weakref import WeakKeyDictionary

TIME_SLICE = 0.003
"""Seconds of work on responses before other tasks run."""

WOKEN_AT_ONCE = 32
"""How many waiting tasks of an operation are woken at once; some may find the slice used up."""

PERIOD = 4
"""Of so many slices, one is for the operation that has waited longest, so that nobody starves."""

OTHERS = 16
"""How many operations are woken for what is left of a slice, with one task each."""


class Turns:
    """The slices of one event loop."""

    def __init__(self) -> None:
        self._until = 0.0
        self._waiting: list[Scheduler] = []
        self._is_first = False
        self._slices = 0

    @property
    def is_open(self) -> bool:
        """Return whether there is time left in this slice."""
        return perf_counter() < self._until

    def begin(self) -> None:
        """Open a slice at once if no task has worked for a while."""
        now = perf_counter()
        if not self._waiting and now > self._until + TIME_SLICE:
            self._until = now + TIME_SLICE

    def wait(self, scheduler: Scheduler) -> None:
        """Give an operation a slice when it is its turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        if scheduler not in self._waiting:
            self._waiting.append(scheduler)

    def goes_on(self) -> bool:
        """Return whether a task that was woken may work; the first always may, for a slice."""
        if self._is_first:
            self._is_first = False
            self._until = perf_counter() + TIME_SLICE
            return True
        return self.is_open

    def _next(self) -> None:
        self._waiting = [scheduler for scheduler in self._waiting if scheduler.queue]
        if not self._waiting:
            return
        self._slices += 1
        by_slices = sorted(self._waiting, key=attrgetter("slices"))
        scheduler = by_slices[0] if self._slices % PERIOD else self._waiting[0]
        self._waiting.remove(scheduler)
        self._waiting.append(scheduler)
        self._is_first, self._until = True, 0.0
        scheduler.slices += 1
        scheduler.release(WOKEN_AT_ONCE)
        for other in by_slices[:OTHERS]:
            if other is not scheduler:
                other.release(1)
        asyncio.get_running_loop().call_soon(self._next)


class Scheduler:
    """The turns of one operation, and the results that it still expects."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.slices = 0
        self.queue: deque[asyncio.Future[None]] = deque()
        self._pending: set[Hashable] = set()
        self._when_idle: list[Callable[[], None]] = []

    async def take(self) -> None:
        """Continue within this slice, or wait for one."""
        if self.turns.is_open:
            return
        loop = asyncio.get_running_loop()
        token = object()
        self.expect(token)
        try:
            while True:
                future = loop.create_future()
                self.queue.append(future)
                self.turns.wait(self)
                await future
                if self.turns.goes_on():
                    return
        finally:
            self.settle(token)

    def release(self, most: int) -> None:
        """Wake the next waiting tasks, so many at most."""
        woken = 0
        while self.queue and woken < most:
            future = self.queue.popleft()
            if not future.done():
                future.set_result(None)
                woken += 1

    def expect(self, token: Hashable) -> None:
        """Note an expected result, whose processing may load more rows."""
        self._pending.add(token)

    def settle(self, token: Hashable) -> None:
        """Note that a result has arrived; after the last one, run the waiting callbacks."""
        self._pending.discard(token)
        if not self._pending and self._when_idle:
            asyncio.get_running_loop().call_soon(self._idle)

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call once nothing is expected, as what reads the rows that siblings ask for does."""
        self._when_idle.append(call)
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._idle)

    def _idle(self) -> None:
        if not self._pending:
            calls, self._when_idle = self._when_idle, []
            for call in calls:
                call()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
_operation: ContextVar[list[Scheduler] | None] = ContextVar("tallied_operation", default=None)
"""The scheduler of an operation, once it has one."""


def begin_operation() -> None:
    """Let the current task and the tasks that it starts share one scheduler, once they need it."""
    _operation.set([])


def new_scheduler() -> Scheduler:
    """Return a scheduler of this event loop for the current task and the tasks that it starts."""
    begin_operation()
    return current_scheduler()


def current_scheduler() -> Scheduler:
    """Return the scheduler of the current task."""
    schedulers = _operation.get()
    if schedulers is None:
        return new_scheduler()
    if not schedulers:
        schedulers.append(_create_scheduler())
    return schedulers[0]


def _create_scheduler() -> Scheduler:
    loop = asyncio.get_running_loop()
    turns = _of_loops.get(loop)
    if turns is None:
        turns = _of_loops[loop] = Turns()
    turns.begin()
    return Scheduler(turns)


async def yield_if_due() -> None:
    """Let other tasks run if this loop's slice is used up."""
    await current_scheduler().take()
