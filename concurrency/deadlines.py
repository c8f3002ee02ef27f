"""Deadlines of work that mostly does not wait at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Overdue(TimeoutError):
    """Work has not ended in time; a TimeoutError of its own is no such error."""


class Deadline:
    """The end of the current task's time, at which its work is cancelled.

    It does what :class:`asyncio.Timeout` does, in a fifth of its time. Its timer is set again once
    it is over, as most deadlines that are moved to a later time are met.

    :param seconds: the time from now on.
    """

    __slots__ = (
        "_cancelling",
        "_handle",
        "_has_ended",
        "_loop",
        "_task",
        "_timer_time",
        "is_over",
        "when",
    )

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._handle: asyncio.TimerHandle | None = None
        self._has_ended = False
        self.is_over = False
        """Whether the work has been cancelled at the deadline."""
        self.when: float | None = None
        """The time of the event loop at which it is; None without one."""
        self.move(self._loop.time() + seconds)

    def move(self, when: float | None) -> None:
        """Set another time, or none."""
        if self.is_over or self._has_ended:
            return
        self.when = when
        if when is None or (self._handle is not None and self._timer_time <= when):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._set_timer(when)

    def pause(self) -> DeadlinePause:
        """Return a block in which the time stops."""
        return DeadlinePause(self, self._loop.time)

    def _set_timer(self, when: float) -> None:
        self._timer_time = when
        self._handle = self._loop.call_at(when, self._expire)

    def expire_soon(self) -> None:
        """Cancel the work as if its time were over, but not in the midst of a step of it."""
        self.move(self._loop.time())

    def _expire(self) -> None:
        self._handle = None
        if self.when is None:
            return
        if self.when > self._timer_time:
            self._set_timer(self.when)
            return
        self.is_over = True
        self._task.cancel()

    def end(self) -> bool:
        """End it with the work, and return whether the task has been cancelled by it alone."""
        self._has_ended = True
        if self._handle is not None:
            self._handle.cancel()
        return self.is_over and self._task.uncancel() <= self._cancelling


class DeadlinePause:
    """A block in which the time of a deadline stops, unless it is given another one there."""

    __slots__ = ("_began", "_deadline", "_now", "_when")

    def __init__(self, deadline: Deadline, now: Callable[[], float]) -> None:
        self._deadline = deadline
        self._now = now

    def __enter__(self) -> None:
        self._when, self._began = self._deadline.when, self._now()
        self._deadline.move(None)

    def __exit__(self, *_: object) -> None:
        if self._when is not None and self._deadline.when is None:
            self._deadline.move(self._when + self._now() - self._began)


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which must end in time.

    :raises Overdue: where it has not ended in time.
    """
    deadline, is_overdue = Deadline(seconds), False
    try:
        try:
            return await work
        finally:
            is_overdue = deadline.end()
    except asyncio.CancelledError as error:
        if is_overdue:
            raise Overdue from error
        raise
