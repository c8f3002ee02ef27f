"""The type Thread."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry import UNSET

from ...concurrency.scheduler import yield_if_due
from ...execution.requested_fields import Info
from ...host.policy import ThreadAction, ThreadContext
from ...resolvers.pagination.arguments import RequestedFields, RowPage, Window
from ...resolvers.pagination.orders import COMMENTS
from ...resolvers.validation import TITLE_LENGTH
from ..arguments import (
    DEFAULT_COMMENT_ORDER,
    After,
    Before,
    CommentFilterBy,
    CommentOrderBy,
    First,
    Last,
    read_filter,
    read_order,
    read_page_arguments,
)
from ..connections import Connection
from ..fields import column, field
from ..nodes import Node
from ..scalars import SafeInt
from .author import Author, load_author
from .comment import Comment
from .row import Row
from .target import ThreadTarget

POLICY_COLUMNS = ThreadContext._fields
"""The columns by which a policy decides."""


@strawberry.type(description="A discussion, with a title and comments.")
class Thread(Row, Node):
    title: str = column(f"The title: one line of 1 to {TITLE_LENGTH} characters.")
    word_count: SafeInt = column(
        "The number of words in all comments of the thread. Unicode whitespace "
        "separates words: len(message.split()) in Python."
    )
    comment_count: SafeInt = column("The number of comments in the thread.")
    last_comment_at: datetime | None = column(
        "When the latest comment was created. Null if the thread has no comments."
    )
    created_at: datetime = column("When the thread was created.")
    updated_at: datetime = column(
        "When the thread was created or last renamed. Comments do not change it."
    )
    locked_at: datetime | None = column("When the thread was locked. Null if it accepts comments.")

    @field(
        "The author who created the thread. Null if a guest created it, or if the author "
        "has been deleted.",
        columns=("author_id",),
    )
    async def author(self, info: Info) -> Author | None:
        return await load_author(info, self.value("author_id"))

    @field(
        "The object of the host that the thread is about. Null if it is about none.",
        columns=("target_type", "target_id"),
    )
    def target(self) -> ThreadTarget | None:
        type_, key = self.value("target_type"), self.value("target_id")
        return None if type_ is None else ThreadTarget(type=type_, key=key)

    @field(
        "Whether the viewer may add a comment to the thread. False if it is locked.",
        columns=POLICY_COLUMNS,
    )
    async def viewer_can_comment(self, info: Info) -> bool:
        return self.value("locked_at") is None and await self._may(info, "may_comment")

    @field("Whether the viewer may rename the thread.", columns=POLICY_COLUMNS)
    async def viewer_can_rename(self, info: Info) -> bool:
        return await self._may(info, "may_rename")

    @field("Whether the viewer may lock and unlock the thread.", columns=POLICY_COLUMNS)
    async def viewer_can_lock(self, info: Info) -> bool:
        return await self._may(info, "may_lock")

    @field("Whether the viewer may delete the thread and its comments.", columns=POLICY_COLUMNS)
    async def viewer_can_delete(self, info: Info) -> bool:
        return await self._may(info, "may_delete_thread")

    async def _may(self, info: Info, action: ThreadAction) -> bool:
        context = ThreadContext(*map(self.value, ThreadContext._fields))
        return (await info.context.load_access()).may(action, context)

    @field("A page of the thread's comments.", columns=("id",))
    async def comments(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER,
        filter_by: CommentFilterBy = UNSET,
    ) -> Connection[Comment]:
        def read() -> tuple[Window, RequestedFields | None]:
            order = read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER)
            filter, limit = read_filter(filter_by), info.context.settings.page_size
            arguments = read_page_arguments(first, last, after, before)
            window = arguments.window(order, limit, filter)
            return window, info.page("Comment")

        window, requested = info.cached(read)
        page, total = RowPage(), self.record.get("comment_count")
        if requested:
            page = await info.context.load_comments(self.record["id"], window, requested)
        if window.filter and "totalCount" in info.fields("CommentConnection"):
            total = await info.context.load_comment_count(self.record["id"], window.filter)
        await yield_if_due()
        return Connection.from_page(
            page, total, lambda record: Comment.from_record(record, self.record)
        )
