"""What a viewer has not read of a thread, as fields of it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ...execution.context import Context
from ...execution.field_declarations import LoadedField, LoadedRowField
from ...resolvers.unread import count_unread, read_unread
from ...resolvers.view_types import Unread

WITH_FIRST = frozenset({"first_unread"})
"""The names of the requested fields where the first unread comments may be requested, too."""


def _key(context: Context, ids: Sequence[Any]) -> Hashable:
    return ("unread", context.changes, frozenset(ids))


async def _load(context: Context, ids: Sequence[UUID]) -> Mapping[UUID, Unread]:
    """Return what is unread of each thread; both fields of one page share a statement."""
    viewer = context.viewer
    task: asyncio.Future[Mapping[UUID, Unread]] = context.cached(
        _key(context, ids),
        lambda: asyncio.ensure_future(
            context.read_rows(lambda reader: read_unread(reader, viewer, ids))
        ),
    )
    return await task


async def _load_counts(
    context: Context, ids: Sequence[Any], arguments: Any, names: frozenset[str]
) -> Mapping[Any, Sequence[int]]:
    # A plan has loaded the first ones before, if they are requested.
    if names == WITH_FIRST or _key(context, ids) in context.cache:
        return {id: [unread.count] for id, unread in (await _load(context, ids)).items()}
    viewer = context.viewer
    counts = await context.read_rows(lambda reader: count_unread(reader, viewer, ids))
    return {id: [count] for id, count in counts.items()}


async def _load_first(context: Context, ids: Sequence[UUID]) -> Mapping[UUID, UUID | None]:
    return {id: unread.first_id for id, unread in (await _load(context, ids)).items()}


UNREAD_COUNT = LoadedField(_load_counts, takes_stored=True)
FIRST_UNREAD = LoadedRowField("Comment", _load_first)
