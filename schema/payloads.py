"""What mutations give back: what they changed, and its parents with their new counters."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import strawberry

from ..errors import Rejected
from ..resolvers.pagination.orders import COMMENTS, THREADS
from .arguments import (
    DEFAULT_COMMENT_ORDER,
    DEFAULT_THREAD_ORDER,
    CommentOrderBy,
    ThreadOrderBy,
    read_order,
)
from .connections import Edge
from .fields import field
from .types import Comment, Thread

_REJECTED = "Null if the mutation was rejected, or if the thread has been deleted since."
_THREAD = f"The thread with its new counters. {_REJECTED}"


@strawberry.enum(description="The reason why a mutation was rejected. More codes may be added.")
class UserErrorCode(Enum):
    NOT_FOUND = strawberry.enum_value(
        "NOT_FOUND",
        description="The object that the field names does not exist. It may have been deleted.",
    )
    BLANK = strawberry.enum_value(
        "BLANK", description="The text is empty or has no visible character."
    )
    TOO_LONG = strawberry.enum_value(
        "TOO_LONG", description="The text is longer than the maximum length."
    )
    INVALID_CHARACTERS = strawberry.enum_value(
        "INVALID_CHARACTERS",
        description="The text contains a character that is not allowed, such as U+0000. A name "
        "or a title may contain no control character at all.",
    )
    SIGN_IN_REQUIRED = strawberry.enum_value(
        "SIGN_IN_REQUIRED", description="Guests may not do this. Sign in first."
    )
    NOT_ALLOWED = strawberry.enum_value("NOT_ALLOWED", description="The viewer may not do this.")
    LOCKED = strawberry.enum_value(
        "LOCKED", description="The thread is locked, and accepts no more comments."
    )
    VETOED = strawberry.enum_value(
        "VETOED", description="The host has rejected the change, for the reason in message."
    )
    UNKNOWN_TARGET_TYPE = strawberry.enum_value(
        "UNKNOWN_TARGET_TYPE", description="The host has not registered this kind of object."
    )


@strawberry.type(
    description="The values in the message of a user error, for a message in another language."
)
class UserErrorParams:
    max: int | None = strawberry.field(
        default=None,
        description="The maximum length of the text, in characters. Null unless the code is "
        "BLANK or TOO_LONG.",
    )
    actual: int | None = strawberry.field(
        default=None,
        description="The length of the text, in characters. Null unless the code is TOO_LONG.",
    )
    character: str | None = strawberry.field(
        default=None,
        description="The character that is not allowed, such as U+0000. Null unless the code is "
        "INVALID_CHARACTERS.",
    )

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> UserErrorParams:
        """Return what the schema has of an error's parameters; a host's own may have others."""
        return cls(
            max=params.get("max"), actual=params.get("actual"), character=params.get("character")
        )


@strawberry.type(description="A reason why a mutation was rejected. Nothing was changed.")
class UserError:
    message: str = strawberry.field(
        description="The reason, as one English sentence to show to the user beside the form "
        "field. It does not name the field."
    )
    field: str | None = strawberry.field(
        description="The input field that the error is about, such as title or comment.message. "
        "Null if it is about no single field."
    )
    path: list[str] | None = strawberry.field(
        description="The path of that field within the input, such as [comment, message]. Null "
        "if field is null."
    )
    code: UserErrorCode = strawberry.field(description="The reason, as a stable code for programs.")
    params: UserErrorParams = strawberry.field(
        description="The values for a message in another language, which the client makes from "
        "code and params."
    )

    @classmethod
    def of(cls, error: Rejected) -> UserError:
        """What there is to tell of an error."""
        code = error.code if error.code in UserErrorCode.__members__ else "VETOED"
        return cls(
            message=error.message,
            field=error.field,
            path=error.field.split(".") if error.field else None,
            code=UserErrorCode(code),
            params=UserErrorParams.of(error.params),
        )


@strawberry.type(description="The fields that the payloads of all mutations have.")
class Payload:
    user_errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="The reasons why the mutation was rejected. Empty if it succeeded. If it was "
        "rejected, nothing was changed, and the payload's objects and ids are null.",
    )
    client_mutation_id: str | None = strawberry.field(
        default=None, description="The clientMutationId of the input. Null if none was given."
    )


@strawberry.type(description="The payload of createThread.")
class CreateThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The new thread. {_REJECTED}"
    )
    comment: Comment | None = strawberry.field(
        default=None,
        description="The thread's first comment. Null if none was given, or if the mutation was "
        "rejected.",
    )

    @field("The new thread as an edge of a connection of threads. Null if thread is null.")
    def thread_edge(self, order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER) -> Edge[Thread] | None:
        if self.thread is None:
            return None
        order = read_order(THREADS, order_by or DEFAULT_THREAD_ORDER)
        return Edge(cursor=order.cursor(order.place(self.thread.record)), node=self.thread)


@strawberry.type(description="The payload of renameThread.")
class RenameThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread after the change. {_REJECTED}"
    )


@strawberry.type(description="The payload of lockThread.")
class LockThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread after the change. {_REJECTED}"
    )


@strawberry.type(description="The payload of unlockThread.")
class UnlockThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread after the change. {_REJECTED}"
    )


@strawberry.type(description="The payload of threadFor.")
class ThreadForPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread about the object, new or existing. Null if the mutation was "
        "rejected.",
    )


@strawberry.type(description="The payload of deleteAuthor.")
class DeleteAuthorPayload(Payload):
    deleted_author_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the deleted author, for the client's cache. Null if the mutation "
        "was rejected.",
    )


@strawberry.type(description="The payload of deleteThread.")
class DeleteThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread as it was before its deletion. Its list of comments is empty. "
        "Null if the mutation was rejected.",
    )
    deleted_thread_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the deleted thread, for the client's cache. Null if the mutation "
        "was rejected.",
    )


@strawberry.type(description="The fields that the payloads of mutations on a comment have.")
class CommentPayload(Payload):
    comment: Comment | None = strawberry.field(
        default=None, description="The comment after the change. Null if the mutation was rejected."
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)


@strawberry.type(description="The fields that the payloads of mutations on a comment have.")
class CommentEdgePayload(CommentPayload):
    @field("The comment as an edge of its thread's comments. Null if comment is null.")
    def comment_edge(
        self, order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER
    ) -> Edge[Comment] | None:
        if self.comment is None:
            return None
        order = read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER)
        return Edge(cursor=order.cursor(order.place(self.comment.record)), node=self.comment)


@strawberry.type(description="The payload of addComment.")
class AddCommentPayload(CommentEdgePayload):
    is_duplicate: bool = strawberry.field(
        default=False,
        description="Whether the viewer had sent the same comment, with the same "
        "clientMutationId, within the last minute, as after a double click. If true, "
        "nothing was added, and comment is the first one.",
    )


@strawberry.type(description="The payload of editComment.")
class EditCommentPayload(CommentPayload):
    pass


@strawberry.type(description="The payload of moveComment.")
class MoveCommentPayload(CommentEdgePayload):
    previous_thread: Thread | None = strawberry.field(
        default=None,
        description=f"The thread that the comment came from, with its new counters. {_REJECTED}",
    )


@strawberry.type(description="The payload of deleteComment.")
class DeleteCommentPayload(Payload):
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
