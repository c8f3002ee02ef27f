"""The threads of a host's objects, which are created at their first use."""

from __future__ import annotations

from ..content.characters import as_line, is_blank
from ..database.unit_of_work import UnitOfWork
from ..errors import NotFound
from ..host.access import Access
from ..host.targets import ID_LENGTH, Target
from ..models import Thread
from .authors import get_or_create_author, with_author
from .changes import ChangedRows, expect_arguments
from .events import run_after, run_before
from .insertion import insert_if_new
from .locking import is_readable
from .pagination.arguments import Record
from .rows import loaded_values, read_thread
from .validation import TITLE_LENGTH, expect_type, find_unstorable


async def get_or_create_thread(
    unit: UnitOfWork, access: Access, target_type: str, target_id: str
) -> ChangedRows:
    """Return the thread about an object of the host, and create it if there is none.

    If two units create the same thread at once, the second waits for the first, and returns its
    row.

    :raises UnknownTargetType: for a type that is not registered.
    :raises NotFound: if there is no such object, or if the viewer may not read its thread.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not create the thread.
    """
    expect_arguments(unit, access)
    expect_type(str, target_type=target_type, target_id=target_id)
    target = access.rules.target(target_type)
    if len(target_id) > ID_LENGTH or find_unstorable(target_id):
        raise _target_not_found(target)
    session = unit.session
    access = await with_author(session, access)
    conditions = (Thread.target_type == target.name, Thread.target_id == target_id)
    thread = await read_thread(session, *conditions)
    if thread is not None and await is_readable(session, access, thread["id"]):
        return ChangedRows(thread)
    # A hidden thread is rejected like one that is not there.
    access.require(access.may_start(target_type), "begin a thread")
    titles = {} if thread else await target.titles(session, [target_id])
    if target_id not in titles:
        raise _target_not_found(target)
    title = as_line(titles[target_id])
    if is_blank(title):
        title = as_line(f"{target_type} {target_id}")
    return await _create(unit, access, target, target_id, title[:TITLE_LENGTH])


async def _create(
    unit: UnitOfWork, access: Access, target: Target, target_id: str, title: str
) -> ChangedRows:
    # The savepoint undoes what hooks have written, if another unit has inserted the row first.
    savepoint = await unit.session.begin_nested()
    _, author_id = await get_or_create_author(unit.session, access)
    writer = access.with_author(author_id)
    thread = Thread(title=title, author_id=author_id, target_type=target.name, target_id=target_id)
    values = loaded_values(thread)
    if not await _would_be_readable(unit, writer, values):
        raise _target_not_found(target)
    await run_before(unit, writer, "create_thread", thread=values)
    if not await insert_if_new(unit.session, Thread, values):
        await savepoint.rollback()
        return await get_or_create_thread(unit, access, target.name, target_id)
    await savepoint.commit()
    if not await is_readable(unit.session, writer, thread.id):
        raise _target_not_found(target)
    row = await read_thread(unit.session, Thread.id == thread.id)
    assert row is not None
    await run_after(unit, writer, "create_thread", thread=row)
    return ChangedRows(row)


async def _would_be_readable(unit: UnitOfWork, access: Access, values: Record) -> bool:
    """Return whether the viewer may read the thread that they create, before a hook runs.

    The rule is a condition in SQL, so the row is inserted for the query, and rolled back. If
    another unit has inserted one meanwhile, the final insert finds that.
    """
    if not access.rules.hooks or access.read_condition() is None:
        return True
    savepoint = await unit.session.begin_nested()
    is_new = await insert_if_new(unit.session, Thread, values)
    may_read = not is_new or await is_readable(unit.session, access, values["id"])
    await savepoint.rollback()
    return may_read


def _target_not_found(target: Target) -> NotFound:
    return NotFound(
        f"There is no such {target.name}; it may have been deleted.", field="target.key"
    )
