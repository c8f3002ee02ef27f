"""Messages as HTML: short ones are rendered at once, long ones in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from ..concurrency.scheduler import yield_if_due

Render: TypeAlias = Callable[[str], str]

MAX_INLINE_LENGTH = 500
"""The most characters of a message that is rendered at once, which takes a millisecond or two."""

_THREAD = ThreadPoolExecutor(1, "tallied-rendering")


async def run_in_thread(render: Render, message: str) -> str:
    """Render a message in the one thread of the process for this.

    Every further thread that computes would make the event loop wait longer for Python's global
    lock. Waiting messages are rendered in the order in which they came.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREAD, render, message)


async def render_fairly(
    render: Render,
    message: str,
    run: Callable[[Render, str], Awaitable[str]] = run_in_thread,
) -> str:
    """Render a message without keeping the event loop from other requests.

    :param run: runs what takes long, which may be some tenths of a second.
    """
    if not message:
        return ""  # Of a comment that is deleted, or hidden.
    if len(message) > MAX_INLINE_LENGTH:
        return await run(render, message)
    await yield_if_due()
    return render(message)
