"""The type Comment."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

import strawberry
from strawberry.types.lazy_type import LazyType

from ... import models
from ...execution.context import Context
from ...host.access import Access, HostRules
from ...host.policy import COMMENT_COLUMNS, CommentAction, CommentContext, ThreadContext
from ...models.comment import DELETED
from ...resolvers.rendering import render_fairly
from ..fields import column, computed, related_row
from ..nodes import Node
from ..rows import Row
from .author import Author

THREAD: LazyType[Any, Any] = LazyType("Thread", f"{__package__}.thread")
"""The type Thread, by its name: its module imports this one."""

POLICY_COLUMNS = (*COMMENT_COLUMNS, *(f"thread.{name}" for name in ThreadContext._fields))
"""The columns by which a policy decides, those of the comment and of its thread."""


@strawberry.enum(description="The role of who has deleted a comment.")
class DeletedBy(Enum):
    AUTHOR = strawberry.enum_value("AUTHOR", description="The author of the comment.")
    MODERATOR = strawberry.enum_value(
        "MODERATOR", description="Another viewer who may delete the comment."
    )
    HOST = strawberry.enum_value("HOST", description="The host application itself.")
    ERASURE = strawberry.enum_value(
        "ERASURE", description="The author was deleted together with all comments."
    )


@strawberry.type(description="A message in a thread.")
class Comment(Row, Node):
    model: ClassVar = models.Comment

    message: str = column(
        "The text of the comment, as it was written. Query.limits has its maximum length. Empty if "
        "the comment is deleted."
    )
    word_count: int = column(
        "The number of words in the message. Unicode whitespace separates words: "
        "len(message.split()) in Python."
    )
    created_at: datetime = column("When the comment was created.")
    edited_at: datetime | None = column("When the message was last changed. Null if it never was.")
    deleted_at: datetime | None = column(
        "When the comment was deleted. Null if it is not deleted. A deleted comment stays in lists "
        "while it has replies."
    )

    @computed("Whether the comment is deleted, so that only its replies remain.", "status")
    def is_deleted(rules: HostRules, status: str) -> bool:
        return status == DELETED

    @computed("The role of who has deleted the comment. Null if it is not deleted.", "deleted_by")
    def deleted_by(rules: HostRules, deleter: str | None) -> DeletedBy | None:
        return None if deleter is None else deleter.upper()  # type: ignore[return-value]

    @computed(
        "The message as HTML, rendered from Markdown. It is safe to insert into a page unchanged.",
        "message",
    )
    async def message_html(context: Context, message: str) -> str:
        return await render_fairly(context.rules.render, message, context.run_in_thread)

    @computed(
        "The display name of the author, or the name that a guest gave. If the "
        "author has been deleted, it is the host's replacement, or null. Null if the comment is "
        "deleted.",
        "author_name",
        "author_id",
        "placeholder",
        "author.id",
        "author.name",
    )
    def author_name(
        rules: HostRules,
        guest_name: str | None,
        author_id: UUID | None,
        is_placeholder: bool,
        found_id: UUID | None,
        name: str | None,
    ) -> str | None:
        if found_id is not None or is_placeholder:
            return name
        is_guest = author_id is None and guest_name is not None
        return guest_name if is_guest else rules.deleted_author()

    author = related_row(
        "The author who wrote the comment. Null if a guest wrote it, or if the author "
        "or the comment has been deleted.",
        "author",
        Author | None,
    )

    @computed("Whether the viewer may edit the comment.", *POLICY_COLUMNS)
    def viewer_can_edit(access: Access, *columns: Any) -> bool:
        return may(access, "may_edit", columns)

    @computed("Whether the viewer may move the comment to another thread.", *POLICY_COLUMNS)
    def viewer_can_move(access: Access, *columns: Any) -> bool:
        return may(access, "may_move", columns)

    @computed("Whether the viewer may delete the comment.", *POLICY_COLUMNS)
    def viewer_can_delete(access: Access, *columns: Any) -> bool:
        return may(access, "may_delete", columns)

    @computed(
        "Whether the viewer may restore the comment. True only if it is deleted, and its text is "
        "still kept.",
        "deleted_at",
        "deleted_by",
        *POLICY_COLUMNS,
    )
    def viewer_can_restore(
        access: Access, deleted_at: datetime | None, deleted_by: str | None, *columns: Any
    ) -> bool:
        is_restorable = access.rules.is_restorable(deleted_at, deleted_by)
        return is_restorable and may(access, "may_restore", columns)

    thread = related_row(
        "The thread that the comment is in.",
        "thread",
        THREAD,
        missing="The comment's thread was deleted while it was read; read it again.",
    )


def may(access: Access, action: CommentAction, columns: tuple[Any, ...]) -> bool:
    """Return whether the viewer may take an action on a comment.

    :param columns: the values of :data:`POLICY_COLUMNS`; those of a thread that was deleted while
        it was read are None.
    """
    own, of_thread = columns[: len(COMMENT_COLUMNS)], columns[len(COMMENT_COLUMNS) :]
    context = CommentContext._make([*own, ThreadContext._make(of_thread)])
    if access.constant_permission is not None:
        return access.constant_permission and context.admits(action)
    return context.thread.id is not None and access.may(action, context)
