"""Writing: what is asked of the session of one unit of work, and the rows that came of it.

Rows are read under their lock before they are changed, so what is handed out is what
the database holds once the unit commits. A thread is not read where its foreign key
will do: the database refuses a thread that is not there, and the flush brings back its
counters.

A host calls these functions within a unit of work of its own, with the access of
whomever it acts for. An argument of another type than is written here is a ``TypeError``.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import UnitOfWork
from ..errors import InvalidText
from ..host.access import Access
from ..host.hooks import HookedOperation
from ..host.policy import CommentContext
from ..models import Comment, Thread
from ..models.base import now
from .authors import ensure_author, get_or_create_author, update_author_name
from .chronology import find_time_after
from .events import run_after, run_before
from .locking import (
    lock_permitted_comment,
    lock_permitted_thread,
    read_open_thread,
    read_target_type,
)
from .pagination.arguments import Record
from .rows import counter_values, loaded_values, not_found, read_thread, translate_missing_row
from .submissions import find_repeated, hash_submission, repeat_if_taken
from .texts import NewComment as NewComment
from .texts import clean_comment, of_comment
from .validation import check_length, clean_message, clean_title, expect_type


class ChangedRows(NamedTuple):
    """The rows that a change concerned, as far as it brought them along."""

    thread: Record
    comment: Record | None = None
    previous_thread: Record | None = None
    is_duplicate: bool = False
    """Whether nothing was written, since the comment had been sent just before."""


async def create_thread(
    unit: UnitOfWork, access: Access, title: str, comment: NewComment | None = None
) -> ChangedRows:
    """Begin a thread, with its first comment where one is given.

    The hooks of ``create_thread`` run, and where there is a comment, those of ``add_comment``.

    :raises InvalidText: for a title, a message or a guest's name that breaks a rule.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access)
    if comment is not None:
        expect_type(NewComment, comment=comment)
    access, author_id = await get_or_create_author(unit.session, access)
    access.require(access.may_start(), "begin a thread")
    access = access.with_author(author_id)
    unset: dict[str, Any] = dict.fromkeys(("locked_at", "target_type", "target_id"))
    # With every column set, none is missing from memory after the flush.
    thread = Thread(title=clean_title(title), author_id=author_id, **unset)
    if comment is None:
        await run_before(unit, access, "create_thread", thread=loaded_values(thread))
        unit.session.add(thread)
        await unit.session.flush()
        return await _done(unit, access, "create_thread", ChangedRows(loaded_values(thread)))
    comment = clean_comment(access, comment, access.rules.message_length_of(None), "comment.")
    with of_comment():
        access.rules.check_message(comment.message)
    first = _comment(comment, thread_id=thread.id, author_id=author_id)
    await _write_both(unit, access, thread, first)
    change = ChangedRows(loaded_values(thread), loaded_values(first))
    await _done(unit, access, "create_thread", change)
    return await _done(unit, access, "add_comment", change)


async def _write_both(unit: UnitOfWork, access: Access, thread: Thread, first: Comment) -> None:
    """Write a thread and its first comment, each after the hooks that come before it."""
    session = unit.session
    if not access.rules.hooks:
        thread.comments.append(first)
        session.add(thread)
        await session.flush()
        return
    await run_before(
        unit, access, "create_thread", thread=loaded_values(thread), comment=loaded_values(first)
    )
    # Hooks before a comment find its thread. A veto takes that back, whoever goes on after it.
    async with session.begin_nested():
        session.add(thread)
        await session.flush()
        with of_comment():
            await run_before(
                unit,
                access,
                "add_comment",
                thread=loaded_values(thread),
                comment=loaded_values(first),
            )
        session.add(first)
        await session.flush()


async def rename_thread(unit: UnitOfWork, access: Access, id: UUID, title: str) -> ChangedRows:
    """Give a thread another title.

    :raises InvalidText: for a title that breaks a rule.
    :raises NotFound: when there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id)
    title = clean_title(title)
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_rename", "rename this thread"
        )
        await run_before(
            unit, access, "rename_thread", thread={**loaded_values(thread), "title": title}
        )
        if thread.title != title:
            thread.title, thread.updated_at = title, now()
            await unit.session.flush()
        return await _done(unit, access, "rename_thread", ChangedRows(loaded_values(thread)))


async def lock_thread(
    unit: UnitOfWork, access: Access, id: UUID, locked: bool = True
) -> ChangedRows:
    """Lock a thread, so that it takes no more comments; or unlock it.

    :raises NotFound: when there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id)
    operation: HookedOperation = "lock_thread" if locked else "unlock_thread"
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_lock", operation.replace("_", " this ")
        )
        await run_before(unit, access, operation, thread=loaded_values(thread))
        if (thread.locked_at is not None) != locked:
            thread.locked_at = now() if locked else None
            await unit.session.flush()
        return await _done(unit, access, operation, ChangedRows(loaded_values(thread)))


async def delete_thread(unit: UnitOfWork, access: Access, id: UUID) -> ChangedRows:
    """Delete a thread with its comments; it is handed out as it last was.

    :raises NotFound: when there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id)
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_delete_thread", "delete this thread"
        )
        last = loaded_values(thread)
        await run_before(unit, access, "delete_thread", thread=last)
        await unit.session.delete(thread)
        await unit.session.flush()
        return await _done(unit, access, "delete_thread", ChangedRows(last))


async def add_comment(
    unit: UnitOfWork,
    access: Access,
    thread_id: UUID,
    comment: NewComment,
    *,
    submission: str | None = None,
) -> ChangedRows:
    """Add a comment to a thread.

    :param submission: the client's own id of it. What the same viewer sends again under the same id
        within a minute is one comment: the first is handed out, and no hook runs after it.
    :raises InvalidText: for a message that breaks a rule.
    :raises NotFound, Locked: when there is no such thread, or it takes no comments.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, thread_id=thread_id)
    expect_type(NewComment, comment=comment)
    session = unit.session
    access.require(access.may_write, "write comments")
    access, author_id, has_new_name = await ensure_author(session, access)
    writer = access.with_author(author_id)
    key = hash_submission(access, thread_id, comment, submission) if submission else None
    if duplicate := await _find_duplicate(unit, access, key):
        return duplicate
    if access.rules.hooks or not access.may_comment_anywhere:
        # Before a hook tells why not, or a lock tells by waiting that somebody writes there.
        await read_open_thread(session, access, thread_id)
    comment = clean_comment(access, comment, access.rules.max_message_length)
    access.rules.check_message(comment.message)
    added = _comment(comment, thread_id=thread_id, author_id=author_id, submission_key=key)
    await run_before(
        unit, writer, "add_comment", thread={"id": thread_id}, comment=loaded_values(added)
    )
    thread = await _insert_comment(session, access, added, has_new_name=has_new_name)
    return await _done(unit, writer, "add_comment", ChangedRows(thread, loaded_values(added)))


async def _insert_comment(
    session: AsyncSession, access: Access, added: Comment, *, has_new_name: bool
) -> Record:
    """Write a comment under the lock of its thread, and return the thread.

    From the lock to the commit, who else writes in the thread waits.
    """
    thread = await read_open_thread(session, access, added.thread_id, lock=True)
    check_length(added.message, "message", access.rules.message_length_of(thread["target_type"]))
    if has_new_name:  # not before, as everyone locks threads before authors
        await update_author_name(session, access)
    added.created_at = find_time_after(thread["last_comment_at"])
    with translate_missing_row(parent="threadId"), repeat_if_taken():
        session.add(added)
        await session.flush()
    return {**thread, **counter_values(session, added.thread_id)}


async def _find_duplicate(unit: UnitOfWork, access: Access, key: str | None) -> ChangedRows | None:
    """Return the comment that was sent under the same hash just before, if there is one.

    Without hooks, the first try of a unit leaves that to the INSERT. With hooks, one of them might
    refuse the comment as what its author has just said.
    """
    if key is None or (unit.can_repeat and not access.rules.hooks):
        return None
    comment = await find_repeated(unit.session, key)
    if comment is None:
        return None
    condition = access.readable()
    readable = () if condition is None else (condition,)
    thread = await read_thread(unit.session, Thread.id == comment.thread_id, *readable)
    if thread is None:
        raise not_found("threadId")
    return ChangedRows(thread, loaded_values(comment), is_duplicate=True)


async def edit_comment(unit: UnitOfWork, access: Access, id: UUID, message: str) -> ChangedRows:
    """Give a comment another message.

    :raises InvalidText: for a message that breaks a rule.
    :raises NotFound: when there is no such comment.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id)
    with translate_missing_row(row="commentId"):
        access, comment, facts = await lock_permitted_comment(
            unit.session, access, id, "may_edit", "edit this comment"
        )
        await _check_length(unit, access, comment, facts, message)
        access.rules.check_message(message)
        to_be = {**loaded_values(comment), "message": message}
        await run_before(unit, access, "edit_comment", thread=_in(comment), comment=to_be)
        if comment.message != message:
            comment.message, comment.edited_at = message, now()
            await unit.session.flush()
        change = ChangedRows(
            counter_values(unit.session, comment.thread_id), loaded_values(comment)
        )
        return await _done(unit, access, "edit_comment", change)


async def move_comment(unit: UnitOfWork, access: Access, id: UUID, thread_id: UUID) -> ChangedRows:
    """Put a comment into another thread.

    :raises NotFound: when there is no such comment, or no such thread.
    :raises Locked: when that thread takes no comments.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id, thread_id=thread_id)
    session = unit.session
    access, comment, _ = await lock_permitted_comment(
        session, access, id, "may_move", "move this comment"
    )
    previous = _in(comment)
    looks_first = access.rules.hooks or not access.may_comment_anywhere
    if looks_first and thread_id != comment.thread_id:
        await _takes(session, access, thread_id, comment)
    to_be = {**loaded_values(comment), "thread_id": thread_id}
    await run_before(
        unit,
        access,
        "move_comment",
        thread={"id": thread_id},
        comment=to_be,
        previous_thread=previous,
    )
    with translate_missing_row(row="commentId", parent="threadId"):
        comment.thread_id = thread_id
        await session.flush()
    thread = counter_values(session, thread_id)
    if thread_id != previous["id"]:
        thread = await _takes(session, access, thread_id, comment)
    change = ChangedRows(thread, loaded_values(comment), counter_values(session, previous["id"]))
    return await _done(unit, access, "move_comment", change)


async def delete_comment(unit: UnitOfWork, access: Access, id: UUID) -> ChangedRows:
    """Delete a comment; it is handed out as it last was.

    :raises NotFound: when there is no such comment.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    _expect(unit, access, id=id)
    with translate_missing_row(row="commentId"):
        access, comment, _ = await lock_permitted_comment(
            unit.session, access, id, "may_delete", "delete this comment"
        )
        last = loaded_values(comment)
        await run_before(unit, access, "delete_comment", thread=_in(comment), comment=last)
        await unit.session.delete(comment)
        await unit.session.flush()
        change = ChangedRows(counter_values(unit.session, comment.thread_id), last)
        return await _done(unit, access, "delete_comment", change)


async def _check_length(
    unit: UnitOfWork, access: Access, comment: Comment, facts: CommentContext | None, message: str
) -> None:
    rules = access.rules
    target_type = None if facts is None else facts.thread.target_type
    if facts is None and any(target.message_length for target in rules.targets.values()):
        target_type = await read_target_type(unit.session, comment.thread_id)
    clean_message(message, longest=rules.message_length_of(target_type))


async def _takes(session: AsyncSession, access: Access, thread_id: UUID, moved: Comment) -> Record:
    """A thread that a comment may be moved to, which is no longer than comments are there."""
    thread = await read_open_thread(session, access, thread_id)
    size, longest = len(moved.message), access.rules.message_length_of(thread["target_type"])
    if size > longest:
        raise InvalidText(
            f"The comment has {size} characters, and that thread takes at most {longest}; shorten"
            " it first.",
            field="threadId",
            code="TOO_LONG",
            params={"max": longest, "actual": size},
        )
    return thread


def _expect(unit: UnitOfWork, access: Access, **ids: UUID) -> None:
    expect_type(UnitOfWork, unit=unit)
    expect_type(Access, access=access)
    expect_type(UUID, **ids)


def _in(comment: Comment) -> Record:
    return {"id": comment.thread_id}


def _comment(new: NewComment, **values: Any) -> Comment:
    # With every column set, none is missing from memory after the flush.
    return Comment(**new._asdict(), **{"edited_at": None, "submission_key": None, **values})


async def _done(
    unit: UnitOfWork, access: Access, operation: HookedOperation, change: ChangedRows
) -> ChangedRows:
    rows = {name: getattr(change, name) for name in ("thread", "comment", "previous_thread")}
    await run_after(unit, access, operation, **rows)
    return change
