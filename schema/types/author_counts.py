"""The numbers of an author, as fields of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ...execution.context import Context
from ...execution.field_declarations import LoadedField
from ...resolvers.author_counts import AuthorCounts, read_author_counts


async def _load(context: Context, ids: Sequence[UUID]) -> Mapping[UUID, AuthorCounts]:
    """Return the numbers of each author, or none if the viewer may read every thread.

    Both fields of one page share a statement.
    """
    condition = await context.read_condition()
    if condition is None:
        return {}
    task: asyncio.Future[Mapping[UUID, AuthorCounts]] = context.cached(
        ("author counts", context.changes, frozenset(ids)),
        lambda: asyncio.ensure_future(
            context.read_rows(lambda reader: read_author_counts(reader, condition, ids))
        ),
    )
    return await task


async def _load_comments(
    context: Context, ids: Sequence[UUID], arguments: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[int]]:
    return {id: [counts.comments] for id, counts in (await _load(context, ids)).items()}


async def _load_words(
    context: Context, ids: Sequence[UUID], arguments: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[int]]:
    return {id: [counts.words] for id, counts in (await _load(context, ids)).items()}


COMMENT_COUNT = LoadedField(_load_comments, column="comment_count")
WORD_COUNT = LoadedField(_load_words, column="word_count")
