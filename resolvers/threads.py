"""Changes of threads, each within the session of a unit of work.

A row is read under its lock before it is changed, so the returned values are those that the
database holds once the unit commits.

A host calls these functions within a unit of work of its own, with the access of the viewer for
whom it acts. An argument of another type than its annotation is a ``TypeError``.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import HookedOperation
from ..models import Comment, Thread
from ..models.base import now
from .authors import get_or_create_author
from .changes import ChangedRows, expect_arguments, finish
from .events import run_before
from .locking import lock_permitted_thread
from .new_comment import NewComment, as_new_comment, build_comment, prefix_error_fields, text_checks
from .review import review_new
from .rows import loaded_values, thread_context, translate_missing_row
from .validation import clean_title, collect_errors


async def create_thread(
    unit: UnitOfWork, access: Access, title: str, comment: NewComment | str | None = None
) -> ChangedRows:
    """Create a thread, with its first comment if one is given.

    The hooks of ``create_thread`` run, and with a comment those of ``add_comment``, too.

    :param comment: the texts of the first comment, or its message alone.
    :raises InvalidText: for a title, a message or a guest's name that breaks a rule.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access)
    checks: list[Any] = [partial(clean_title, title)]
    if comment is not None:
        max_length = access.rules.message_length_of(None)
        checks += text_checks(access, as_new_comment(comment), max_length, "comment.")
    title, *texts = collect_errors(*checks)
    access, author_id = await get_or_create_author(unit.session, access)
    access.require(access.may_start(), "begin a thread")
    access = access.with_author(author_id)
    unset: dict[str, Any] = dict.fromkeys(("locked_at", "target_type", "target_id"))
    # With every column set, none is missing from memory after the flush.
    thread = Thread(title=title, author_id=author_id, **unset)
    if not texts:
        await run_before(unit, access, "create_thread", thread=loaded_values(thread))
        unit.session.add(thread)
        await unit.session.flush()
        return await finish(unit, access, "create_thread", ChangedRows(loaded_values(thread)))
    first = build_comment(*texts, thread_id=thread.id, author_id=author_id)
    with prefix_error_fields():
        access.rules.check_message(first.message)
    await _write_with_comment(unit, access, thread, first)
    change = ChangedRows(loaded_values(thread), loaded_values(first))
    await finish(unit, access, "create_thread", change)
    return await finish(unit, access, "add_comment", change)


async def _write_with_comment(
    unit: UnitOfWork, access: Access, thread: Thread, first: Comment
) -> None:
    """Write a thread and its first comment, each after the hooks that precede it."""
    session = unit.session
    context = thread_context(loaded_values(thread))
    if not access.rules.hooks:
        with prefix_error_fields():
            await review_new(session, access, first, context)
        thread.comments.append(first)
        session.add(thread)
        await session.flush()
        return
    rows = {"thread": loaded_values(thread), "comment": loaded_values(first)}
    await run_before(unit, access, "create_thread", **rows)
    # The hooks that precede a comment can read its thread. A veto undoes the thread, even if the
    # caller goes on after it.
    async with session.begin_nested():
        session.add(thread)
        await session.flush()
        rows = {"thread": loaded_values(thread), "comment": loaded_values(first)}
        with prefix_error_fields():
            await run_before(unit, access, "add_comment", **rows)
            await review_new(session, access, first, context)
        session.add(first)
        await session.flush()


async def rename_thread(unit: UnitOfWork, access: Access, id: UUID, title: str) -> ChangedRows:
    """Change the title of a thread.

    :raises InvalidText: for a title that breaks a rule.
    :raises NotFound: if there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    title = clean_title(title)
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_rename", "rename this thread"
        )
        values = {**loaded_values(thread), "title": title}
        await run_before(unit, access, "rename_thread", thread=values)
        if thread.title != title:
            thread.title, thread.updated_at = title, now()
            await unit.session.flush()
        return await finish(unit, access, "rename_thread", ChangedRows(loaded_values(thread)))


async def lock_thread(
    unit: UnitOfWork, access: Access, id: UUID, locked: bool = True
) -> ChangedRows:
    """Lock a thread, so that it accepts no more comments, or unlock it.

    :raises NotFound: if there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    operation: HookedOperation = "lock_thread" if locked else "unlock_thread"
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_lock", operation.replace("_", " this ")
        )
        await run_before(unit, access, operation, thread=loaded_values(thread))
        if (thread.locked_at is not None) != locked:
            thread.locked_at = now() if locked else None
            await unit.session.flush()
        return await finish(unit, access, operation, ChangedRows(loaded_values(thread)))


async def delete_thread(unit: UnitOfWork, access: Access, id: UUID) -> ChangedRows:
    """Delete a thread with its comments, and return its last values.

    :raises NotFound: if there is no such thread.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    with translate_missing_row(row="threadId"):
        access, thread = await lock_permitted_thread(
            unit.session, access, id, "may_delete_thread", "delete this thread"
        )
        values = loaded_values(thread)
        await run_before(unit, access, "delete_thread", thread=values)
        await unit.session.delete(thread)
        await unit.session.flush()
        return await finish(unit, access, "delete_thread", ChangedRows(values))
