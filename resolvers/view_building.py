"""The views of one viewer, from the rows that were read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..database.row_reader import EngineReader, RowReader
from ..host.access import Access
from ..host.policy import COMMENT_COLUMNS, ThreadContext
from ..models import Author, Base, Comment, Thread
from ..models.comment import DELETED
from .authors import with_author
from .pagination.arguments import Record, RequestedFields, RowPage
from .queries import read_many
from .rendering import render_fairly
from .rows import comment_context, thread_context
from .validation import expect_type
from .view_types import CommentView, ThreadView, View, ViewPage

ReadConnection: TypeAlias = AsyncConnection | AsyncSession

MAX_PAGE_SIZE = 1000
"""The maximum number of rows on a page."""


def _shared_columns(view: type[View], model: type[Base]) -> frozenset[str]:
    """Return the columns of a model that its view has unchanged, under the same names."""
    return frozenset(inspect(model).column_attrs.keys()).intersection(
        field.name for field in fields(view)
    )


THREAD_VIEW_COLUMNS = _shared_columns(ThreadView, Thread)
_SHOWN_COLUMNS = _shared_columns(CommentView, Comment) - {"author_name"}  # that of a guest only
COMMENT_VIEW_COLUMNS = _SHOWN_COLUMNS.union(
    COMMENT_COLUMNS, ["author_name", "placeholder", "shown"]
)
COMMENT_VIEW_FIELDS = RequestedFields(COMMENT_VIEW_COLUMNS, True, True, True)


async def read_names(reader: RowReader, rows: Collection[Record]) -> Mapping[UUID, str | None]:
    """Return the names of the rows' authors, by one statement if there are any."""
    ids = {row["author_id"] for row in rows} - {None}
    authors = await read_many(reader, Author, ids, ("name",)) if ids else {}
    return {id: row["name"] for id, row in authors.items()}


def thread_view(
    access: Access, row: Record, names: Mapping[UUID, str | None], cursor: str = ""
) -> ThreadView:
    """Return a thread as the viewer may see it."""
    context = thread_context(row)
    return ThreadView(
        **{name: row[name] for name in THREAD_VIEW_COLUMNS},
        author_name=names.get(row["author_id"]),
        cursor=cursor,
        viewer_can_comment=context.locked_at is None and access.may("may_comment", context),
        viewer_can_rename=access.may("may_rename", context),
        viewer_can_lock=access.may("may_lock", context),
        viewer_can_delete=access.may("may_delete_thread", context),
    )


async def comment_view(
    access: Access,
    row: Record,
    thread: ThreadContext,
    names: Mapping[UUID, str | None],
    cursor: str = "",
) -> CommentView:
    """Return a comment as the viewer may see it."""
    context = comment_context(row, thread)
    return CommentView(
        **{name: row[name] for name in _SHOWN_COLUMNS},
        is_published=bool(row["shown"]),
        is_deleted=row["status"] == DELETED,
        author_name=_author_name(access, row, names),
        message_html=await render_fairly(access.rules.render, row["message"]),
        cursor=cursor,
        viewer_can_reply=bool(row["shown"])
        and thread.locked_at is None
        and access.may("may_reply", context),
        viewer_can_edit=access.may("may_edit", context),
        viewer_can_move=access.may("may_move", context),
        viewer_can_delete=access.may("may_delete", context),
        viewer_can_restore=access.rules.is_restorable(row["deleted_at"], row["deleted_by"])
        and access.may("may_restore", context),
    )


async def view_page(
    access: Access, page: RowPage, thread: ThreadContext, names: Mapping[UUID, str | None]
) -> ViewPage[CommentView]:
    """Return a page of a thread's comments as the viewer may see them."""
    nodes = [
        await comment_view(access, row, thread, names, cursor)
        for row, cursor in zip(page.rows, page.cursors, strict=True)
    ]
    return ViewPage(nodes=nodes, has_previous_page=page.has_previous, has_next_page=page.has_next)


def _author_name(access: Access, row: Record, names: Mapping[UUID, str | None]) -> str | None:
    if row["author_id"] in names:
        return names[row["author_id"]]
    name: str | None = row["author_name"]
    is_known = name is not None or row["placeholder"]
    return name if is_known else access.rules.deleted_author()


async def begin(connection: ReadConnection, access: Access) -> tuple[RowReader, Access]:
    """Return a reader of a host's connection, and the access with the viewer's author."""
    expect_type(Access, access=access)
    return EngineReader(connection), await with_author(connection, access)
