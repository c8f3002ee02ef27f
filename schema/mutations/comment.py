"""The mutations of comments."""

from __future__ import annotations

from uuid import UUID

import strawberry

from ...database.unit_of_work import UnitOfWork
from ...execution.context import SharedChange
from ...execution.requested_fields import Info
from ...host.access import Access
from ...resolvers import comments
from ...resolvers.changes import ChangedRows
from ...resolvers.comment_drafts import CommentDraft, draft_comment
from ...resolvers.pagination.orders import COMMENTS
from ...resolvers.shared_comments import SHARED_COMMENTS
from ..arguments import DEFAULT_COMMENT_ORDER, CommentOrderBy, read_order, unset_to_none
from ..connections import Edge
from ..fields import field
from ..ids import encode_id
from ..types import Comment, Thread
from .declaration import ChangePayload, InputField, change, key_field
from .inputs import AUTHOR_NAME, COMMENT_ID, MESSAGE, THREAD_ID, new_comment
from .thread import NULL_THREAD

_THREAD = f"The thread with its new counters. {NULL_THREAD}"


@strawberry.type
class CommentPayload(ChangePayload):
    comment: Comment | None = strawberry.field(
        default=None, description="The comment after the change. Null if the mutation was rejected."
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)

    async def fill(self, info: Info, change: ChangedRows) -> None:
        assert change.comment is not None
        self.comment = Comment.from_record(change.comment, {"thread": change.thread})
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
        self.comment = Comment.from_record(change.comment, {"thread": change.thread})
        self.deleted_comment_id = encode_id("Comment", change.comment["id"])
        self.thread = await self.load_thread(info, change.thread)


async def _add_comment(
    unit: UnitOfWork,
    access: Access,
    thread_id: UUID,
    message: str,
    author_name: str | None,
    client_mutation_id: str | None,
) -> ChangedRows:
    comment, submission = new_comment(message, author_name), unset_to_none(client_mutation_id)
    return await comments.add_comment(unit, access, thread_id, comment, submission=submission)


def _draft_comment(
    access: Access,
    thread_id: UUID,
    message: str,
    author_name: str | None,
    client_mutation_id: str | None,
) -> CommentDraft | None:
    comment, submission = new_comment(message, author_name), unset_to_none(client_mutation_id)
    draft = draft_comment(access, thread_id, comment, submission)
    return draft if draft.may_share else None


@strawberry.type
class CommentMutations:
    add_comment = change(
        "add_comment",
        "Add a comment to a thread.",
        _add_comment,
        NewCommentPayload,
        shared=SharedChange(SHARED_COMMENTS, _draft_comment),
        input_description="The input of addComment. If a viewer sends the same comment again "
        "within a minute, with the same clientMutationId, it is not added twice.",
        thread_id=THREAD_ID,
        message=MESSAGE,
        author_name=AUTHOR_NAME,
        client_mutation_id=InputField(""),
    )
    edit_comment = change(
        "edit_comment",
        "Change the message of a comment.",
        comments.edit_comment,
        CommentPayload,
        comment_id=COMMENT_ID,
        message=MESSAGE,
    )
    move_comment = change(
        "move_comment",
        "Move a comment to another thread.",
        comments.move_comment,
        MovedCommentPayload,
        comment_id=COMMENT_ID,
        thread_id=key_field("Thread", "The id of the thread to move the comment to."),
    )
    delete_comment = change(
        "delete_comment",
        "Delete a comment.",
        comments.delete_comment,
        DeletedCommentPayload,
        comment_id=COMMENT_ID,
    )
