"""The objects of the API. Each wraps a row, of which only what was asked for is there."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry
from strawberry import UNSET

from ..errors import NotFound
from ..resolvers.orders import COMMENTS
from ..resolvers.paging import Asked, Page, Record, Window, window
from .arguments import (
    DEFAULT_COMMENT_ORDER,
    After,
    Before,
    CommentFilterBy,
    CommentOrderBy,
    First,
    Last,
    filter_of,
    given,
    order_of,
)
from .connections import Connection
from .fields import field
from .ids import encode_id
from .selection import Info
from .turns import take_turn


@strawberry.interface(description="An object that can be fetched again by its id, as Relay has it.")
class Node:
    id: strawberry.ID = strawberry.field(description="The object's id; opaque, and never reused.")
    record: strawberry.Private[Record]

    @classmethod
    def of(cls, record: Record) -> Self:
        """An object of this type that has the columns of `record`, and no others."""
        node = cls.__new__(cls)
        node.__dict__.update(record, record=record)
        if "id" in record:
            node.id = encode_id(cls.__name__, record["id"])
        return node


@strawberry.type(description="A discussion: a title, and comments.")
class Thread(Node):
    title: str = strawberry.field(description="What it is about; 1 to 200 characters.")
    word_count: int = strawberry.field(
        description="The words of all its comments together. A comment's words are what Unicode "
        "whitespace separates: len(message.split()) in Python."
    )
    comment_count: int = strawberry.field(description="How many comments it has.")
    last_comment_at: datetime | None = strawberry.field(
        description="When its latest comment was made; null where it has none."
    )
    created_at: datetime = strawberry.field(description="When it was begun.")
    updated_at: datetime = strawberry.field(
        description="When it was begun or last renamed; comments do not change this."
    )

    @field("Its comments, a page at a time.")
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
        def read() -> tuple[Window, Asked | None]:
            which = window(
                order_of(COMMENTS, order_by or DEFAULT_COMMENT_ORDER),
                limit=info.context.settings.page_size,
                first=given(first),
                last=given(last),
                after=given(after),
                before=given(before),
                filter=filter_of(filter_by),
            )
            return which, info.page("Comment")

        which, asked = info.once(read)
        page, total = Page(), self.record.get("comment_count")
        if asked:
            page = await info.context.comments(self.record["id"], which, asked)
        if which.filter and "totalCount" in info.fields("CommentConnection"):
            total = await info.context.count_comments(self.record["id"], which.filter)
        # What is read below waits for its siblings, so as to be read in one statement with theirs.
        if asked and "thread_id" not in asked.columns:
            await take_turn()
        return Connection.of(page, total, lambda row: Comment.of(row, self.record))


@strawberry.type(description="One message in a thread.")
class Comment(Node):
    message: str = strawberry.field(description="What was written; 1 to 10,000 characters.")
    word_count: int = strawberry.field(
        description="The words of the message: what Unicode whitespace separates, "
        "len(message.split()) in Python."
    )
    author_name: str | None = strawberry.field(
        description="Who wrote it; 1 to 100 characters; null where the author is gone."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    edited_at: datetime | None = strawberry.field(
        description="When its message was last changed; null where it never was."
    )
    parent: strawberry.Private[Record]

    @field("The thread that it is in.")
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
