"""Messages as HTML: the short ones at once, and the long ones beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..concurrency.scheduler import yield_if_due

MAX_INLINE_LENGTH = 500
"""The most characters of a message that is rendered at once; that takes a millisecond or two."""

_THREAD = ThreadPoolExecutor(1, "tallied-beside")


async def run_in_thread(render: Callable[[str], str], message: str) -> str:
    """Render in the process's thread for that.

    In one thread, since each more that computes makes the event loop wait for Python's
    lock as much longer. It goes on with whichever has asked for it next.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREAD, render, message)


async def render_fairly(render: Callable[[str], str], message: str) -> str:
    """The message's HTML, rendered so that others are answered meanwhile."""
    if len(message) > MAX_INLINE_LENGTH:
        return await run_in_thread(render, message)
    await yield_if_due()
    return render(message)
