"""The inputs of mutations."""

from __future__ import annotations

import strawberry

from ..resolvers.validation import AUTHOR_NAME_LENGTH, TITLE_LENGTH
from ..settings import Settings
from .arguments import TargetInput

_TITLE = (
    f"What it is about; 1 to {TITLE_LENGTH} characters in one line, without the whitespace around "
    "them."
)
_AUTHOR = (
    f"The name of a guest; 1 to {AUTHOR_NAME_LENGTH} characters in one line, without the "
    "whitespace around them. Leave it out where you are signed in."
)
_THREAD_ID = "The id of the thread."
_COMMENT_ID = "The id of the comment."
_MESSAGE = (
    f"What is written, kept as it is; 1 to {Settings.message_length:,} characters unless the "
    "server is set otherwise (see limits), of which one can be seen."
)


@strawberry.input(description="What the inputs of all mutations have.")
class MutationInput:
    client_mutation_id: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Any text of the client's own; the payload gives it back.",
    )


@strawberry.input(description="The first comment of a new thread.")
class FirstCommentInput:
    message: str = strawberry.field(description=_MESSAGE)
    author_name: str | None = strawberry.field(default=strawberry.UNSET, description=_AUTHOR)


@strawberry.input(description="A thread to begin.")
class CreateThreadInput(MutationInput):
    title: str = strawberry.field(description=_TITLE)
    comment: FirstCommentInput | None = strawberry.field(
        default=strawberry.UNSET, description="Its first comment, if it is to have one."
    )


@strawberry.input(description="Another title for a thread.")
class RenameThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)
    title: str = strawberry.field(description=_TITLE)


@strawberry.input(description="A thread to delete.")
class DeleteThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="A thread that is to take no more comments.")
class LockThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="A thread that is to take comments again.")
class UnlockThreadInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)


@strawberry.input(description="The object that a thread is to be about.")
class ThreadForInput(MutationInput):
    target: TargetInput = strawberry.field(description="The object of the host.")


@strawberry.input(description="An author to delete.")
class DeleteAuthorInput(MutationInput):
    author_id: strawberry.ID = strawberry.field(description="The id of the author.")


@strawberry.input(description="A comment to add to a thread.")
class AddCommentInput(MutationInput):
    thread_id: strawberry.ID = strawberry.field(description=_THREAD_ID)
    message: str = strawberry.field(description=_MESSAGE)
    author_name: str | None = strawberry.field(default=strawberry.UNSET, description=_AUTHOR)


@strawberry.input(description="Another message for a comment.")
class EditCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.input(description="Another thread for a comment.")
class MoveCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
    thread_id: strawberry.ID = strawberry.field(description="The id of the thread to move it to.")


@strawberry.input(description="A comment to delete.")
class DeleteCommentInput(MutationInput):
    comment_id: strawberry.ID = strawberry.field(description=_COMMENT_ID)
