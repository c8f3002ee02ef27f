"""Waiting until a condition is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any


def wait_until(is_true: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition is true, or fail."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def eventually(condition: Callable[[], Any], within: float = 20.0) -> None:
    """Wait until a condition is true, which may be a coroutine's.

    :raises TimeoutError: where it is not in time.
    """
    async with asyncio.timeout(within):
        while not (await value if isawaitable(value := condition()) else value):
            await asyncio.sleep(0.01)
