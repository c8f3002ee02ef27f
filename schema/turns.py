"""Turns: a large answer is put together in slices, between which other requests run.

All that graphql-core does when a resolver has ended, it does at once. Where a hundred
resolvers end together, as those do that one statement has read for, the event loop would
run nothing else until all of it is done.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from weakref import WeakKeyDictionary

SLICE = 0.005
"""Seconds that answers are worked at before everything else has its turn."""


class Turns:
    """The turns of one event loop's resolvers."""

    def __init__(self) -> None:
        self._until = 0.0
        self._queue = asyncio.Lock()

    async def take(self) -> None:
        """Go on within this slice, or wait for one: first come, first served."""
        if perf_counter() < self._until and not self._queue.locked():
            return
        async with self._queue:
            await asyncio.sleep(0)
            self._until = perf_counter() + SLICE


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def take_turn() -> None:
    """Let everything else run if this loop's slice is used up."""
    loop = asyncio.get_running_loop()
    turns = _of_loops.get(loop)
    if turns is None:
        turns = _of_loops[loop] = Turns()
    await turns.take()
