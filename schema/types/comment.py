"""The type Comment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import strawberry
from strawberry import UNSET
from strawberry.types.lazy_type import LazyType

from ... import models
from ...concurrency.scheduler import yield_if_due
from ...execution.comment_loaders import load_ancestors
from ...execution.context import Context
from ...execution.field_declarations import AncestorsField, ConnectionField, ResolvedField
from ...execution.requested_fields import Info
from ...host.access import Access, HostRules
from ...host.policy import COMMENT_COLUMNS, ThreadContext
from ...models.comment import DELETED, PENDING
from ...resolvers.pagination.arguments import Record, RequestedFields, RowPage, Window
from ...resolvers.pagination.orders import COMMENTS
from ...resolvers.queries import REPLIES_TO_COMMENTS
from ...resolvers.rendering import render_fairly
from ...resolvers.rows import split_comment_context
from ..arguments import (
    DEFAULT_COMMENT_ORDER,
    After,
    Before,
    CommentOrderBy,
    First,
    Last,
    read_window,
)
from ..connections import Connection
from ..enumerations import CommentStatus, DeletedBy
from ..fields import column, computed, field, load_list, related_row
from ..nodes import Node
from ..rows import NO_ROWS, Row
from ..scalars import SafeInt
from .author import Author
from .comment_rights import POLICY_COLUMNS, THREAD_COLUMNS, may, moderates
from .reaction import (
    DEFAULT_REACTORS,
    REACTION_GROUPS,
    REACTORS,
    FirstReactors,
    KindOfReactors,
    ReactionGroup,
    Reactor,
)
from .revision import REVISIONS, Revision
from .withdrawn_text import WITHDRAWN_TEXT, WithdrawnText

COMMENT: LazyType[Any, Any] = LazyType("Comment", __name__)
"""The type Comment, by its name."""

REPLIES = ConnectionField(
    "Comment", COMMENTS, DEFAULT_COMMENT_ORDER, REPLIES_TO_COMMENTS, total="listed_reply_count"
)

ANCESTORS = AncestorsField("Comment", "parent")

THREAD: LazyType[Any, Any] = LazyType("Thread", f"{__package__}.thread")
"""The type Thread, by its name: its module imports this one."""


class Tree(NamedTuple):
    """Pages of replies that one statement has read.

    :param arguments: those of the fields of all its levels.
    """

    arguments: Mapping[str, str]
    pages: Mapping[UUID, RowPage]
    levels: int

    def below(self) -> Tree | None:
        """Return the same for the replies, or None if their own replies were not read."""
        return self._replace(levels=self.levels - 1) if self.levels > 1 else None


@strawberry.type(description="A message in a thread.")
class Comment(Row, Node):
    model: ClassVar = models.Comment
    tree: strawberry.Private[Tree | None] = None
    """The pages of replies that were read with the comment."""

    message: str = column(
        "The text of the comment, as it was written. Query.limits has its maximum length. Empty if "
        "the comment is deleted."
    )
    word_count: int = column(
        "The number of words in the message. Unicode whitespace separates words: "
        "len(message.split()) in Python."
    )
    created_at: datetime = column("When the comment was created.")

    @computed(
        "The number of the comment in its thread: 1, 2, 3, … in the order in which comments were "
        "published. Only a move to another thread changes it; 0 if it was never published. It is "
        "for Mutation.markRead.",
        "seq",
    )
    def seq(rules: HostRules, number: SafeInt | None) -> SafeInt:
        return number or SafeInt(0)

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

    revision: int = column(
        "The number of the message: 1 for the original, and one more with each edit. editComment "
        "takes it as expectedRevision."
    )

    @field(
        "The history of the comment, the oldest first, with its present message as the last. Empty "
        "if it was never edited, if it is deleted, and if the viewer may not read its history.",
        declaration=REVISIONS,
    )
    async def revisions(self, info: Info) -> list[Revision]:
        return await load_list(self, info, REVISIONS, "Revision")

    @field(
        "The text of a hidden or deleted comment whose replies remain. That of a hidden comment is "
        "for viewers who may moderate its thread, and that of a deleted one for viewers who may "
        "restore it. Null for others, and for any other comment.",
        declaration=WITHDRAWN_TEXT,
    )
    async def withdrawn_text(self, info: Info) -> WithdrawnText | None:
        return next(iter(await load_list(self, info, WITHDRAWN_TEXT, "WithdrawnText")), None)

    @computed("Whether the viewer may read the history of the comment.", *POLICY_COLUMNS)
    async def viewer_can_read_history(context: Context, *columns: Any) -> bool:
        comment, access = split_comment_context(columns), await context.load_access()
        is_there = comment.thread.id is not None and not comment.is_withdrawn
        return is_there and access.may_read_history(comment)

    @computed(
        "Whether readers see the comment. False if it is deleted, or hidden by a moderator or "
        "until one decides.",
        "shown",
    )
    def is_published(rules: HostRules, shown: bool) -> bool:
        return shown

    @computed(
        "The status of the comment, for viewers who may moderate its thread. Null for others, but "
        "PENDING for their own comment that waits for a moderator.",
        "status",
        "placeholder",
        *THREAD_COLUMNS,
    )
    def status(
        access: Access, status: str, is_placeholder: bool, *columns: Any
    ) -> CommentStatus | None:
        # Nobody else gets a pending comment, unless it is a placeholder.
        is_known = (status == PENDING and not is_placeholder) or moderates(access, columns)
        return status.upper() if is_known else None  # type: ignore[return-value]

    @computed(
        "Why the comment waits for a moderator, for viewers who may moderate its thread. Null for "
        "others, and if it does not wait.",
        "pending_reason",
        *THREAD_COLUMNS,
    )
    def pending_reason(access: Access, reason: str | None, *columns: Any) -> str | None:
        return reason if moderates(access, columns) else None

    @computed(
        "The number of flags of the comment about which no moderator has decided yet, for viewers "
        "who may moderate its thread. Null for others.",
        "flag_count",
        *THREAD_COLUMNS,
    )
    def flag_count(access: Access, count: int, *columns: Any) -> int | None:
        return count if moderates(access, columns) else None

    @field(
        "Whether the viewer has flagged the comment. False for a guest.",
        declaration=ResolvedField(("id",)),
    )
    async def viewer_has_flagged(self, info: Info) -> bool:
        return await info.context.load_flagged(self.record["id"])

    reaction_count: SafeInt = column("The number of reactions to the comment, of all kinds.")

    @field(
        "The reactions to the comment by kind, in the order of Query.reactionKinds. Kinds without "
        "a reaction are left out.",
        declaration=REACTION_GROUPS,
    )
    async def reaction_groups(self, info: Info) -> list[ReactionGroup]:
        return await load_list(self, info, REACTION_GROUPS, "ReactionGroup")

    @field(
        "The latest reactions to the comment, of each kind or of one, with the people who have "
        "reacted. The latest comes first.",
        declaration=REACTORS,
    )
    async def reactors(
        self, info: Info, first: FirstReactors = DEFAULT_REACTORS, kind: KindOfReactors = UNSET
    ) -> list[Reactor]:
        return await load_list(self, info, REACTORS, "Reactor", first=first, kind=kind)

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
        takes_stored=True,
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

    @computed(
        "Whether the viewer may react to the comment. False for guests.",
        *POLICY_COLUMNS,
    )
    def viewer_can_react(access: Access, *columns: Any) -> bool:
        return access.viewer is not None and may(access, "may_react", columns)

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

    depth: int = column("The number of comments above it: 0 at the top level.")
    reply_count: SafeInt = column("The number of direct replies.")
    thread_reply_count: SafeInt = column(
        "The number of all comments below a comment at the top level. 0 for a reply."
    )

    parent = related_row(
        "The comment that it is a reply to. Null at the top level.",
        "parent",
        COMMENT | None,
        type_name="Comment",
    )
    root = related_row(
        "The comment at the top level that it is below. Null at the top level.",
        "root",
        COMMENT | None,
        type_name="Comment",
    )

    @field(
        "The comments above it, the one at the top level first, and its parent last. Empty at the "
        "top level.",
        declaration=ANCESTORS,
    )
    async def ancestors(self, info: Info) -> list[COMMENT]:  # type: ignore[valid-type]
        columns = info.columns("Comment")
        records = await load_ancestors(info.context, self.value("parent_id"), columns)
        thread = self.related.get("thread")
        related = NO_ROWS if thread is None else {"thread": thread}
        return [Comment.from_record(record, related) for record in records]

    in_reply_to = related_row(
        "The comment that it answers, if that is not its parent: a reply to a comment at the "
        "maximum depth has the same parent as that comment. Null for any other comment, and if the "
        "comment that it answers has been deleted or moved.",
        "in_reply_to",
        COMMENT | None,
        type_name="Comment",
    )

    @computed(
        "Whether the viewer may reply to the comment. False if its thread is locked.",
        "shown",
        *POLICY_COLUMNS,
        is_conditional=True,
    )
    def viewer_can_reply(access: Access, shown: bool, *columns: Any) -> bool:
        if access.constant_permission is False:
            return False
        thread = ThreadContext._make(columns[len(COMMENT_COLUMNS) :])
        is_open = shown and thread.id is not None and thread.locked_at is None
        return is_open and may(access, "may_reply", columns)

    @field("A page of the replies to the comment.", declaration=REPLIES)
    async def replies(
        self,
        info: Info,
        first: First = UNSET,
        last: Last = UNSET,
        after: After = UNSET,
        before: Before = UNSET,
        order_by: CommentOrderBy = DEFAULT_COMMENT_ORDER,
    ) -> Connection[COMMENT]:  # type: ignore[valid-type]
        def read() -> tuple[Window, RequestedFields | None, int]:
            limit = info.context.settings.page_size
            window = read_window(REPLIES, limit, first, last, after, before, order_by)
            return window, *info.tree(window.may_read_levels)

        window, requested, levels = info.cached(read)
        tree = self.tree
        if tree is None or tree.arguments != info.arguments:
            tree = None
            if requested:
                id = self.record["id"]
                pages = await info.context.load_tree(id, window, requested, levels)
                tree = Tree(info.arguments, pages, levels)
        page = tree and tree.pages.get(self.record["id"])
        await yield_if_due()
        related = {**self.related, "parent": self.record}
        below = tree and tree.below()
        return Connection.from_page(
            page or RowPage(),
            self.record.get("listed_reply_count"),
            lambda record: Comment.from_reply(record, related, below),
        )

    @classmethod
    def from_reply(
        cls, record: Record, related: Mapping[str, Record], tree: Tree | None
    ) -> Comment:
        """Return a reply, of which a tree may have the replies."""
        comment = cls.from_record(record, related)
        comment.tree = tree
        return comment

    thread = related_row(
        "The thread that the comment is in.",
        "thread",
        THREAD,
        missing="The comment's thread was deleted while it was read; read it again.",
    )
