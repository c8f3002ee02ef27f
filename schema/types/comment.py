"""The type Comment."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import strawberry
from strawberry.types.lazy_type import LazyType

from ... import models
from ...execution.context import Context
from ...host.access import Access, HostRules
from ...host.policy import COMMENT_COLUMNS, CommentAction, CommentContext, ThreadContext
from ...resolvers.rendering import render_fairly
from ..fields import column, computed, related_row
from ..nodes import Node
from ..rows import Row
from .author import Author

THREAD: LazyType[Any, Any] = LazyType("Thread", f"{__package__}.thread")
"""The type Thread, by its name: its module imports this one."""

POLICY_COLUMNS = (*COMMENT_COLUMNS, *(f"thread.{name}" for name in ThreadContext._fields))
"""The columns by which a policy decides, those of the comment and of its thread."""


@strawberry.type(description="A message in a thread.")
class Comment(Row, Node):
    model: ClassVar = models.Comment

    message: str = column(
        "The text of the comment, as it was written. Query.limits has its maximum length."
    )
    word_count: int = column(
        "The number of words in the message. Unicode whitespace separates words: "
        "len(message.split()) in Python."
    )
    created_at: datetime = column("When the comment was created.")
    edited_at: datetime | None = column("When the message was last changed. Null if it never was.")

    @computed(
        "The message as HTML, rendered from Markdown. It is safe to insert into a page unchanged.",
        "message",
    )
    async def message_html(context: Context, message: str) -> str:
        return await render_fairly(context.rules.render, message, context.run_in_thread)

    @computed(
        "The display name of the author, or the name that a guest gave. If the "
        "author has been deleted, it is the host's replacement, or null.",
        "author_name",
        "author_id",
        "author.id",
        "author.name",
    )
    def author_name(
        rules: HostRules,
        guest_name: str | None,
        author_id: UUID | None,
        found_id: UUID | None,
        name: str | None,
    ) -> str | None:
        if found_id is not None:
            return name
        is_guest = author_id is None and guest_name is not None
        return guest_name if is_guest else rules.deleted_author()

    author = related_row(
        "The author who wrote the comment. Null if a guest wrote it, or if the author "
        "has been deleted.",
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
    if access.constant_permission is not None:
        return access.constant_permission
    own, of_thread = columns[: len(COMMENT_COLUMNS)], columns[len(COMMENT_COLUMNS) :]
    thread = ThreadContext._make(of_thread)
    return thread.id is not None and access.may(action, CommentContext._make([*own, thread]))
