"""The objects of the API. Each wraps a row, of which only what was asked for is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast
from uuid import UUID

import strawberry
from strawberry import UNSET

from ..concurrency.scheduler import yield_if_due
from ..errors import NotFound
from ..execution.requested_fields import Info
from ..host.policy import (
    COMMENT_COLUMNS,
    CommentAction,
    CommentContext,
    ThreadAction,
    ThreadContext,
)
from ..resolvers.pagination.arguments import Record, RequestedFields, RowPage, Window, read_window
from ..resolvers.pagination.orders import COMMENTS
from ..resolvers.rendering import MAX_INLINE_LENGTH
from ..resolvers.validation import TITLE_LENGTH
from .arguments import (
    DEFAULT_COMMENT_ORDER,
    After,
    Before,
    CommentFilterBy,
    CommentOrderBy,
    First,
    Last,
    read_filter,
    read_order,
    unset_to_none,
)
from .connections import Connection
from .fields import field
from .ids import encode_id
from .nodes import Node
from .scalars import SafeInt

AUTHOR_NAME = frozenset({"name"})
THREAD_FACTS = frozenset(ThreadContext._fields)


class Row:
    """What the types of rows share; not of the schema itself."""

    record: Record

    @classmethod
    def of(cls, record: Record) -> Self:
        """An object of this type that has the columns of `record`, and no others."""
        node = cls.__new__(cls)
        node.__dict__.update(record, record=record)
        if "id" in record:
            node.__dict__["id"] = encode_id(cls.__name__, record["id"])
        return node

    def value(self, column: str) -> Any:
        """What the row has there; what could not be read after a change fails where it is shown."""
        value = self.record[column]
        if isinstance(value, Exception):
            raise value
        return value


@strawberry.type(description="A signed-in person who has written a thread or a comment.")
class Author(Row, Node):
    name: str | None = strawberry.field(
        description="The display name. Null if the host supplies none."
    )
    comment_count: SafeInt = strawberry.field(description="The number of comments by the author.")
    word_count: SafeInt = strawberry.field(
        description="The number of words in all comments by the author."
    )
    created_at: datetime = strawberry.field(description="When the author first wrote something.")

    @field("Whether the viewer may delete the author.")
    async def viewer_can_delete(self, info: Info) -> bool:
        return (await info.context.access()).may_delete_author(self.record["id"])


@strawberry.type(description="The signed-in person who makes the request.")
class Viewer:
    name: str | None = strawberry.field(
        description="The display name. Null if the host supplies none."
    )
    is_moderator: bool = strawberry.field(description="Whether the viewer is a moderator.")

    @field(
        "The author of the viewer's threads and comments. Null if the viewer has written "
        "nothing yet."
    )
    async def author(self, info: Info) -> Author | None:
        viewer = (await info.context.access()).viewer
        return None if viewer is None else await load_author(info, viewer.author_id)

    @field("Whether the viewer may create a thread without a target.")
    async def can_start_thread(self, info: Info) -> bool:
        return (await info.context.access()).may_start()


@strawberry.type(
    description="An object of the host application, such as an article, that a thread is about."
)
class Target:
    type: str = strawberry.field(description="The kind of the object, as registered by the host.")
    key: str = strawberry.field(
        description="The object's id within its kind, in the host's spelling. Objects of two "
        "kinds can have the same key, so do not use it as an id in a client's cache."
    )


@strawberry.type(description="A discussion, with a title and comments.")
class Thread(Row, Node):
    title: str = strawberry.field(
        description=f"The title: one line of 1 to {TITLE_LENGTH} characters."
    )
    word_count: SafeInt = strawberry.field(
        description="The number of words in all comments of the thread. Unicode whitespace "
        "separates words: len(message.split()) in Python."
    )
    comment_count: SafeInt = strawberry.field(description="The number of comments in the thread.")
    last_comment_at: datetime | None = strawberry.field(
        description="When the latest comment was created. Null if the thread has no comments."
    )
    created_at: datetime = strawberry.field(description="When the thread was created.")
    updated_at: datetime = strawberry.field(
        description="When the thread was created or last renamed. Comments do not change it."
    )
    locked_at: datetime | None = strawberry.field(
        description="When the thread was locked. Null if it accepts comments."
    )

    @field(
        "The author who created the thread. Null if a guest created it, or if the author "
        "has been deleted."
    )
    async def author(self, info: Info) -> Author | None:
        return await load_author(info, self.value("author_id"))

    @field("The object of the host that the thread is about. Null if it is about none.")
    def target(self) -> Target | None:
        type_, key = self.value("target_type"), self.value("target_id")
        return None if type_ is None else Target(type=type_, key=key)

    @field("Whether the viewer may add a comment to the thread. False if it is locked.")
    async def viewer_can_comment(self, info: Info) -> bool:
        return self.value("locked_at") is None and await self._may(info, "may_comment")

    @field("Whether the viewer may rename the thread.")
    async def viewer_can_rename(self, info: Info) -> bool:
        return await self._may(info, "may_rename")

    @field("Whether the viewer may lock and unlock the thread.")
    async def viewer_can_lock(self, info: Info) -> bool:
        return await self._may(info, "may_lock")

    @field("Whether the viewer may delete the thread and its comments.")
    async def viewer_can_delete(self, info: Info) -> bool:
        return await self._may(info, "may_delete_thread")

    async def _may(self, info: Info, action: ThreadAction) -> bool:
        facts = ThreadContext(*map(self.value, ThreadContext._fields))
        return (await info.context.access()).may(action, facts)

    @field("A page of the thread's comments.")
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
            which = read_window(
                read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER),
                limit=info.context.settings.page_size,
                first=unset_to_none(first),
                last=unset_to_none(last),
                after=unset_to_none(after),
                before=unset_to_none(before),
                filter=read_filter(filter_by),
            )
            return which, info.page("Comment")

        which, asked = info.cached(read)
        page, total = RowPage(), self.record.get("comment_count")
        if asked:
            page = await info.context.comments(self.record["id"], which, asked)
        if which.filter and "totalCount" in info.fields("CommentConnection"):
            total = await info.context.count_comments(self.record["id"], which.filter)
        await yield_if_due()
        return Connection.of(page, total, lambda row: Comment.of(row, self.record))


@strawberry.type(description="A message in a thread.")
class Comment(Row, Node):
    message: str = strawberry.field(
        description="The text of the comment, as it was written. Query.limits has its maximum "
        "length."
    )
    word_count: int = strawberry.field(
        description="The number of words in the message. Unicode whitespace separates words: "
        "len(message.split()) in Python."
    )
    created_at: datetime = strawberry.field(description="When the comment was created.")
    edited_at: datetime | None = strawberry.field(
        description="When the message was last changed. Null if it never was."
    )
    parent: strawberry.Private[Record]

    @field(
        "The message as HTML, rendered from Markdown. It is safe to insert into a page unchanged."
    )
    async def message_html(self, info: Info) -> str:
        render, message = info.context.rules.render, self.value("message")
        if len(message) > MAX_INLINE_LENGTH:
            # Rendering may take some tenths of a second, in which others have to be answered.
            return await info.context.run_in_thread(render, message)
        await yield_if_due()
        return render(message)

    @field(
        "The display name of the author, or the name that a guest gave. If the "
        "author has been deleted, it is the host's replacement, or null."
    )
    def author_name(self, info: Info) -> str | None:
        if self.value("author_id") is not None:
            # Only the comments of authors wait for what is read beside them.
            return cast("str | None", self._author_name(info))
        name: str | None = self.value("author_name")
        return info.context.rules.deleted_author() if name is None else name

    async def _author_name(self, info: Info) -> str | None:
        found = await info.context.author(self.value("author_id"), AUTHOR_NAME)
        name: str | None = found["name"] if found else info.context.rules.deleted_author()
        return name

    @field(
        "The author who wrote the comment. Null if a guest wrote it, or if the author "
        "has been deleted."
    )
    async def author(self, info: Info) -> Author | None:
        return await load_author(info, self.value("author_id"))

    @field("Whether the viewer may edit the comment.")
    async def viewer_can_edit(self, info: Info) -> bool:
        return await self._may(info, "may_edit")

    @field("Whether the viewer may move the comment to another thread.")
    async def viewer_can_move(self, info: Info) -> bool:
        return await self._may(info, "may_move")

    @field("Whether the viewer may delete the comment.")
    async def viewer_can_delete(self, info: Info) -> bool:
        return await self._may(info, "may_delete")

    async def _may(self, info: Info, action: CommentAction) -> bool:
        access = await info.context.access()
        if access.constant_permission is not None:
            return access.constant_permission
        thread = await self._thread_facts(info)
        if thread is None:
            return False  # It was deleted while this was read.
        return access.may(action, CommentContext._make([*map(self.value, COMMENT_COLUMNS), thread]))

    async def _thread_facts(self, info: Info) -> ThreadContext | None:
        thread: Record | None = self.parent
        if not self.parent.keys() >= THREAD_FACTS:
            thread = await info.context.thread(self.value("thread_id"), THREAD_FACTS)
        if thread is None:
            return None
        return ThreadContext(*map(Thread.of(thread).value, ThreadContext._fields))

    @field("The thread that the comment is in.")
    async def thread(self, info: Info) -> Thread:
        columns = info.thread_columns()
        if columns <= self.parent.keys():
            return Thread.of(self.parent)
        found = await info.context.thread(self.parent["id"], columns)
        if found is None:
            raise NotFound("The comment's thread was deleted while it was read; read it again.")
        return Thread.of(found)

    @classmethod
    def of(cls, record: Record, thread: Record | None = None) -> Self:
        """A comment with the columns of `record`, and with what is known of its thread."""
        comment = super().of(record)
        comment.parent = thread or {"id": record.get("thread_id")}
        return comment


async def load_author(info: Info, id: UUID | None) -> Author | None:
    """The author with that key, read in one statement with those beside it."""
    if id is None:
        return None
    found = await info.context.author(id, info.author_columns())
    return None if found is None else Author.of(found)
