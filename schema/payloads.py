"""What mutations give back: what they changed, and its parents with their new counters."""

from __future__ import annotations

import strawberry

from .types import Comment, Thread

_THREAD = "The thread with its new counters; null if it has been deleted since."
_COMMENT = "The comment as it is now."


@strawberry.type(description="What createThread gives back.")
class CreateThreadPayload:
    thread: Thread | None = strawberry.field(
        description="The new thread; null if it has been deleted since."
    )
    comment: Comment | None = strawberry.field(
        description="Its first comment; null where none was given."
    )


@strawberry.type(description="What renameThread gives back.")
class RenameThreadPayload:
    thread: Thread | None = strawberry.field(description="The thread as it is now.")


@strawberry.type(description="What deleteThread gives back.")
class DeleteThreadPayload:
    thread: Thread | None = strawberry.field(
        description="The thread as it last was; its comments are gone."
    )
    deleted_thread_id: strawberry.ID | None = strawberry.field(
        description="The id of the thread, for a client's cache."
    )


@strawberry.type(description="What addComment gives back.")
class AddCommentPayload:
    comment: Comment | None = strawberry.field(description="The new comment.")
    thread: Thread | None = strawberry.field(description=_THREAD)


@strawberry.type(description="What editComment gives back.")
class EditCommentPayload:
    comment: Comment | None = strawberry.field(description=_COMMENT)
    thread: Thread | None = strawberry.field(description=_THREAD)


@strawberry.type(description="What moveComment gives back.")
class MoveCommentPayload:
    comment: Comment | None = strawberry.field(description=_COMMENT)
    thread: Thread | None = strawberry.field(
        description="The thread that the comment is in now, with its new counters; null if it "
        "has been deleted since."
    )
    previous_thread: Thread | None = strawberry.field(
        description="The thread that the comment was in, with its new counters; null if it "
        "has been deleted since."
    )


@strawberry.type(description="What deleteComment gives back.")
class DeleteCommentPayload:
    comment: Comment | None = strawberry.field(description="The comment as it last was.")
    deleted_comment_id: strawberry.ID | None = strawberry.field(
        description="The id of the comment, for a client's cache."
    )
    thread: Thread | None = strawberry.field(description=_THREAD)
