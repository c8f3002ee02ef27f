"""The threads of a host's objects: found, or begun where there is none yet."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import NotFound
from ..hooks import Event, after, before
from ..models import Thread
from ..models.counters import counters
from ..rules import Access
from ..targets import ID_LENGTH, Target
from ..units import UnitOfWork
from .authors import acting, writing_as
from .locking import THREAD_COLUMNS, is_readable, known
from .paging import Record
from .validation import TITLE_LENGTH, unstorable
from .writing import Change


async def thread_for(unit: UnitOfWork, access: Access, target_type: str, target_id: str) -> Change:
    """The thread about an object of the host; where there is none, it is begun.

    Two units that begin the same one at once end up with one: the second waits for the
    first, and takes its row.

    :raises UnknownTargetType: for a type that is not registered.
    :raises NotFound: where there is no such object, or the viewer may not read its thread.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not begin it.
    """
    target = access.rules.target(target_type)
    if len(target_id) > ID_LENGTH or unstorable(target_id):
        raise _no_object(target)
    session = unit.session
    access = await acting(session, access)
    found = await _find(session, target, target_id)
    if found is not None and await is_readable(session, access, found["id"]):
        return Change(found)
    # One that is hidden is refused as one that is not there.
    access.require(access.may_start(target_type), "begin a thread")
    titles = {} if found else await target.titles(session, [target_id])
    if target_id not in titles:
        raise _no_object(target)
    title = titles[target_id].strip() or f"{target_type} {target_id}"
    return await _begin(unit, access, target, target_id, title[:TITLE_LENGTH])


async def _begin(
    unit: UnitOfWork, access: Access, target: Target, target_id: str, title: str
) -> Change:
    # So that what hooks have written goes, where another unit has been faster.
    savepoint = await unit.session.begin_nested()
    _, author_id = await writing_as(unit.session, access)
    asked, access = access, access.known_as(author_id)
    thread = Thread(title=title, author_id=author_id, target_type=target.name, target_id=target_id)
    values = known(thread)
    await before(access.rules.hooks, Event("create_thread", access.viewer, values), unit)
    if not await _insert(unit.session, values):
        await savepoint.rollback()
        return await thread_for(unit, asked, target.name, target_id)
    await savepoint.commit()
    if not await is_readable(unit.session, access, thread.id):
        raise _no_object(target)
    change = Change(await _read(unit.session, thread.id))
    after(access.rules.hooks, Event("create_thread", access.viewer, change.thread), unit)
    return change


async def _insert(session: AsyncSession, values: Record) -> bool:
    """Whether the row is new; where there is one for the object already, nothing is done."""
    insert: Any = sqlite.insert
    if session.get_bind().dialect.name == "postgresql":
        insert = postgresql.insert
    counted = {counter.key for counter in counters.counters_of(inspect(Thread))}
    written = {name: value for name, value in values.items() if name not in counted}
    statement = insert(Thread).values(written).on_conflict_do_nothing().returning(Thread.id)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def _find(session: AsyncSession, target: Target, target_id: str) -> Record | None:
    columns = [each.class_attribute for each in THREAD_COLUMNS]
    ours = (Thread.target_type == target.name, Thread.target_id == target_id)
    row = (await session.execute(select(*columns).where(*ours))).one_or_none()
    return None if row is None else row._asdict()


async def _read(session: AsyncSession, id: UUID) -> Record:
    columns = [each.class_attribute for each in THREAD_COLUMNS]
    return (await session.execute(select(*columns).where(Thread.id == id))).one()._asdict()


def _no_object(target: Target) -> NotFound:
    return NotFound(
        f"There is no {target.name} with this id; it may have been deleted.", field="target.id"
    )
