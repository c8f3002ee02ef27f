"""Tasks that have begun and not ended, to wait for before something is closed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")


class PendingTasks:
    """The tasks of one database: a connection returned to a closed pool is never closed.

    It would be left to the garbage collector, which cannot wait for the driver's thread.
    """

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[Any]] = set()
        self._blocks = 0
        self._blocks_ended: asyncio.Future[None] | None = None

    @contextmanager
    def block(self) -> Iterator[None]:
        """Count the block as pending until it ends, even if its task is cancelled."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count something as pending until :meth:`end`, as :meth:`block` does."""
        self._blocks += 1

    def end(self) -> None:
        """End what :meth:`begin` has counted."""
        self._blocks -= 1
        ended = self._blocks_ended
        if ended is not None and not self._blocks:
            self._futures.discard(ended)
            self._blocks_ended = None
            if not ended.done():
                ended.set_result(None)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run it in a task of its own."""
        task = asyncio.ensure_future(work)
        self._futures.add(task)
        task.add_done_callback(self._futures.discard)
        return task

    async def run_shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it; a cancellation of the waiting task does not end it."""
        return await asyncio.shield(self.start(work))

    async def opened(
        self, opening: Coroutine[Any, Any, T], close: Callable[[T], Awaitable[None]]
    ) -> T:
        """Open something; if the task is cancelled meanwhile, close it once it is open."""
        task = self.start(opening)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.start(_close_once_open(task, close))
            raise

    async def wait(self, timeout: float) -> None:
        """Wait for all tasks, and those that they begin, or until the time is over."""
        deadline = time.monotonic() + timeout
        while (self._futures or self._blocks) and (remaining := deadline - time.monotonic()) > 0:
            # Blocks are many and short, so only what waits for them has a future.
            if self._blocks and self._blocks_ended is None:
                self._blocks_ended = asyncio.get_running_loop().create_future()
                self._futures.add(self._blocks_ended)
            await asyncio.wait(self._futures, timeout=remaining)


async def run_bounded(
    work: Coroutine[Any, Any, T], seconds: float | None, abort: Callable[[], None]
) -> T:
    """Run `work`; if it has not ended in time, call `abort`, which makes it end.

    :param seconds: how long it may take until `abort` is called; None for no bound.
    :raises TimeoutError: where it has not ended after twice as long; it is cancelled then.
    """
    if seconds is None:
        return await work
    handle = asyncio.get_running_loop().call_later(seconds, abort)
    try:
        async with asyncio.timeout(2 * seconds):
            return await work
    finally:
        handle.cancel()


async def _close_once_open(
    opening: asyncio.Future[T], close: Callable[[T], Awaitable[None]]
) -> None:
    with suppress(SQLAlchemyError, sqlite3.Error):
        await close(await opening)
