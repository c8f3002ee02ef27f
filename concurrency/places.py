"""Places for work, of which there is a fixed number at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """The places of one event loop; :class:`asyncio.Semaphore` needs five calls for a free one.

    :param size: how many there are.
    """

    def __init__(self, size: int) -> None:
        self.free = size
        """How many are free; none while a task waits for one."""
        self._waiters: deque[asyncio.Future[None]] = deque()

    def take(self) -> None:
        """Take a free place."""
        assert self.free
        self.free -= 1

    def leave(self) -> None:
        """Hand a place to the task that has waited longest, or free it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it in the block."""
        if self.free:
            self.take()
        else:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self.leave()
                raise
        try:
            yield
        finally:
            self.leave()
