"""What a viewer has not read of a thread, as fields of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ...execution.context import Context
from ...execution.field_declarations import LoadedField, LoadedRowField
from ...resolvers.unread import read_unread
from ...resolvers.view_types import Unread


async def _load(context: Context, ids: Sequence[UUID]) -> Mapping[UUID, Unread]:
    """Return what is unread of each thread; both fields of one page share a statement."""
    viewer = context.viewer
    task: asyncio.Future[Mapping[UUID, Unread]] = context.cached(
        ("unread", context.changes, frozenset(ids)),
        lambda: asyncio.ensure_future(
            context.read_rows(lambda reader: read_unread(reader, viewer, ids))
        ),
    )
    return await task


async def _load_counts(
    context: Context, ids: Sequence[UUID], arguments: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[int]]:
    return {id: [unread.count] for id, unread in (await _load(context, ids)).items()}


async def _load_first(context: Context, ids: Sequence[UUID]) -> Mapping[UUID, UUID | None]:
    return {id: unread.first_id for id, unread in (await _load(context, ids)).items()}


UNREAD_COUNT = LoadedField(_load_counts)
FIRST_UNREAD = LoadedRowField("Comment", _load_first)
