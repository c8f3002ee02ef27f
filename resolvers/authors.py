"""Authors: the rows that stand for a host's identities."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..auth.viewer import Viewer
from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..models import Author
from ..models.base import new_id, now
from ..models.counters import counters
from .events import run_after, run_before
from .insertion import insert_if_new
from .pagination.arguments import Record
from .rows import loaded_values, not_found
from .validation import expect_type


async def find_author(connection: AsyncConnection | AsyncSession, subject: str) -> UUID | None:
    """The key of the author with that subject; None where they have written nothing yet."""
    found: Any = await connection.execute(select(Author.id).where(Author.subject == subject))
    id: UUID | None = found.scalar_one_or_none()
    return id


async def with_author(connection: AsyncConnection | AsyncSession, access: Access) -> Access:
    """The access of someone whose author is looked up, which a policy can compare."""
    if access.viewer is None or access.viewer.author_id is not None:
        return access
    return access.with_author(await find_author(connection, access.viewer.subject))


async def get_or_create_author(session: AsyncSession, access: Access) -> tuple[Access, UUID | None]:
    """The key of the viewer's author, who is made where there is none; None for a guest.

    It comes with the access that a policy decides by, to which an author who was made just
    now is still unknown, as it was to whatever told the client what the viewer may do.

    Two units that make the same author at once end up with one: the second waits for the
    first, and takes its row. The display name is kept as the host last gave it.
    """
    access, author_id, has_new_name = await ensure_author(session, access)
    if has_new_name:
        await update_author_name(session, access)
    return access, author_id


async def ensure_author(session: AsyncSession, access: Access) -> tuple[Access, UUID | None, bool]:
    """Return what :func:`get_or_create_author` does, and whether the display name is to be renewed.

    For who locks a thread first, as everyone locks threads before authors.
    """
    viewer = access.viewer
    if viewer is None:
        return access, None, False
    query = select(Author.id, Author.name).where(Author.subject == viewer.subject)
    # So that nobody deletes the author before what is written refers to it.
    found = await session.execute(query.with_for_update(read=True, key_share=True))
    row = found.one_or_none()
    if row is None:
        made = await _insert_author(session, viewer)
        # None is made where another unit has been faster; then its row is found.
        return (access, made, False) if made else await ensure_author(session, access)
    # asyncpg has a subclass of its own; the counters trust memory for a plain UUID alone.
    id = UUID(int=row.id.int)
    return access.with_author(id), id, viewer.name is not None and viewer.name != row.name


async def update_author_name(session: AsyncSession, access: Access) -> None:
    """Keep the display name of the viewer, whose author is known, as the host last gave it."""
    viewer = access.viewer
    assert viewer is not None
    await session.execute(
        update(Author).where(Author.id == viewer.author_id).values(name=viewer.name),
        execution_options={"synchronize_session": False},
    )


async def _insert_author(session: AsyncSession, viewer: Viewer) -> UUID | None:
    id = new_id()
    row = {"id": id, "subject": viewer.subject, "name": viewer.name, "created_at": now()}
    return id if await insert_if_new(session, Author, row) else None


async def delete_author(unit: UnitOfWork, access: Access, id: UUID) -> Record:
    """Delete an author; what they wrote stays, without a name.

    :raises NotFound: when there is no such author.
    :raises SignInRequired, NotAllowed, Vetoed: where the viewer may not.
    """
    expect_type(UnitOfWork, unit=unit)
    expect_type(Access, access=access)
    expect_type(UUID, id=id)
    access = await with_author(unit.session, access)
    if await unit.session.scalar(select(Author.id).where(Author.id == id)) is None:
        raise not_found("authorId")
    # Before the lock, which would tell by a wait that they are writing.
    access.require(access.may_delete_author(id), "delete this author")
    author = await unit.session.run_sync(counters.lock, Author, id, deleting=True)
    if author is None:
        raise not_found("authorId")
    last = loaded_values(author)
    await run_before(unit, access, "delete_author", author=last)
    await unit.session.delete(author)
    await unit.session.flush()
    await run_after(unit, access, "delete_author", author=last)
    return last
