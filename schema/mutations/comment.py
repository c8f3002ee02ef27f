"""The mutations of comments."""

from __future__ import annotations

from uuid import UUID

import strawberry
from strawberry import UNSET

from ...database.unit_of_work import UnitOfWork
from ...execution.context import SharedChange
from ...execution.field_declarations import ChangedEdgeField
from ...host.access import Access
from ...resolvers import comments
from ...resolvers.changes import ChangedRows
from ...resolvers.comment_drafts import CommentDraft, draft_comment
from ...resolvers.new_comment import NewComment
from ...resolvers.pagination.orders import COMMENTS
from ...resolvers.shared_comments import SHARED_COMMENTS
from ..arguments import DEFAULT_COMMENT_ORDER, CommentOrderBy
from ..connections import Edge
from ..fields import field
from ..ids import encode_id
from ..types import Comment, Thread
from .declaration import (
    ChangePayload,
    InputField,
    build_edge,
    change,
    changed_row,
    changed_value,
    key_field,
)
from .inputs import (
    AUTHOR_NAME,
    COMMENT_ID,
    MESSAGE,
    MOVED_TO_ID,
    REASON,
    REPLY_TO_ID,
    THREAD_ID,
)
from .rows import CHANGED_COMMENT, CHANGED_THREAD, NULL_THREAD, PREVIOUS_THREAD

_THREAD = f"The thread with its new counters. {NULL_THREAD}"

EDGE = ChangedEdgeField(CHANGED_COMMENT, COMMENTS, DEFAULT_COMMENT_ORDER)


@strawberry.type
class CommentPayload(ChangePayload):
    comment: Comment | None = changed_row(
        "The comment after the change. Null if the mutation was rejected.", CHANGED_COMMENT
    )
    thread: Thread | None = changed_row(_THREAD, CHANGED_THREAD)


@strawberry.type
class CommentEdgePayload(CommentPayload):
    @field(
        "The comment as an edge of its thread's comments. Null if comment is null.",
        declaration=EDGE,
    )
    def comment_edge(
        self, order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER
    ) -> Edge[Comment] | None:
        return build_edge(self.comment, EDGE, order_by)


@strawberry.type
class NewCommentPayload(CommentEdgePayload):
    is_duplicate: bool = changed_value(
        "Whether the viewer had sent the same comment, with the same clientMutationId, within the "
        "last minute, as after a double click. If true, nothing was added, and comment is the "
        "first one.",
        lambda change: change.is_duplicate,
        default=False,
    )


@strawberry.type
class MovedCommentPayload(CommentEdgePayload):
    previous_thread: Thread | None = changed_row(
        f"The thread that the comment came from, with its new counters. {NULL_THREAD}",
        PREVIOUS_THREAD,
    )


@strawberry.type
class DeletedCommentPayload(ChangePayload):
    comment: Comment | None = changed_row(
        "The comment as it stays in lists, without its text, if it has replies; otherwise as it "
        "was before its deletion. Null if the mutation was rejected.",
        CHANGED_COMMENT,
    )
    deleted_comment_id: strawberry.ID | None = changed_value(
        "The id of the deleted comment, for the client's cache. Null if the comment stays in "
        "lists, or if the mutation was rejected.",
        lambda change: next(iter(encode_removed(change)), None),
    )
    deleted_comment_ids: list[strawberry.ID] = changed_value(
        "The ids of the comments that are in no list any more, for the client's cache: of the "
        "comment itself, and of deleted ones above it whose last reply it was.",
        lambda change: encode_removed(change),
        default_factory=list,
    )
    thread: Thread | None = changed_row(_THREAD, CHANGED_THREAD)


def encode_removed(change: ChangedRows) -> list[strawberry.ID]:
    """Return the global ids of the comments that a change has removed from lists."""
    return [encode_id("Comment", id) for id in change.removed_ids]


async def _add_comment(
    unit: UnitOfWork,
    access: Access,
    thread_id: UUID,
    message: str,
    author_name: str | None,
    reply_to_id: UUID | None,
    client_mutation_id: str | None,
) -> ChangedRows:
    comment = NewComment(message, author_name)
    return await comments.add_comment(
        unit, access, thread_id, comment, reply_to_id=reply_to_id, submission=client_mutation_id
    )


def _draft_comment(
    access: Access,
    thread_id: UUID,
    message: str,
    author_name: str | None,
    reply_to_id: UUID | None,
    client_mutation_id: str | None,
) -> CommentDraft:
    comment = NewComment(message, author_name)
    return draft_comment(access, thread_id, comment, client_mutation_id, reply_to_id)


@strawberry.type
class CommentMutations:
    add_comment = change(
        "add_comment",
        "Add a comment to a thread, or a reply to one of its comments.",
        _add_comment,
        NewCommentPayload,
        shared=SharedChange(SHARED_COMMENTS, _draft_comment),
        input_description="The input of addComment. If a viewer sends the same comment again "
        "within a minute, with the same clientMutationId, it is not added twice.",
        thread_id=THREAD_ID,
        message=MESSAGE,
        author_name=AUTHOR_NAME,
        reply_to_id=REPLY_TO_ID,
        client_mutation_id=InputField("", str | None, UNSET),
    )
    edit_comment = change(
        "edit_comment",
        "Change the message of a comment.",
        lambda unit, access, id, message, expected: comments.edit_comment(
            unit, access, id, message, expected_revision=expected
        ),
        CommentPayload,
        comment_id=COMMENT_ID,
        message=MESSAGE,
        expected_revision=InputField(
            "The revision of the comment that the viewer has seen. If it has another one by now, "
            "nothing is changed: userErrors has a CONFLICT, and comment is as it is now.",
            int | None,
            UNSET,
        ),
    )
    move_comment = change(
        "move_comment",
        "Move a comment with its replies: to the top level of a thread, or below another comment.",
        comments.move_comment,
        MovedCommentPayload,
        comment_id=COMMENT_ID,
        thread_id=key_field("Thread", "The id of the thread to move the comment to."),
        reply_to_id=MOVED_TO_ID,
    )
    delete_comment = change(
        "delete_comment",
        "Delete a comment. If it has replies, it stays in lists without its text and its author. A "
        "comment that is deleted already stays as it is.",
        lambda unit, access, id, reason: comments.delete_comment(unit, access, id, reason=reason),
        DeletedCommentPayload,
        comment_id=COMMENT_ID,
        reason=REASON,
    )
    restore_comment = change(
        "restore_comment",
        "Restore a deleted comment that stays in lists. A comment that is not deleted stays as it "
        "is.",
        comments.restore_comment,
        CommentPayload,
        comment_id=COMMENT_ID,
    )
