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

_REJECTED = "null where it was rejected, or if it has been deleted since."
_THREAD = f"The thread with its new counters; {_REJECTED}"


@strawberry.enum(description="Why a mutation was rejected. More codes may come.")
class UserErrorCode(Enum):
    NOT_FOUND = strawberry.enum_value(
        "NOT_FOUND", description="What the field names is not there; it may have been deleted."
    )
    BLANK = strawberry.enum_value(
        "BLANK", description="The text is empty, or has nothing that can be seen."
    )
    TOO_LONG = strawberry.enum_value(
        "TOO_LONG", description="The text has more characters than it may have."
    )
    INVALID_CHARACTERS = strawberry.enum_value(
        "INVALID_CHARACTERS",
        description="The text has a character that it may not have, such as U+0000; a name or a "
        "title also no other control character.",
    )
    SIGN_IN_REQUIRED = strawberry.enum_value(
        "SIGN_IN_REQUIRED", description="Guests may not do this; sign in first."
    )
    NOT_ALLOWED = strawberry.enum_value("NOT_ALLOWED", description="The viewer may not do this.")
    LOCKED = strawberry.enum_value("LOCKED", description="The thread takes no more comments.")
    VETOED = strawberry.enum_value(
        "VETOED", description="The host does not want this, for the reason that it gives."
    )
    UNKNOWN_TARGET_TYPE = strawberry.enum_value(
        "UNKNOWN_TARGET_TYPE", description="The host has registered no such kind of objects."
    )


@strawberry.type(description="What the message of a user error is made of, for another language.")
class UserErrorParams:
    max: int | None = strawberry.field(
        default=None, description="How many characters the text may have; of BLANK and TOO_LONG."
    )
    actual: int | None = strawberry.field(
        default=None, description="How many characters it has; of TOO_LONG."
    )
    character: str | None = strawberry.field(
        default=None,
        description="The character that it may not have, such as U+0000; of INVALID_CHARACTERS.",
    )

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> UserErrorParams:
        """Return what the schema has of an error's parameters; a host's own may have others."""
        return cls(
            max=params.get("max"), actual=params.get("actual"), character=params.get("character")
        )


@strawberry.type(description="A reason why a mutation was rejected; nothing was changed.")
class UserError:
    message: str = strawberry.field(
        description="The reason, in one English sentence that can be shown to people beside the "
        "field; it does not name the field."
    )
    field: str | None = strawberry.field(
        description="The field of the input that it is about, such as title or comment.message; "
        "null where it is about no single field."
    )
    path: list[str] | None = strawberry.field(
        description="The path of that field within the input, such as [comment, message]; null "
        "where the field is."
    )
    code: UserErrorCode = strawberry.field(description="The reason, for programs.")
    params: UserErrorParams = strawberry.field(
        description="With code, what a message in another language needs."
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


@strawberry.type(description="What the payloads of all mutations have.")
class Payload:
    user_errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="Why the mutation was rejected; empty where it was done. What it would have "
        "given back is null then.",
    )
    client_mutation_id: str | None = strawberry.field(
        default=None, description="The clientMutationId of the input, given back."
    )


@strawberry.type(description="What createThread gives back.")
class CreateThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The new thread; {_REJECTED}"
    )
    comment: Comment | None = strawberry.field(
        default=None,
        description="Its first comment; null where none was given, or it was rejected.",
    )

    @field("The new thread as an item of a list of threads; null where the thread is.")
    def thread_edge(self, order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER) -> Edge[Thread] | None:
        if self.thread is None:
            return None
        order = read_order(THREADS, order_by or DEFAULT_THREAD_ORDER)
        return Edge(cursor=order.cursor(order.place(self.thread.record)), node=self.thread)


@strawberry.type(description="What renameThread gives back.")
class RenameThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread as it is now; {_REJECTED}"
    )


@strawberry.type(description="What lockThread gives back.")
class LockThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread as it is now; {_REJECTED}"
    )


@strawberry.type(description="What unlockThread gives back.")
class UnlockThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread as it is now; {_REJECTED}"
    )


@strawberry.type(description="What threadFor gives back.")
class ThreadForPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread about the object, whoever has begun it; null where it was "
        "rejected.",
    )


@strawberry.type(description="What deleteAuthor gives back.")
class DeleteAuthorPayload(Payload):
    deleted_author_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the author, for a client's cache; null where it was rejected.",
    )


@strawberry.type(description="What deleteThread gives back.")
class DeleteThreadPayload(Payload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread as it last was, whose comments are gone; null where it was "
        "rejected.",
    )
    deleted_thread_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the thread, for a client's cache; null where it was rejected.",
    )


@strawberry.type(description="What the payloads of mutations that put a comment somewhere have.")
class CommentPayload(Payload):
    comment: Comment | None = strawberry.field(
        default=None, description="The comment as it is now; null where it was rejected."
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)


@strawberry.type(description="What the payloads of mutations that put a comment somewhere have.")
class CommentEdgePayload(CommentPayload):
    @field("The comment as an item of its thread's comments; null where the comment is.")
    def comment_edge(
        self, order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER
    ) -> Edge[Comment] | None:
        if self.comment is None:
            return None
        order = read_order(COMMENTS, order_by or DEFAULT_COMMENT_ORDER)
        return Edge(cursor=order.cursor(order.place(self.comment.record)), node=self.comment)


@strawberry.type(description="What addComment gives back.")
class AddCommentPayload(CommentEdgePayload):
    is_duplicate: bool = strawberry.field(
        default=False,
        description="Whether nothing was added, since the same viewer had sent the same comment "
        "with the same clientMutationId within the last minute, as a double click does; the "
        "comment is that one.",
    )


@strawberry.type(description="What editComment gives back.")
class EditCommentPayload(CommentPayload):
    pass


@strawberry.type(description="What moveComment gives back.")
class MoveCommentPayload(CommentEdgePayload):
    previous_thread: Thread | None = strawberry.field(
        default=None,
        description=f"The thread that the comment was in, with its new counters; {_REJECTED}",
    )


@strawberry.type(description="What deleteComment gives back.")
class DeleteCommentPayload(Payload):
    comment: Comment | None = strawberry.field(
        default=None, description="The comment as it last was; null where it was rejected."
    )
    deleted_comment_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the comment, for a client's cache; null where it was rejected.",
    )
    thread: Thread | None = strawberry.field(default=None, description=_THREAD)
