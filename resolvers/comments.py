"""Changes of comments, each within the session of a unit of work.

A thread is not read where its foreign key will do: the database refuses a thread that is not
there, and the flush returns its counters.

A host calls these functions within a unit of work of its own, with the access of the viewer for
whom it acts. An argument of another type than its annotation is a ``TypeError``.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import UnitOfWork
from ..errors import Conflict, NotRestorable
from ..host.access import Access
from ..host.policy import CommentAction, CommentContext
from ..models import Comment, Thread
from ..models.base import now
from ..models.comment import DELETED, PENDING, PUBLISHED, Deleter
from .authors import ensure_author, get_or_create_author, update_author_name
from .changes import ChangedRows, expect_arguments, finish
from .chronology import find_time_after
from .comment_drafts import CommentDraft, draft_comment
from .events import run_before
from .locking import (
    lock_permitted,
    lock_permitted_comment,
    lock_permitted_tree,
    read_open_thread,
    read_target_type,
)
from .moves import move_comment as move_comment
from .new_comment import NewComment as NewComment
from .pagination.arguments import Record
from .reply_places import Ancestry, lock_ancestry, read_ancestry, require_reply
from .review import find_reason, record_act, review_new
from .revisions import FormerMessage, record_edit
from .rows import (
    counter_values,
    loaded_values,
    not_found,
    read_thread,
    thread_context,
    translate_missing_row,
)
from .submissions import find_repeated, repeat_if_taken
from .validation import check_length, clean_message, clean_reason, expect_type
from .withdrawal import CommentTree, lock_tree


async def add_comment(
    unit: UnitOfWork,
    access: Access,
    thread_id: UUID,
    comment: NewComment | str,
    *,
    reply_to_id: UUID | None = None,
    submission: str | None = None,
) -> ChangedRows:
    """Add a comment to a thread, or a reply to one of its comments.

    A reply that would be deeper than the setting ``reply_depth`` allows gets the deepest parent
    that it may have, and its ``in_reply_to_id`` is the comment that it answers.

    :param comment: the texts, or the message alone.
    :param reply_to_id: the comment that it is a reply to; None for the top level.
    :param submission: the client's own id of the comment. If the same viewer sends the same
        comment again under the same id within a minute, the first one is returned, and no hook
        runs after it.
    :raises InvalidText: for a message or a guest's name that breaks a rule.
    :raises NotFound, Locked: if there is no such thread, or if it accepts no comments; or if it has
        no such comment to reply to.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_type(UnitOfWork, unit=unit)
    draft = draft_comment(access, thread_id, comment, submission, reply_to_id)
    return await add_draft(unit, draft)


async def add_draft(unit: UnitOfWork, draft: CommentDraft) -> ChangedRows:
    """Add a comment whose texts have been checked, as :func:`add_comment` does."""
    session, rules, thread_id = unit.session, draft.access.rules, draft.thread_id
    access, author_id, has_new_name = await ensure_author(session, draft.access)
    if duplicate := await _find_duplicate(unit, access, draft.key):
        return duplicate
    row = draft.build(author_id)
    if draft.checks_thread_first:
        # A hook's veto, or the wait for a lock, would tell of a thread that is closed or hidden.
        await _read_place(session, access, draft, row)
    rules.check_message(draft.message)
    writer = access.with_author(author_id)
    if rules.hooks:
        rows = {"thread": {"id": thread_id}, "comment": loaded_values(row)}
        await run_before(unit, writer, "add_comment", **rows)
    thread = await _insert_comment(session, access, draft, row, has_new_name=has_new_name)
    return await finish(unit, writer, "add_comment", ChangedRows(thread, loaded_values(row)))


async def _read_place(
    session: AsyncSession, access: Access, draft: CommentDraft, comment: Comment
) -> None:
    """Read the thread of a new comment, and the comment to reply to, which must accept it."""
    is_reply = draft.reply_to_id is not None
    thread = await read_open_thread(session, access, draft.thread_id, replying=is_reply)
    if draft.reply_to_id is not None:
        ancestry = await read_ancestry(session, draft.reply_to_id)
        _place(comment, require_reply(access, ancestry, thread), access)


async def _insert_comment(
    session: AsyncSession,
    access: Access,
    draft: CommentDraft,
    comment: Comment,
    *,
    has_new_name: bool,
) -> Record:
    """Insert a comment under the lock of its thread, and return the thread.

    From the lock to the commit, other writers of the thread wait. A reply locks the comments above
    it before.
    """
    ancestry, is_reply = None, draft.reply_to_id is not None
    if draft.reply_to_id is not None:
        ancestry = await lock_ancestry(session, draft.reply_to_id)
    thread = await read_open_thread(
        session, access, comment.thread_id, lock=True, replying=is_reply
    )
    if is_reply:
        _place(comment, require_reply(access, ancestry, thread), access)
    check_length(comment.message, "message", access.rules.message_length_of(thread["target_type"]))
    writer = access.with_author(comment.author_id)
    await review_new(session, writer, comment, thread_context(thread))
    if has_new_name:  # not before, because everyone locks threads before authors
        await update_author_name(session, access)
    comment.created_at = find_time_after(thread["last_comment_at"])
    with translate_missing_row(parent="threadId"), repeat_if_taken():
        session.add(comment)
        await session.flush()
    return {**thread, **counter_values(session, comment.thread_id)}


def _place(comment: Comment, ancestry: Ancestry, access: Access) -> None:
    """Make a new comment a reply to that of an ancestry."""
    for name, value in ancestry.place_of_reply(access.rules.reply_depth)._asdict().items():
        setattr(comment, name, value)


async def _find_duplicate(unit: UnitOfWork, access: Access, key: str | None) -> ChangedRows | None:
    """Return the comment that was just sent under the same hash, if there is one.

    Without hooks, the first attempt of a unit leaves that to the INSERT. A hook might reject the
    comment as a repetition of its author's last one.
    """
    if key is None or (unit.can_repeat and not access.rules.hooks):
        return None
    comment = await find_repeated(unit.session, key)
    if comment is None:
        return None
    condition = access.read_condition()
    conditions = () if condition is None else (condition,)
    thread = await read_thread(unit.session, Thread.id == comment.thread_id, *conditions)
    if thread is None:
        raise not_found("threadId")
    return ChangedRows(thread, loaded_values(comment), is_duplicate=True)


async def edit_comment(
    unit: UnitOfWork,
    access: Access,
    id: UUID,
    message: str,
    *,
    expected_revision: int | None = None,
) -> ChangedRows:
    """Change the message of a comment.

    :param expected_revision: the revision that the viewer has seen.
    :raises Conflict: if the comment has another revision by now.
    :raises InvalidText: for a message that breaks a rule.
    :raises NotFound: if there is no such comment.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    message = clean_message(message, max_length=access.rules.max_message_length)
    with translate_missing_row(row="commentId"):
        access, comment, context, tree = await _lock_to_edit(unit.session, access, id)
        _check_revision(comment, expected_revision)
        await _check_length(unit, access, comment, context, message)
        access.rules.check_message(message)
        values = {**loaded_values(comment), "message": message}
        thread = {"id": comment.thread_id}
        await run_before(unit, access, "edit_comment", thread=thread, comment=values)
        if comment.message != message:
            writer, reason = access, None
            if tree is not None and context is not None:
                writer, reason = await _review(unit, access, comment, context, message)
            await _write_message(unit, writer, comment, message)
            if tree is not None and reason is not None:
                await _hold_back(unit.session, tree, comment, reason)
        counters = counter_values(unit.session, comment.thread_id)
        unlisted = () if tree is None else tuple(tree.unlisted)
        change = ChangedRows(counters, loaded_values(comment), removed_ids=unlisted)
        return await finish(unit, access, "edit_comment", change)


async def _review(
    unit: UnitOfWork, access: Access, comment: Comment, context: CommentContext, message: str
) -> tuple[Access, str | None]:
    """Return the access with the editor's author, and why the edit is to wait for a moderator."""
    # A check may write of the editor, who must not be erased meanwhile.
    writer, author_id, _ = await ensure_author(unit.session, access)
    writer, session = writer.with_author(author_id), unit.session
    return writer, await find_reason(
        session, writer, comment, context.thread, message, is_edit=True
    )


async def _lock_to_edit(
    session: AsyncSession, access: Access, id: UUID
) -> tuple[Access, Comment, CommentContext | None, CommentTree | None]:
    """Lock a comment to be edited; with the comments above it, if a check may hide it."""
    action: CommentAction = "may_edit"
    sentence = "edit this comment"
    if not access.rules.comment_checks or access.is_unrestricted:
        locked = await lock_permitted_comment(session, access, id, action, sentence)
        return (*locked, None)
    trees: list[CommentTree] = []

    async def lock() -> Comment | None:
        trees.append(await lock_tree(session, [id]))
        return trees[-1].comments.get(id)

    return (*await lock_permitted(session, access, id, action, sentence, lock), trees[-1])


async def _hold_back(
    session: AsyncSession, tree: CommentTree, comment: Comment, reason: str
) -> None:
    """Let an edited comment wait for a moderator, unless one has hidden it."""
    if comment.status not in (PUBLISHED, PENDING):
        return
    record_act(session, comment, comment.status, PENDING, None, reason)
    comment.pending_reason = reason
    if comment.status == PUBLISHED:
        tree.hide(comment.id, PENDING)
    await tree.write()


def _check_revision(comment: Comment, expected: int | None) -> None:
    if expected is None or expected == comment.revision:
        return
    error = Conflict(
        f"The comment has been changed meanwhile: it has revision {comment.revision}, not"
        f" {expected}; look at it, and edit it again.",
        field="expectedRevision",
    )
    error.change = ChangedRows({"id": comment.thread_id}, loaded_values(comment))
    raise error


async def _write_message(unit: UnitOfWork, access: Access, comment: Comment, message: str) -> None:
    """Write a message, and record it in the comment's history."""
    former = FormerMessage.of(comment)
    comment.message, comment.edited_at = message, now()
    comment.revision += 1
    await unit.session.flush()
    if access.rules.revisions:
        editor_id = access.viewer.author_id if access.viewer else None
        if editor_id is None:
            _, editor_id = await get_or_create_author(unit.session, access)
        await record_edit(unit.session, comment, former, editor_id, access.rules.revisions)


async def delete_comment(
    unit: UnitOfWork, access: Access, id: UUID, *, reason: str | None = None
) -> ChangedRows:
    """Delete a comment. With replies in lists it stays there, without its text and its author.

    Comments above it that are deleted, and have no reply left, are removed with it. A comment that
    is deleted already stays as it is, and no hook runs.

    :param reason: why, for hooks.
    :returns: the comment as it is in lists, or with its last values where it is in none any more.
    :raises InvalidText: for a reason that breaks a rule.
    :raises NotFound: if there is no such comment.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    reason = clean_reason(reason)
    session = unit.session
    with translate_missing_row(row="commentId"):
        access, comment, tree = await lock_permitted_tree(
            session, access, id, "may_delete", "delete this comment"
        )
        values, thread = loaded_values(comment), {"id": comment.thread_id}
        if comment.status == DELETED:
            return ChangedRows(thread, values)
        await run_before(
            unit, access, "delete_comment", thread=thread, comment=values, reason=reason
        )
        by = deleter(access, comment.author_id)
        tree.delete(id, by, keeps_text=access.rules.restore_days > 0)
        await tree.write()
        counters = counter_values(session, comment.thread_id)
        # Hooks get the comment's last values also where it stays.
        await finish(unit, access, "delete_comment", ChangedRows(counters, values), reason=reason)
        removed = tuple(tree.unlisted)
        if tree.is_removed(id) and id not in removed:
            removed = (id, *removed)  # It was in no list before.
        row = values if id in removed else loaded_values(comment)
        return ChangedRows(counters, row, removed_ids=removed)


async def restore_comment(unit: UnitOfWork, access: Access, id: UUID) -> ChangedRows:
    """Restore a deleted comment, which has been kept since it has replies.

    A comment that is not deleted stays as it is, and no hook runs.

    :raises NotFound: if there is no such comment.
    :raises NotRestorable: if its text is not kept any more.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    session = unit.session
    access, comment, tree = await lock_permitted_tree(
        session, access, id, "may_restore", "restore this comment"
    )
    thread = {"id": comment.thread_id}
    if comment.status != DELETED:
        return ChangedRows(thread, loaded_values(comment))
    if not (
        tree.has_text(id) and access.rules.is_restorable(comment.deleted_at, comment.deleted_by)
    ):
        raise NotRestorable(
            "The text of this comment is not kept any more; it cannot be restored.",
            field="commentId",
        )
    values = loaded_values(comment)
    await run_before(unit, access, "restore_comment", thread=thread, comment=values)
    tree.restore(id)
    await tree.write()
    counters = counter_values(session, comment.thread_id)
    change = ChangedRows(counters, loaded_values(comment))
    return await finish(unit, access, "restore_comment", change)


def deleter(access: Access, author_id: UUID | None) -> Deleter:
    """Return the role in which a viewer deletes a comment of an author."""
    if access.is_host:
        return "host"
    viewer_id = access.viewer.author_id if access.viewer else None
    return "author" if author_id is not None and viewer_id == author_id else "moderator"


async def _check_length(
    unit: UnitOfWork, access: Access, comment: Comment, context: CommentContext | None, message: str
) -> None:
    """Check a message against the limit of its thread, which may be lower than elsewhere."""
    rules = access.rules
    target_type = None if context is None else context.thread.target_type
    if context is None and any(target.message_length for target in rules.targets.values()):
        target_type = await read_target_type(unit.session, comment.thread_id)
    check_length(message, "message", rules.message_length_of(target_type))
