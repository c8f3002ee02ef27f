"""The type Revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from ...execution.context import Context
from ...execution.field_declarations import LoadedField
from ...resolvers.pagination.arguments import Record
from ...resolvers.rendering import render_fairly
from ...resolvers.revisions import ReadRevision, read_revisions
from .author import Author
from .author_counts import read_disclosed


@strawberry.type(description="A revision of the message of a comment that was edited.")
class Revision:
    number: int = strawberry.field(
        description="The number of the revision: 1 for the original. Numbers are left out where "
        "edits of the same person follow each other within a minute."
    )
    message: str = strawberry.field(description="The text, as it was written.")
    message_html: str = strawberry.field(
        description="The text as safe HTML, like Comment.messageHtml."
    )
    word_count: int = strawberry.field(description="The number of words in the message.")
    edited_at: datetime = strawberry.field(
        description="When the revision was written. For the original, when the comment was created."
    )
    editor: Author | None = strawberry.field(
        description="The author who has written it. Null for a guest and for the host, and if the "
        "author has been deleted."
    )


async def _load_revisions(
    context: Context, ids: Sequence[UUID], _: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[Revision]]:
    access = await context.load_access()
    context.size.require_room()
    read = await context.read_rows(lambda reader: read_revisions(reader, access, ids))
    context.size.read(sum(len(row.message) for rows in read.values() for row in rows))
    records = (row.editor for rows in read.values() for row in rows)
    editors = await read_disclosed(context, records, names, "editor")
    return {
        id: [await _revision(context, row, names, editors) for row in rows]
        for id, rows in read.items()
    }


async def _revision(
    context: Context, row: ReadRevision, names: frozenset[str], editors: Mapping[UUID, Record]
) -> Revision:
    html = ""
    if "message_html" in names:
        html = await render_fairly(context.rules.render, row.message, context.run_in_thread)
    return Revision(
        number=row.number,
        message=row.message,
        message_html=html,
        word_count=row.word_count,
        edited_at=row.edited_at,
        editor=None if row.editor is None else Author.from_record(editors[row.editor["id"]]),
    )


REVISIONS = LoadedField(_load_revisions)
