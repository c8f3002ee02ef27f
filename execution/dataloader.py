"""Loading what siblings ask for in one statement.

Strawberry's DataLoader asks as soon as the event loop comes round. Siblings that begin
in turns are not there by then, and would cost more statements the busier the server is;
here a statement waits for whatever the operation has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain, islice
from typing import Generic, TypeVar

from ..concurrency.scheduler import RELEASED, current_scheduler

K = TypeVar("K")
T = TypeVar("T")


class DataLoader(Generic[K, T]):
    """What belongs to keys, each loaded once, and many at a time.

    :param load: gives what belongs to keys, in their order.
    :param max_batch_size: how many keys it is asked for at once.
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
        """What belongs to `key`, once its siblings have asked, too."""
        # A future for each that asks, though many ask for the same: so they go on in turns.
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
        """Load one batch after the other, for one operation has no need of many connections."""
        waiting: list[tuple[asyncio.Future[T], T]] = []
        try:
            while batches:
                waiting += await self._fetch_batch(batches.pop(0))
        except BaseException as error:
            for key in chain.from_iterable(batches):
                self._fail(key, error)
            raise
        await self._hand_out(waiting)

    async def _fetch_batch(self, keys: list[K]) -> list[tuple[asyncio.Future[T], T]]:
        """What waits for these keys, with what belongs to them."""
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

    async def _hand_out(self, waiting: list[tuple[asyncio.Future[T], T]]) -> None:
        # Whoever has waited goes on in turns, and may ask for more together with the others.
        self._scheduler.expect(self)
        try:
            for number, (future, value) in enumerate(waiting, 1):
                if not future.done():
                    future.set_result(value)
                if number % RELEASED == 0:
                    await asyncio.sleep(0)
                    await self._scheduler.take()
        finally:
            self._scheduler.expected(self)

    def _fail(self, key: K, error: BaseException) -> None:
        for future in self._loading.pop(key):
            if future.done():
                continue
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.cancel()
