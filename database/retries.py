"""Retries of a unit of work or a query, when the database asks for it or was lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from .failures import CONFLICT, Failure, Repeat, classify, translate
from .unit_of_work import Repeated

R = TypeVar("R")
T = TypeVar("T")


class Retries:
    """The remaining attempts and patience of one unit of work or query.

    :param attempts: how often it is run, at most; an outage is waited for as long as `patience`,
        unless there is but one attempt.
    :param patience: seconds.
    :param is_sqlite: whether a conflict has kept the unit waiting for as long as it may already.
    :param began: when the first attempt began, by :func:`time.monotonic`; by default, now.
    """

    def __init__(
        self, attempts: int, patience: float, *, is_sqlite: bool, began: float | None = None
    ) -> None:
        self._attempts = attempts
        self._deadline = (time.monotonic() if began is None else began) + patience
        self._is_sqlite = is_sqlite
        self.failed = 0
        """How many attempts have failed."""

    @property
    def may_repeat(self) -> bool:
        """Return whether a unit whose rows exist already may run again to look first."""
        return not self.failed and self._attempts > 1

    async def read(
        self,
        open: Callable[[], AbstractAsyncContextManager[R]],
        query: Callable[[R], Awaitable[T]],
    ) -> T:
        """Return what `query` reads by a reader of the block that `open` returns."""
        while True:
            try:
                async with open() as reader:
                    return await query(reader)
            except Exception as error:
                await self.wait(error)

    async def wait(self, error: Exception) -> None:
        """Wait until what has failed with `error` may be run again.

        :raises Busy: or :class:`~tallied.errors.Unavailable`, where it may not.
        :raises Exception: `error`, where the database has not failed.
        """
        failure = CONFLICT if isinstance(error, Repeated) else classify(error)
        if failure is None:
            raise error
        self.failed += 1
        if not self._has_time(failure):
            raise translate(failure, error) from error
        await asyncio.sleep(random.uniform(0, 0.01 * 2 ** min(self.failed, 6)))

    def _has_time(self, failure: Failure) -> bool:
        in_time = time.monotonic() < self._deadline
        if self._attempts == 1 or failure.repeat is Repeat.NEVER:
            return False
        if failure.repeat is Repeat.CONFLICT:
            # PostgreSQL made this unit give way to others, and it may be quick the next time;
            # SQLite has kept it waiting for as long as it may.
            return self.failed < self._attempts and (in_time or not self._is_sqlite)
        return self.failed == 1 or (failure.repeat is Repeat.OUTAGE and in_time)
