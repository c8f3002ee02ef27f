"""The mutations of comments."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from ...database.unit_of_work import UnitOfWork
from ...execution.requested_fields import Info
from ...host.access import Access
from ...resolvers import comments
from ...resolvers.changes import ChangedRows
from ...resolvers.pagination.orders import COMMENTS
from ..arguments import DEFAULT_COMMENT_ORDER, CommentOrderBy, read_order, unset_to_none
from ..connections import Edge
from ..fields import field
from ..ids import encode_id
from ..types import Comment, Thread
from .declaration import ChangePayload, Key, change
from .inputs import AuthorName, CommentKey, Message, ThreadKey, new_comment
from .thread import NULL_THREAD

_THREAD = f"The thread with its new counters. {NULL_THREAD}"

NewThreadKey = Annotated[UUID, Key("Thread", "The id of the thread to move the comment to.")]


@strawberry.type
class CommentPayload(ChangePayload):
    comment: Comment | None = strawberry.field(
        default=None, description="The comment after the change. Null if the mutation was rejected."
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)

    async def fill(self, info: Info, change: ChangedRows) -> None:
        assert change.comment is not None
        self.comment = Comment.from_record(change.comment, change.thread)
        self.thread = await self.load_thread(info, change.thread)


@strawberry.type
class CommentEdgePayload(CommentPayload):
    @field("The comment as an edge of its thread's comments. Null if comment is null.")
    def comment_edge(
        self, order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER
    ) -> Edge[Comment] | None:
        if self.comment is None:
            return None
        order = read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER)
        return Edge(cursor=order.encode(order.position_of(self.comment.record)), node=self.comment)


@strawberry.type
class NewCommentPayload(CommentEdgePayload):
    is_duplicate: bool = strawberry.field(
        default=False,
        description="Whether the viewer had sent the same comment, with the same "
        "clientMutationId, within the last minute, as after a double click. If true, "
        "nothing was added, and comment is the first one.",
    )

    async def fill(self, info: Info, change: ChangedRows) -> None:
        await super().fill(info, change)
        self.is_duplicate = change.is_duplicate


@strawberry.type
class MovedCommentPayload(CommentEdgePayload):
    previous_thread: Thread | None = strawberry.field(
        default=None,
        description=f"The thread that the comment came from, with its new counters. {NULL_THREAD}",
    )

    async def fill(self, info: Info, change: ChangedRows) -> None:
        await super().fill(info, change)
        previous = change.previous_thread or {}
        self.previous_thread = await self.load_thread(info, previous, "previousThread")


@strawberry.type
class DeletedCommentPayload(ChangePayload):
    comment: Comment | None = strawberry.field(
        default=None,
        description="The comment as it was before its deletion. Null if the mutation was rejected.",
    )
    deleted_comment_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the deleted comment, for the client's cache. Null if the mutation "
        "was rejected.",
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)

    async def fill(self, info: Info, change: ChangedRows) -> None:
        assert change.comment is not None
        self.comment = Comment.from_record(change.comment, change.thread)
        self.deleted_comment_id = encode_id("Comment", change.comment["id"])
        self.thread = await self.load_thread(info, change.thread)


@strawberry.type
class CommentMutations:
    @change(
        "Add a comment to a thread.",
        NewCommentPayload,
        input_description="The input of addComment. If a viewer sends the same comment again "
        "within a minute, with the same clientMutationId, it is not added twice.",
    )
    async def add_comment(
        self,
        unit: UnitOfWork,
        access: Access,
        thread_id: ThreadKey,
        message: Message,
        author_name: AuthorName = UNSET,
        *,
        client_mutation_id: str | None,
    ) -> ChangedRows:
        comment, submission = new_comment(message, author_name), unset_to_none(client_mutation_id)
        return await comments.add_comment(unit, access, thread_id, comment, submission=submission)

    @change("Change the message of a comment.", CommentPayload)
    async def edit_comment(
        self, unit: UnitOfWork, access: Access, comment_id: CommentKey, message: Message
    ) -> ChangedRows:
        return await comments.edit_comment(unit, access, comment_id, message)

    @change("Move a comment to another thread.", MovedCommentPayload)
    async def move_comment(
        self, unit: UnitOfWork, access: Access, comment_id: CommentKey, thread_id: NewThreadKey
    ) -> ChangedRows:
        return await comments.move_comment(unit, access, comment_id, thread_id)

    @change("Delete a comment.", DeletedCommentPayload)
    async def delete_comment(
        self, unit: UnitOfWork, access: Access, comment_id: CommentKey
    ) -> ChangedRows:
        return await comments.delete_comment(unit, access, comment_id)
