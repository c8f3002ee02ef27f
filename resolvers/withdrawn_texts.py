"""Withdrawn texts: what hidden and deleted comments with replies said, read by who may decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select

from ..database.row_reader import RowReader
from ..host.access import Access, HostRules
from ..host.policy import CommentContext
from ..models import Comment, WithdrawnText
from ..models.comment import DELETED, is_shown
from .pagination.arguments import Record
from .reaction_queries import AUTHOR_COLUMNS
from .revisions import select_texts
from .rows import split_comment_context
from .selections import table_of


class ReadText(NamedTuple):
    """A withdrawn text as it was read."""

    message: str
    author_name: str | None
    """The name that a guest gave."""
    author: Record | None
    """The author; None for a guest, and for one who was deleted."""

    def name(self, rules: HostRules) -> str | None:
        """Return the name of who wrote it, or the host's replacement for a deleted author."""
        if self.author is not None:
            name: str | None = self.author["name"]
            return name
        return rules.deleted_author() if self.author_name is None else self.author_name


async def read_withdrawn_texts(
    reader: RowReader, access: Access, ids: Sequence[UUID]
) -> Mapping[UUID, ReadText]:
    """Return the withdrawn texts of these comments that the viewer may read, by one statement.

    Those of hidden comments are for viewers who may moderate the thread, and those of deleted ones
    for viewers who may restore them.
    """
    if access.constant_permission is False:
        return {}
    statement = _select_texts(is_sqlite=reader.dialect.name == "sqlite")
    texts = {}
    for id, message, name, status, deleted_at, deleted_by, *others in await reader.select(
        statement, {"ids": ids}
    ):
        author = dict(zip(AUTHOR_COLUMNS, others, strict=False))
        comment = split_comment_context(others[len(AUTHOR_COLUMNS) :])
        if _may_read(access, comment, status, deleted_at, deleted_by):
            texts[id] = ReadText(message, name, author if author["id"] else None)
    return texts


def _may_read(
    access: Access,
    comment: CommentContext,
    former_status: str,
    deleted_at: datetime | None,
    deleted_by: str | None,
) -> bool:
    if comment.status == DELETED:
        is_restorable = access.rules.is_restorable(deleted_at, deleted_by)
        if not (is_restorable and access.may("may_restore", comment)):
            return False
        if is_shown(former_status):
            return True
    return access.may("may_moderate", comment.thread)


@cache
def _select_texts(*, is_sqlite: bool) -> Select[Any]:
    text, comment = map(table_of, (WithdrawnText, Comment))
    own = (text.c.message, text.c.author_name, text.c.status)
    deletion = (comment.c.deleted_at, comment.c.deleted_by)
    return select_texts(text, text.c.author_id, *own, *deletion, is_sqlite=is_sqlite)
