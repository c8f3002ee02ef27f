"""The inputs of mutations."""

from __future__ import annotations

import strawberry

from ..resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from ..settings import Settings
from .arguments import TargetInput

_TITLE = (
    f"The title: one line of 1 to {TITLE_LENGTH} characters, at least one of them visible. "
    "Whitespace around it is removed."
)
_AUTHOR = (
    f"The guest's name: one line of 1 to {AUTHOR_NAME_LENGTH} characters, at least one of them "
    "visible. Whitespace around it is removed. Guests must give it. Leave it out if "
    "you are signed in."
)
_THREAD_ID = "The id of the thread."
_COMMENT_ID = "The id of the comment."
_MESSAGE = (
    f"The text of the comment: 1 to {Settings.message_length:,} characters, at least one of them "
    "visible. It is stored unchanged. The server can have another limit: see Query.limits."
)


@strawberry.input(description="The fields that the inputs of all mutations have.")
class MutationInput:
    client_mutation_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Any string. The payload returns it unchanged.",
    )


@strawberry.input(description="The first comment of a new thread.")
class FirstCommentInput:
    message: str = strawberry.field(description=_MESSAGE)
    author_name: str | None = strawberry.field(default=strawberry.UNSET, description=_AUTHOR)


@strawberry.input(description="The input of createThread.")
class CreateThreadInput(MutationInput):
    title: str = strawberry.field(description=_TITLE)
    comment: FirstCommentInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The thread's first comment. Leave it out for a thread without comments.",
    )


@strawberry.input(description="The input of renameThread.")
class RenameThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)
    title: str = strawberry.field(description=_TITLE)


@strawberry.input(description="The input of deleteThread.")
class DeleteThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="The input of lockThread.")
class LockThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="The input of unlockThread.")
class UnlockThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="The input of threadFor.")
class ThreadForInput(MutationInput):
    target: TargetInput = strawberry.field(description="The object that the thread is about.")


@strawberry.input(description="The input of deleteAuthor.")
class DeleteAuthorInput(MutationInput):
    author_id: strawberry.ID = strawberry.field(description="The id of the author.")


@strawberry.input(
    description="The input of addComment. If a viewer sends the same comment again within a "
    "minute, with the same clientMutationId, it is not added twice."
)
class AddCommentInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)
    message: str = strawberry.field(description=_MESSAGE)
    author_name: str | None = strawberry.field(default=strawberry.UNSET, description=_AUTHOR)


@strawberry.input(description="The input of editComment.")
class EditCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.input(description="The input of moveComment.")
class MoveCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
    thread_id: strawberry.ID = strawberry.field(
        description="The id of the thread to move the comment to."
    )


@strawberry.input(description="The input of deleteComment.")
class DeleteCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
