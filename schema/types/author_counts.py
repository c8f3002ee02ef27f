"""The numbers of an author, as fields of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ...execution.context import Context
from ...execution.field_declarations import LoadedField
from ...resolvers.author_counts import AuthorCounts, disclose, read_author_counts
from ...resolvers.pagination.arguments import Record


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


async def read_disclosed(
    context: Context, authors: Iterable[Record | None], names: frozenset[str], field: str
) -> Mapping[UUID, Record]:
    """Return authors of a loaded list by key, with the numbers that the viewer may know.

    Without requested numbers these are left out, so that none is disclosed by mistake.

    :param names: as of :attr:`.LoadedField.load`.
    :param field: the name of the field with the authors.
    """
    records = {author["id"]: author for author in authors if author is not None}
    if not records or await context.read_condition() is None:
        return records
    counts: Mapping[UUID, AuthorCounts] = {}
    if not names.isdisjoint((f"{field}.comment_count", f"{field}.word_count")):
        counts = await _load(context, list(records))
    return {id: _disclose(record, counts.get(id)) for id, record in records.items()}


def _disclose(record: Record, counts: AuthorCounts | None) -> Record:
    if counts is not None:
        return disclose(record, counts)
    hidden = ("comment_count", "word_count")
    return {name: value for name, value in record.items() if name not in hidden}


COMMENT_COUNT = LoadedField(_load_comments, column="comment_count")
WORD_COUNT = LoadedField(_load_words, column="word_count")
