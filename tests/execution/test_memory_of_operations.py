"""The rows of an operation are freed with it; a search for garbage in cycles comes much later."""

from __future__ import annotations

import asyncio
import gc

from support.api import Api

from tallied.resolvers.pagination.arguments import RowPage

NESTED = "{ threads(first: 2) { nodes { comments(first: 2) { nodes { message } } } } }"


def count_pages() -> int:
    return sum(type(item) is RowPage for item in gc.get_objects())


async def test_rows_are_freed_without_garbage_collection(api: Api) -> None:
    await api.thread("Engines", "a message", "another one")
    gc.freeze()  # so that only what comes is looked at
    gc.disable()
    try:
        before = count_pages()
        await api(NESTED)
        await asyncio.sleep(0)  # until the loop's call that has brought the last row is over
        assert count_pages() == before
    finally:
        gc.enable()
