"""The withdrawal of comments: deleted or hidden ones lose their texts if others have replied.

Three states of a comment that is not shown:

- Nobody has replied. A hidden comment stays as it is, in no list; a deleted one is gone.
- It has replies in lists. It is in the lists as a placeholder.
- It has hidden replies alone. It is in no list, since an empty placeholder would tell of them.

In the last two states it is withdrawn: its texts and its author are not in its row, but in
:class:`~tallied.models.WithdrawnText`. A deleted one without any reply left is removed, and a
hidden one gets its texts back. So each change can go on to the comments above, which are locked
with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from ..models import Author, Comment, ReactionTotal, WithdrawnText
from ..models.base import now
from ..models.comment import DELETED, PENDING, PUBLISHED, Deleter
from ..models.counters import counters
from .revisions import delete_revisions
from .selections import table_of


class CommentTree:
    """Comments and all comments above them, under their locks, and the changes to make of them.

    The methods that change a comment take one that was locked by its own key. :meth:`write` writes
    what they have changed.
    """

    def __init__(
        self,
        session: AsyncSession,
        comments: Iterable[Comment],
        texts: Mapping[UUID, WithdrawnText],
    ) -> None:
        self.comments = {comment.id: comment for comment in comments}
        self.unlisted: list[UUID] = []
        """The comments that were in lists, and are in none any more."""
        self._session = session
        self._texts = dict(texts)
        self._child_counts = {id: row.child_count for id, row in self.comments.items()}
        self._listed_counts = {id: row.listed_reply_count for id, row in self.comments.items()}
        self._removed: dict[UUID, Comment] = {}
        self._forgotten: list[UUID] = []
        """The comments that lose their history."""
        self._unanswered: list[UUID] = []
        """The comments that lose their reactions, as they stay without a text."""

    def is_removed(self, id: UUID) -> bool:
        """Return whether the row of a comment is to be deleted."""
        return id in self._removed

    def has_text(self, id: UUID) -> bool:
        """Return whether the text of a withdrawn comment was found."""
        return id in self._texts

    def delete(
        self, id: UUID, by: Deleter, *, at: datetime | None = None, keeps_text: bool = True
    ) -> None:
        """Delete a comment; with replies it stays, without its texts.

        A comment that is deleted already stays as it is.

        :param keeps_text: whether a comment that stays can be restored.
        """
        comment = self.comments[id]
        if comment.status == DELETED:
            return
        if not self._child_counts[id]:
            self._remove(comment)
            return
        was_listed = _is_in_lists(comment)
        self._withdraw(comment, at, keeps_text=keeps_text)
        comment.deleted_at, comment.deleted_by = at or now(), by
        if comment.reaction_count:
            self._unanswered.append(id)
        if comment.revision > 1:
            self._forgotten.append(id)
        self._set_status(comment, DELETED, was_listed)

    def hide(self, id: UUID, status: str) -> None:
        """Give a comment, which is not deleted, a status in which it is not shown."""
        comment = self.comments[id]
        was_listed = _is_in_lists(comment)
        if comment.shown and self._child_counts[id]:
            self._withdraw(comment, None)
        self._set_status(comment, status, was_listed)

    def show(self, id: UUID, status: str = PUBLISHED) -> None:
        """Give a hidden comment, which is not deleted, a status in which it is shown."""
        comment = self.comments[id]
        was_listed = _is_in_lists(comment)
        self._reinstate(comment)
        self._set_status(comment, status, was_listed)

    def restore(self, id: UUID) -> None:
        """Undo the deletion of a comment whose text is there; it is hidden if it was hidden."""
        comment, text = self.comments[id], self._texts[id]
        was_listed, status = _is_in_lists(comment), text.status
        comment.deleted_at = comment.deleted_by = None
        if status == PUBLISHED:
            self._reinstate(comment)
        self._set_status(comment, status, was_listed)

    def erase(self, id: UUID, author_id: UUID) -> None:
        """Delete a comment of an author for good; or its text, where it is withdrawn already."""
        comment, text = self.comments[id], self._texts.get(id)
        is_own_text = text is not None and text.author_id == author_id
        if not (is_own_text or comment.author_id == author_id) or id in self._removed:
            return
        if comment.status != DELETED:
            self.delete(id, "erasure", keeps_text=False)
        elif is_own_text:
            comment.deleted_by = "erasure"
            self._drop(self._texts.pop(id))

    def detach(self, comment: Comment) -> None:
        """Note that a comment is a reply to its parent no longer, since it is moved elsewhere."""
        self._leave_parent(comment)

    async def write(self) -> None:
        """Write the changes."""
        for obj in self._removed.values():
            if obj.parent_id in self._removed:
                # So the reply is deleted first.
                set_committed_value(obj, "parent", self._removed[obj.parent_id])
            await self._session.delete(obj)
        await self._session.flush()
        if self._forgotten:
            await delete_revisions(self._session, self._forgotten)
            self._forgotten.clear()
        if self._unanswered:
            # The reactions go with their totals.
            has_lost = ReactionTotal.comment_id.in_(self._unanswered)
            await self._session.execute(delete(ReactionTotal).where(has_lost))
            self._unanswered.clear()

    def _set_status(self, comment: Comment, status: str, was_listed: bool) -> None:
        comment.status = status
        if status != PENDING and comment.pending_reason is not None:
            comment.pending_reason = None
        is_withdrawn = not comment.shown and self._child_counts[comment.id] > 0
        self._set_placeholder(comment, is_withdrawn and self._listed_counts[comment.id] > 0)
        self._count_listed(comment, was_listed)

    def _set_placeholder(self, comment: Comment, value: bool) -> None:
        if comment.placeholder != value:
            comment.placeholder = value

    def _count_listed(self, comment: Comment, was_listed: bool) -> None:
        """Pass a change on to the parent if the comment has come into lists, or left them."""
        if (is_listed := _is_in_lists(comment)) == was_listed:
            return
        if was_listed:
            self.unlisted.append(comment.id)
        if comment.parent_id is not None:
            self._listed_counts[comment.parent_id] += is_listed - was_listed
            self._settle(self.comments[comment.parent_id])

    def _settle(self, comment: Comment) -> None:
        """Adapt a comment to the number of its replies if it is not shown."""
        if comment.shown or comment.id in self._removed:
            return
        was_listed = _is_in_lists(comment)
        if self._child_counts[comment.id]:
            self._set_placeholder(comment, self._listed_counts[comment.id] > 0)
            self._count_listed(comment, was_listed)
        elif comment.status == DELETED:
            self._remove(comment)
        else:
            self._reinstate(comment)
            self._set_placeholder(comment, False)
            self._count_listed(comment, was_listed)

    def _remove(self, comment: Comment) -> None:
        self._removed[comment.id] = comment
        if _is_in_lists(comment):
            self.unlisted.append(comment.id)
        self._leave_parent(comment)

    def _leave_parent(self, comment: Comment) -> None:
        if comment.parent_id is None:
            return
        self._child_counts[comment.parent_id] -= 1
        self._listed_counts[comment.parent_id] -= _is_in_lists(comment)
        self._settle(self.comments[comment.parent_id])

    def _withdraw(self, comment: Comment, at: datetime | None, *, keeps_text: bool = True) -> None:
        """Move the texts of a comment out of its row, unless they are out already."""
        text = self._texts.get(comment.id)
        if text is not None:
            text.status, text.withdrawn_at = comment.status, at or now()
            if not keeps_text:
                self._drop(text)
        elif keeps_text:
            text = self._texts[comment.id] = WithdrawnText(
                comment_id=comment.id,
                message=comment.message,
                author_id=comment.author_id,
                author_name=comment.author_name,
                status=comment.status,
                withdrawn_at=at or now(),
            )
            self._session.add(text)
        comment.message = ""
        comment.author_id = comment.author_name = comment.submission_key = None

    def _reinstate(self, comment: Comment) -> None:
        """Move the texts of a comment back into its row, if they are out of it."""
        text = self._texts.pop(comment.id, None)
        if text is not None:
            comment.message, comment.author_name = text.message, text.author_name
            comment.author_id = text.author_id
            self._drop(text)

    def _drop(self, text: WithdrawnText) -> None:
        session = self._session.sync_session
        if text in session.new:
            session.expunge(text)
        else:
            session.delete(text)


async def lock_tree(
    session: AsyncSession,
    ids: Collection[UUID],
    *,
    with_texts: bool = False,
    moved_id: UUID | None = None,
    max_moved: int = 0,
) -> CommentTree:
    """Lock comments and all comments above them by one statement.

    :param moved_id: a comment below which all are locked as well, and those that answer them.
    :param max_moved: the most comments to lock of these, and itself.
    :param with_texts: whether the texts of these comments are needed, if they are withdrawn.
    :returns: without the comments that are not there.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    keys = set(ids)
    while True:
        selected = _select_chain(keys)
        if moved_id is not None:
            selected = _select_moved(selected, moved_id, max_moved)
        condition = _is_among(selected, is_sqlite)
        comments = await session.run_sync(counters.lock_all, Comment, condition)
        locked = {comment.id for comment in comments}
        # One that was moved before the lock came has others above it now.
        parents = {comment.parent_id for comment in comments} - {None}
        if parents <= locked:
            break
        keys |= locked
    # A hidden comment may get its texts back, or be deleted.
    withdrawn = [
        comment.id
        for comment in comments
        if (not comment.shown and comment.child_count and comment.status != DELETED)
        or (with_texts and not comment.shown and comment.id in ids)
    ]
    texts = await _lock_texts(session, withdrawn) if withdrawn else {}
    return CommentTree(session, comments, texts)


async def _lock_texts(session: AsyncSession, ids: Collection[UUID]) -> Mapping[UUID, WithdrawnText]:
    """Return withdrawn texts by their comments, which are locked."""
    # An author who is deleted locks their row first; the lock keeps the author until the end.
    of_texts = select(WithdrawnText.author_id).where(WithdrawnText.comment_id.in_(ids))
    authors = select(Author.id).where(Author.id.in_(of_texts)).order_by(Author.id)
    await session.execute(authors.with_for_update(read=True, key_share=True))
    query = select(WithdrawnText).where(WithdrawnText.comment_id.in_(ids))
    query = query.order_by(WithdrawnText.comment_id).with_for_update()
    texts = await session.scalars(query, execution_options={"populate_existing": True})
    return {text.comment_id: text for text in texts}


def _is_among(keys: Select[tuple[UUID]], is_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition for comments with selected keys.

    On PostgreSQL the keys are found once, before the first row is locked: a row that was waited
    for is checked again, and would be looked for among the comments above its former parent.
    """
    if is_sqlite:
        return Comment.id.in_(keys)
    return Comment.id == any_(func.array(keys.scalar_subquery()))


def _select_chain(ids: Collection[UUID]) -> Select[tuple[UUID]]:
    table = table_of(Comment)
    start = select(table.c.id, table.c.parent_id).where(table.c.id.in_(sorted(ids)))
    chain = start.cte("chain", recursive=True)
    above = table.alias("above")
    is_above = above.c.id == chain.c.parent_id
    chain = chain.union(select(above.c.id, above.c.parent_id).join(chain, is_above))
    return select(chain.c.id)


def _select_moved(others: Select[tuple[UUID]], id: UUID, max_moved: int) -> Select[tuple[UUID]]:
    """Return the keys of others, of a comment with all below it, and of those that answer these."""
    table = table_of(Comment)
    below = select(table.c.id).where(table.c.id == id).cte("below", recursive=True)
    child, answer = table.alias("child"), table.alias("answer")
    below = below.union_all(select(child.c.id).join(below, child.c.parent_id == below.c.id))
    moved = select(below.c.id).limit(max_moved).cte("moved")
    answers = select(answer.c.id).join(moved, answer.c.in_reply_to_id == moved.c.id)
    keys = others.union(select(moved.c.id), answers).subquery("keys")
    return select(keys.c.id)


def _is_in_lists(comment: Comment) -> bool:
    return comment.shown or comment.placeholder
