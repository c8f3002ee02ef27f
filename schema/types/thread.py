"""The type Thread."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

import strawberry
from strawberry import UNSET

from ... import models
from ...concurrency.scheduler import yield_if_due
from ...errors import BadUserInput
from ...execution.field_declarations import ConnectionField, ResolvedField
from ...execution.requested_fields import Info
from ...host.access import Access, HostRules
from ...host.policy import ThreadContext
from ...resolvers.flag_queries import read_pending
from ...resolvers.pagination.arguments import RequestedFields, RowPage, Window
from ...resolvers.pagination.orders import COMMENTS, NUMBERED_COMMENTS
from ...resolvers.queries import COMMENTS_OF_THREADS
from ...resolvers.validation import TITLE_LENGTH
from ..arguments import (
    DEFAULT_COMMENT_ORDER,
    After,
    AfterNew,
    Before,
    CommentFilterBy,
    CommentID,
    CommentOrderBy,
    First,
    FirstNew,
    Last,
    SinceSeq,
    read_window,
)
from ..connections import Connection
from ..fields import column, computed, field, load_value, related_row
from ..nodes import Node
from ..rows import Row
from ..scalars import SafeInt
from .author import Author
from .comment import Comment
from .surroundings import SURROUNDINGS, CommentSurroundings, Siblings, load_surroundings
from .target import ThreadTarget
from .unread import FIRST_UNREAD, UNREAD_COUNT, WITH_FIRST

COMMENTS_OF_THREAD = ConnectionField(
    "Comment", COMMENTS, DEFAULT_COMMENT_ORDER, COMMENTS_OF_THREADS, total="top_level_count"
)

NEW_COMMENTS = ConnectionField(
    "Comment", NUMBERED_COMMENTS, None, COMMENTS_OF_THREADS, total="comment_count"
)

FirstPending = Annotated[
    int, strawberry.argument(description="Return this number of comments at most.")
]

POLICY_COLUMNS = ThreadContext._fields
"""The columns by which a policy decides."""


@strawberry.type(description="A discussion, with a title and comments.")
class Thread(Row, Node):
    model: ClassVar = models.Thread

    title: str = column(f"The title: one line of 1 to {TITLE_LENGTH} characters.")
    word_count: SafeInt = column(
        "The number of words in all comments of the thread. Unicode whitespace "
        "separates words: len(message.split()) in Python."
    )
    comment_count: SafeInt = column("The number of comments in the thread.")
    last_seq: SafeInt = column(
        "The greatest Comment.seq that a comment of the thread was ever given. It grows with each "
        "comment that is published, and no deletion changes it."
    )

    @computed(
        "The number of comments that wait for a moderator, for viewers who may moderate the "
        "thread. Null for others.",
        "pending_count",
        *POLICY_COLUMNS,
    )
    def pending_count(access: Access, count: int, *columns: Any) -> int | None:
        return count if access.may("may_moderate", ThreadContext._make(columns)) else None

    @computed(
        "The number of comments that were flagged, and about which no moderator has decided since, "
        "for viewers who may moderate the thread. Null for others.",
        "flagged_count",
        *POLICY_COLUMNS,
    )
    def flagged_count(access: Access, count: int, *columns: Any) -> int | None:
        return count if access.may("may_moderate", ThreadContext._make(columns)) else None

    @field(
        "The viewer's own comments in the thread that wait for a moderator, oldest first. They are "
        "in no other list.",
        declaration=ResolvedField(("id",)),
    )
    async def viewer_pending_comments(self, info: Info, first: FirstPending = 20) -> list[Comment]:
        limit = info.context.settings.page_size
        if not 1 <= first <= limit:
            raise BadUserInput(f"first must be from 1 to {limit}, not {first}.", field="first")
        access = await info.context.load_access()
        author_id = None if access.viewer is None else access.viewer.author_id
        if author_id is None:
            return []
        columns = info.columns("Comment")
        rows = await info.context.read_rows(
            lambda it: read_pending(it, author_id, self.record["id"], columns, first)
        )
        return [Comment.from_record(row, {"thread": self.record}) for row in rows]

    last_comment_at: datetime | None = column(
        "When the latest comment was created. Null if the thread has no comments."
    )
    created_at: datetime = column("When the thread was created.")
    updated_at: datetime = column(
        "When the thread was created or last renamed. Comments do not change it."
    )
    locked_at: datetime | None = column("When the thread was locked. Null if it accepts comments.")

    author = related_row(
        "The author who created the thread. Null if a guest created it, or if the author "
        "has been deleted.",
        "author",
        Author | None,
    )

    @computed(
        "The object of the host that the thread is about. Null if it is about none.",
        "target_type",
        "target_id",
    )
    def target(rules: HostRules, type: str | None, key: str | None) -> ThreadTarget | None:
        return None if type is None or key is None else ThreadTarget(type=type, key=key)

    @computed(
        "Whether the viewer may add a comment to the thread. False if it is locked.",
        *POLICY_COLUMNS,
    )
    def viewer_can_comment(access: Access, *columns: Any) -> bool:
        thread = ThreadContext._make(columns)
        return thread.locked_at is None and access.may("may_comment", thread)

    @computed("Whether the viewer may rename the thread.", *POLICY_COLUMNS)
    def viewer_can_rename(access: Access, *columns: Any) -> bool:
        return access.may("may_rename", ThreadContext._make(columns))

    @computed("Whether the viewer may lock and unlock the thread.", *POLICY_COLUMNS)
    def viewer_can_lock(access: Access, *columns: Any) -> bool:
        return access.may("may_lock", ThreadContext._make(columns))

    @computed("Whether the viewer may delete the thread and its comments.", *POLICY_COLUMNS)
    def viewer_can_delete(access: Access, *columns: Any) -> bool:
        return access.may("may_delete_thread", ThreadContext._make(columns))

    @field(
        "The number of comments that the viewer has not read yet, without the viewer's own. It is "
        "counted to 100, so show 100 as 99+. Null for a guest.",
        declaration=UNREAD_COUNT,
    )
    async def unread_count(self, info: Info) -> int | None:
        count: int | None = await load_value(self, info, UNREAD_COUNT, WITH_FIRST)
        return count

    @field(
        "The first comment that the viewer has not read yet, wherever it is in the tree. Null if "
        "there is none, and for a guest.",
        declaration=FIRST_UNREAD,
    )
    async def first_unread(self, info: Info) -> Comment | None:
        key = await info.context.load_key(FIRST_UNREAD, self.value("id"))
        if key is None:
            return None
        record = await info.context.load_row(models.Comment, key, info.columns("Comment"))
        return None if record is None else Comment.from_record(record)

    @field(
        "A comment of the thread with its surroundings, as for a link to it. Null if there is no "
        "such comment in the thread.",
        declaration=SURROUNDINGS,
    )
    async def around(
        self,
        info: Info,
        comment_id: CommentID,
        siblings: Siblings = UNSET,
        order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER,
    ) -> CommentSurroundings | None:
        place = SURROUNDINGS.read(info.context, comment_id, siblings, order_by)
        return await load_surroundings(self.record, info, place)

    @field(
        "A page of the thread's comments: those at the top level, unless filterBy asks for all.",
        declaration=COMMENTS_OF_THREAD,
    )
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
            window = read_window(
                COMMENTS_OF_THREAD,
                info.context.settings.page_size,
                first,
                last,
                after,
                before,
                order_by,
                filter_by,
            )
            return window, info.page("Comment")

        return await self._read_comments(info, *info.cached(read))

    @field(
        "A page of the comments that are new since a number, at every level of the tree, in the "
        "order of Comment.seq. To go on, pass the seq of the last one: no comment is missed, and "
        "none is repeated, while others are written.",
        declaration=NEW_COMMENTS,
    )
    async def comments_since(
        self, info: Info, seq: SinceSeq, first: FirstNew = UNSET, after: AfterNew = UNSET
    ) -> Connection[Comment]:
        def read() -> tuple[Window, RequestedFields | None]:
            limit = info.context.settings.page_size
            window = read_window(NEW_COMMENTS, limit, first, after=after, seq=seq)
            return window, info.page("Comment")

        return await self._read_comments(info, *info.cached(read))

    async def _read_comments(
        self, info: Info, window: Window, requested: RequestedFields | None
    ) -> Connection[Comment]:
        info.context.require_moderation(window)
        page, total = RowPage(), self.record.get("top_level_count")
        if requested:
            page = await info.context.load_comments(self.record["id"], window, requested)
        if window.needs_count and "totalCount" in info.fields("CommentConnection"):
            total = await info.context.load_comment_count(self.record["id"], window)
        await yield_if_due()
        return Connection.from_page(
            page, total, lambda record: Comment.from_record(record, {"thread": self.record})
        )
