"""Deadlines that are moved and paused."""

from __future__ import annotations

import asyncio

import pytest

from tallied.concurrency.deadlines import Deadline

SHORT, LONG = 0.02, 0.1
"""Seconds until a deadline, and of a wait that it ends in the midst of."""


async def wait(seconds: float) -> None:
    """Wait, and show by an error how a cancellation ends it."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def test_passed_deadline_cancels_the_work() -> None:
    deadline = Deadline(SHORT)
    with pytest.raises(TimeoutError):
        await wait(LONG)
    assert deadline.end()


async def test_deadline_moved_later_is_met_later() -> None:
    deadline, now = Deadline(SHORT), asyncio.get_running_loop().time()
    deadline.move(now + LONG)
    await wait(2 * SHORT)
    with pytest.raises(TimeoutError):
        await wait(LONG)
    assert deadline.end()
    assert asyncio.get_running_loop().time() >= now + LONG - 0.001


async def test_deadline_moved_earlier_is_met_earlier() -> None:
    deadline = Deadline(60)
    deadline.expire_soon()
    with pytest.raises(TimeoutError):
        await wait(LONG)
    assert deadline.end()


async def test_deadline_without_a_time_cancels_nothing() -> None:
    deadline = Deadline(SHORT)
    deadline.move(None)
    await wait(2 * SHORT)
    deadline.expire_soon()
    with pytest.raises(TimeoutError):
        await wait(LONG)
    assert deadline.end()


async def test_paused_time_is_added() -> None:
    deadline, began = Deadline(LONG), asyncio.get_running_loop().time()
    with deadline.pause():
        await wait(1.5 * LONG)
    paused = asyncio.get_running_loop().time() - began
    assert deadline.when == pytest.approx(began + LONG + paused, abs=0.01)
    with pytest.raises(TimeoutError):
        await wait(2 * LONG)
    assert deadline.end()


async def test_deadline_moved_in_a_pause_stays_so() -> None:
    deadline = Deadline(60)
    with pytest.raises(TimeoutError), deadline.pause():
        deadline.expire_soon()
        await wait(LONG)
    assert deadline.end()


async def test_pause_after_the_end_sets_no_timer() -> None:
    deadline = Deadline(SHORT)
    with deadline.pause():
        assert not deadline.end()
    await wait(2 * SHORT)
    assert not deadline.end()
