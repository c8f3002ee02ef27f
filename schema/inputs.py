"""The inputs of mutations."""

from __future__ import annotations

import strawberry

_TITLE = "What it is about; 1 to 200 characters, without the whitespace around them."
_AUTHOR = "Who writes it; 1 to 100 characters, without the whitespace around them."
_MESSAGE = "What is written, kept as it is; 1 to 10,000 characters, not only whitespace."


@strawberry.input(description="The first comment of a new thread.")
class FirstCommentInput:
    author_name: str = strawberry.field(description=_AUTHOR)
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.input(description="A thread to begin.")
class CreateThreadInput:
    title: str = strawberry.field(description=_TITLE)
    comment: FirstCommentInput | None = strawberry.field(
        default=strawberry.UNSET, description="Its first comment, if it is to have one."
    )


@strawberry.input(description="Another title for a thread.")
class RenameThreadInput:
    thread_id: strawberry.ID = strawberry.field(description="The id of the thread.")
    title: str = strawberry.field(description=_TITLE)


@strawberry.input(description="A thread to delete.")
class DeleteThreadInput:
    thread_id: strawberry.ID = strawberry.field(description="The id of the thread.")


@strawberry.input(description="A comment to add to a thread.")
class AddCommentInput:
    thread_id: strawberry.ID = strawberry.field(description="The id of the thread.")
    author_name: str = strawberry.field(description=_AUTHOR)
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.input(description="Another message for a comment.")
class EditCommentInput:
    comment_id: strawberry.ID = strawberry.field(description="The id of the comment.")
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.input(description="Another thread for a comment.")
class MoveCommentInput:
    comment_id: strawberry.ID = strawberry.field(description="The id of the comment.")
    thread_id: strawberry.ID = strawberry.field(description="The id of the thread to move it to.")


@strawberry.input(description="A comment to delete.")
class DeleteCommentInput:
    comment_id: strawberry.ID = strawberry.field(description="The id of the comment.")
