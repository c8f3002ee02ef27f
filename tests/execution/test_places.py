"""Places are handed on in the order of the waiting tasks, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from tallied.concurrency.places import Places


async def test_place_goes_to_task_that_waited_longest() -> None:
    places = Places(1)
    order: list[int] = []
    places.take()

    async def work(number: int) -> None:
        async with places.wait():
            assert places.free == 0
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert order == []
    places.leave()
    assert places.free == 0  # It is the first waiter's already.
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert places.free == 1


@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_cancelled_waiter_loses_no_place(is_handed_over: bool) -> None:
    places = Places(1)
    places.take()

    async def work() -> None:
        async with places.wait():
            pass

    first, second = asyncio.create_task(work()), asyncio.create_task(work())
    await asyncio.sleep(0)
    if is_handed_over:
        places.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    if not is_handed_over:
        places.leave()
    await second
    assert places.free == 1


async def test_place_is_free_after_error() -> None:
    places = Places(2)
    with pytest.raises(LookupError):
        async with places.wait():
            assert places.free == 1
            raise LookupError
    assert places.free == 2
