"""Deadlines of work that mostly does not wait at all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Overdue(TimeoutError):
    """Work has not ended in time; a TimeoutError of its own is no such error."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which must end in time if it waits for something.

    A timeout costs more than most of that work, and so it begins only where the work waits.

    :raises Overdue: where it has not ended in time.
    """
    try:
        awaited = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    try:
        async with asyncio.timeout(seconds) as time:
            return await _Remainder(work, awaited)
    except TimeoutError as error:
        if time.expired():
            raise Overdue from error
        raise


class _Remainder(Generic[T]):
    """A coroutine that has begun, and waits for something."""

    def __init__(self, work: Coroutine[Any, Any, T], awaited: Any) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for what the coroutine waits for (PEP 380, the expansion of ``yield from``)."""
        awaited = self._awaited
        while True:
            try:
                sent = yield awaited
            except BaseException as error:
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, sent)
            try:
                awaited = step()
            except StopIteration as end:
                result: T = end.value
                return result
