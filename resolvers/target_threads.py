"""The threads of a host's objects: found, or begun where there is none yet."""

from __future__ import annotations

from ..content.characters import as_line, is_blank
from ..database.unit_of_work import UnitOfWork
from ..errors import NotFound
from ..host.access import Access
from ..host.targets import ID_LENGTH, Target
from ..models import Thread
from .authors import get_or_create_author, with_author
from .changes import ChangedRows
from .events import run_after, run_before
from .insertion import insert_if_new
from .locking import is_readable
from .pagination.arguments import Record
from .rows import loaded_values, read_thread
from .validation import TITLE_LENGTH, expect_type, find_unstorable


async def get_or_create_thread(
    unit: UnitOfWork, access: Access, target_type: str, target_id: str
) -> ChangedRows:
    """The thread about an object of the host; where there is none, it is begun.

    Two units that begin the same one at once end up with one: the second waits for the
    first, and takes its row.

    :raises UnknownTargetType: for a type that is not registered.
    :raises NotFound: where there is no such object, or the viewer may not read its thread.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not begin it.
    """
    expect_type(UnitOfWork, unit=unit)
    expect_type(Access, access=access)
    expect_type(str, target_type=target_type, target_id=target_id)
    target = access.rules.target(target_type)
    if len(target_id) > ID_LENGTH or find_unstorable(target_id):
        raise _no_object(target)
    session = unit.session
    access = await with_author(session, access)
    ours = (Thread.target_type == target.name, Thread.target_id == target_id)
    found = await read_thread(session, *ours)
    if found is not None and await is_readable(session, access, found["id"]):
        return ChangedRows(found)
    # One that is hidden is refused as one that is not there.
    access.require(access.may_start(target_type), "begin a thread")
    titles = {} if found else await target.titles(session, [target_id])
    if target_id not in titles:
        raise _no_object(target)
    title = as_line(titles[target_id])
    if is_blank(title):
        title = as_line(f"{target_type} {target_id}")
    return await _begin(unit, access, target, target_id, title[:TITLE_LENGTH])


async def _begin(
    unit: UnitOfWork, access: Access, target: Target, target_id: str, title: str
) -> ChangedRows:
    # So that what hooks have written goes, where another unit has been faster.
    savepoint = await unit.session.begin_nested()
    _, author_id = await get_or_create_author(unit.session, access)
    asked, access = access, access.with_author(author_id)
    thread = Thread(title=title, author_id=author_id, target_type=target.name, target_id=target_id)
    values = loaded_values(thread)
    if not await _would_be_readable(unit, access, values):
        raise _no_object(target)
    await run_before(unit, access, "create_thread", thread=values)
    if not await insert_if_new(unit.session, Thread, values):
        await savepoint.rollback()
        return await get_or_create_thread(unit, asked, target.name, target_id)
    await savepoint.commit()
    if not await is_readable(unit.session, access, thread.id):
        raise _no_object(target)
    begun = await read_thread(unit.session, Thread.id == thread.id)
    assert begun is not None
    change = ChangedRows(begun)
    await run_after(unit, access, "create_thread", thread=change.thread)
    return change


async def _would_be_readable(unit: UnitOfWork, access: Access, values: Record) -> bool:
    """Whether the viewer may read the thread that they begin, before a hook hears of it.

    What may be read is a condition in SQL, so the row is there to be asked about, and gone
    again. Where another unit has made one meanwhile, that is found by the insert that counts.
    """
    if not access.rules.hooks or access.readable() is None:
        return True
    savepoint = await unit.session.begin_nested()
    is_new = await insert_if_new(unit.session, Thread, values)
    readable = not is_new or await is_readable(unit.session, access, values["id"])
    await savepoint.rollback()
    return readable


def _no_object(target: Target) -> NotFound:
    return NotFound(
        f"There is no such {target.name}; it may have been deleted.", field="target.key"
    )
