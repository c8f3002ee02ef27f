"""The loads of the comments around others, each by one statement for all siblings."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ..resolvers.pagination.arguments import Record
from ..resolvers.pagination.surroundings import Place
from ..resolvers.surroundings import Surroundings, read_ancestors, read_surroundings
from .context import MAX_BATCH_SIZE, MAX_MESSAGES, Context


def most_lines(depth: int) -> int:
    """Return for how many comments one statement reads the messages of all those above them.

    :param depth: the greatest depth of a reply.
    """
    return min(MAX_BATCH_SIZE, MAX_MESSAGES // max(1, depth))


async def load_ancestors(
    context: Context, parent_id: UUID | None, columns: frozenset[str]
) -> Sequence[Record]:
    """Return the comments above another, the one at the top level first.

    :param parent_id: the one directly above it, if there is any.
    """
    if parent_id is None:
        return ()

    async def load(ids: list[UUID]) -> list[Sequence[Record]]:
        context.size.require_room()
        lines = await context.read_rows(lambda reader: read_ancestors(reader, set(ids), columns))
        if "message" in columns:
            rows = {row["id"]: row for line in lines.values() for row in line}
            context.size.read(sum(len(row["message"]) for row in rows.values()))
        return [lines[id] for id in ids]

    keys = most_lines(context.settings.reply_depth) if "message" in columns else MAX_BATCH_SIZE
    return await context.loader(("ancestors", columns), load, keys).load(parent_id)


async def load_surroundings(
    context: Context, thread_id: UUID, place: Place, columns: frozenset[str]
) -> Surroundings | None:
    """Return a comment with its surroundings, or None if it is not in that thread."""

    async def load(ids: list[UUID]) -> list[Surroundings | None]:
        context.size.require_room()
        hidden = context.sees_hidden
        read = await context.read_rows(
            lambda reader: read_surroundings(reader, set(ids), place, columns, with_hidden=hidden)
        )
        if read is not None and "message" in columns:
            rows = (*read.ancestors, *read.siblings.rows)
            context.size.read(sum(len(row["message"]) for row in rows))
        return [read if read is not None and read.thread_id == id else None for id in ids]

    return await context.loader(("surroundings", place, columns), load).load(thread_id)
