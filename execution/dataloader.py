"""A data loader, which loads the keys of sibling fields in one batch.

Strawberry's DataLoader loads in the next iteration of the event loop. Siblings that the scheduler
starts in turns have not all asked by then, so a busy server would run more statements. This loader
waits for all that the operation has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain, islice
from typing import Generic, TypeVar

from ..concurrency.scheduler import WOKEN_AT_ONCE, current_scheduler

K = TypeVar("K")
T = TypeVar("T")


class DataLoader(Generic[K, T]):
    """Loads values by key, each once and many at a time.

    :param load: returns the values of keys, in their order.
    :param max_batch_size: the most keys of one call of `load`.
    """

    def __init__(
        self, load: Callable[[list[K]], Awaitable[list[T]]], *, max_batch_size: int
    ) -> None:
        self._load = load
        self._max_batch_size = max_batch_size
        self._scheduler = current_scheduler()
        self._pending: dict[K, list[asyncio.Future[T]]] = {}
        self._loading: dict[K, list[asyncio.Future[T]]] = {}
        self._loaded: dict[K, T] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, key: K) -> asyncio.Future[T]:
        """Return a future of the value of `key`, which is loaded with those of its siblings."""
        # Each caller gets its own future, also for the same key, so that they resume in turns.
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if key in self._loaded:
            future.set_result(self._loaded[key])
        elif key in self._loading:
            self._loading[key].append(future)
        else:
            if not self._pending:
                self._scheduler.when_idle(self._begin)
            self._pending.setdefault(key, []).append(future)
        return future

    def _begin(self) -> None:
        self._loading.update(self._pending)
        keys, self._pending = iter(self._pending), {}
        batches = list(iter(lambda: list(islice(keys, self._max_batch_size)), []))
        task = asyncio.ensure_future(self._fetch(batches))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, batches: list[list[K]]) -> None:
        """Load one batch after the other: one operation does not need several connections."""
        waiting: list[tuple[asyncio.Future[T], T]] = []
        try:
            while batches:
                waiting += await self._fetch_batch(batches.pop(0))
        except BaseException as error:
            for key in chain.from_iterable(batches):
                self._fail(key, error)
            raise
        await self._resolve(waiting)

    async def _fetch_batch(self, keys: list[K]) -> list[tuple[asyncio.Future[T], T]]:
        """Load a batch, and return the waiting futures with their values."""
        try:
            loaded = dict(zip(keys, await self._load(keys), strict=True))
        except BaseException as error:
            for key in keys:
                self._fail(key, error)
            if not isinstance(error, Exception):
                raise
            return []
        self._loaded.update(loaded)
        return [(future, loaded[key]) for key in keys for future in self._loading.pop(key)]

    async def _resolve(self, waiting: list[tuple[asyncio.Future[T], T]]) -> None:
        # The waiting fields resume in turns, and their next keys form a batch again.
        self._scheduler.expect(self)
        try:
            for number, (future, value) in enumerate(waiting, 1):
                if not future.done():
                    future.set_result(value)
                if number % WOKEN_AT_ONCE == 0:
                    await asyncio.sleep(0)
                    await self._scheduler.take()
        finally:
            self._scheduler.settle(self)

    def _fail(self, key: K, error: BaseException) -> None:
        for future in self._loading.pop(key):
            if future.done():
                continue
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.cancel()
