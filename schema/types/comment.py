"""The type Comment."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Self, cast

import strawberry
from strawberry.types.lazy_type import LazyType

from ...errors import NotFound
from ...execution.requested_fields import Info
from ...host.policy import COMMENT_COLUMNS, CommentAction, CommentContext, ThreadContext
from ...resolvers.pagination.arguments import Record
from ...resolvers.rendering import render_fairly
from ..fields import column, field
from ..nodes import Node
from .author import Author, load_author
from .row import Row, column_value

AUTHOR_NAME = frozenset({"name"})

THREAD: LazyType[Any, Any] = LazyType("Thread", f"{__package__}.thread")
"""The type Thread, by its name: its module imports this one."""


@cache
def _thread_type() -> type[Row]:
    return cast("type[Row]", THREAD.resolve_type())


@strawberry.type(description="A message in a thread.")
class Comment(Row, Node):
    message: str = column(
        "The text of the comment, as it was written. Query.limits has its maximum length."
    )
    word_count: int = column(
        "The number of words in the message. Unicode whitespace separates words: "
        "len(message.split()) in Python."
    )
    created_at: datetime = column("When the comment was created.")
    edited_at: datetime | None = column("When the message was last changed. Null if it never was.")
    parent: strawberry.Private[Record]

    @field(
        "The message as HTML, rendered from Markdown. It is safe to insert into a page unchanged.",
        columns=("message",),
    )
    async def message_html(self, info: Info) -> str:
        return await render_fairly(
            info.context.rules.render, self.value("message"), info.context.run_in_thread
        )

    @field(
        "The display name of the author, or the name that a guest gave. If the "
        "author has been deleted, it is the host's replacement, or null.",
        columns=("author_name", "author_id"),
    )
    def author_name(self, info: Info) -> str | None:
        if self.value("author_id") is not None:
            # A coroutine for the comments of authors only: the others need not wait.
            return cast("str | None", self._author_name(info))
        name: str | None = self.value("author_name")
        return info.context.rules.deleted_author() if name is None else name

    async def _author_name(self, info: Info) -> str | None:
        author = await info.context.load_author(self.value("author_id"), AUTHOR_NAME)
        name: str | None = author["name"] if author else info.context.rules.deleted_author()
        return name

    @field(
        "The author who wrote the comment. Null if a guest wrote it, or if the author "
        "has been deleted.",
        columns=("author_id",),
    )
    async def author(self, info: Info) -> Author | None:
        return await load_author(info, self.value("author_id"))

    @field(
        "Whether the viewer may edit the comment.",
        columns=COMMENT_COLUMNS,
        thread_columns=ThreadContext._fields,
    )
    async def viewer_can_edit(self, info: Info) -> bool:
        return await self._may(info, "may_edit")

    @field(
        "Whether the viewer may move the comment to another thread.",
        columns=COMMENT_COLUMNS,
        thread_columns=ThreadContext._fields,
    )
    async def viewer_can_move(self, info: Info) -> bool:
        return await self._may(info, "may_move")

    @field(
        "Whether the viewer may delete the comment.",
        columns=COMMENT_COLUMNS,
        thread_columns=ThreadContext._fields,
    )
    async def viewer_can_delete(self, info: Info) -> bool:
        return await self._may(info, "may_delete")

    async def _may(self, info: Info, action: CommentAction) -> bool:
        access = await info.context.load_access()
        if access.constant_permission is not None:
            return access.constant_permission
        thread = await self._thread_context(info)
        if thread is None:
            return False  # The thread was deleted while this was read.
        return access.may(action, CommentContext._make([*map(self.value, COMMENT_COLUMNS), thread]))

    async def _thread_context(self, info: Info) -> ThreadContext | None:
        thread: Record | None = self.parent
        if not self.parent.keys() >= frozenset(ThreadContext._fields):
            columns = frozenset(ThreadContext._fields)
            thread = await info.context.load_thread(self.value("thread_id"), columns)
        if thread is None:
            return None
        return ThreadContext(*(column_value(thread, name) for name in ThreadContext._fields))

    @field(
        "The thread that the comment is in.",
        columns=("thread_id",),
        graphql_type=THREAD,
    )
    async def thread(self, info: Info) -> Row:
        columns, record = info.columns("Thread"), self.parent
        if not columns <= record.keys():
            loaded = await info.context.load_thread(record["id"], columns)
            if loaded is None:
                raise NotFound("The comment's thread was deleted while it was read; read it again.")
            record = loaded
        return _thread_type().from_record(record)

    @classmethod
    def from_record(cls, record: Record, thread: Record | None = None) -> Self:
        """Return a comment with the columns of `record`, and those that are known of its thread."""
        comment = super().from_record(record)
        comment.parent = thread or {"id": record.get("thread_id")}
        return comment
