"""The type WithdrawnText."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import strawberry

from ...execution.context import Context
from ...execution.field_declarations import LoadedField
from ...resolvers.pagination.arguments import Record
from ...resolvers.rendering import render_fairly
from ...resolvers.withdrawn_texts import ReadText, read_withdrawn_texts
from .author import Author
from .author_counts import read_disclosed


@strawberry.type(description="What a hidden or deleted comment with replies said.")
class WithdrawnText:
    message: str = strawberry.field(description="The text, as it was written.")
    message_html: str = strawberry.field(
        description="The text as safe HTML, like Comment.messageHtml."
    )
    author_name: str | None = strawberry.field(
        description="The name of the person who wrote it, like Comment.authorName."
    )
    author: Author | None = strawberry.field(
        description="The author who wrote it. Null for a guest, and if the author has been deleted."
    )


async def _load_texts(
    context: Context, ids: Sequence[UUID], _: Any, names: frozenset[str]
) -> Mapping[UUID, Sequence[WithdrawnText]]:
    access = await context.load_access()
    context.size.require_room()
    read = await context.read_rows(lambda reader: read_withdrawn_texts(reader, access, ids))
    context.size.read(sum(len(text.message) for text in read.values()))
    records = (text.author for text in read.values())
    authors = await read_disclosed(context, records, names, "author")
    return {id: [await _withdrawn_text(context, text, names, authors)] for id, text in read.items()}


async def _withdrawn_text(
    context: Context, text: ReadText, names: frozenset[str], authors: Mapping[UUID, Record]
) -> WithdrawnText:
    html = ""
    if "message_html" in names:
        html = await render_fairly(context.rules.render, text.message, context.run_in_thread)
    return WithdrawnText(
        message=text.message,
        message_html=html,
        author_name=text.name(context.rules),
        author=None if text.author is None else Author.from_record(authors[text.author["id"]]),
    )


WITHDRAWN_TEXT = LoadedField(_load_texts)
