"""Authors: the rows that stand for the viewers of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..auth.viewer import Viewer
from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..models import Author
from ..models.base import new_id, now
from ..models.counters import counters
from .changes import expect_arguments
from .events import run_after, run_before
from .insertion import insert_if_new
from .list_statements import ListStatement
from .pagination.arguments import Record
from .rows import loaded_values, not_found


async def find_author(connection: AsyncConnection | AsyncSession, subject: str) -> UUID | None:
    """Return the key of the author with that subject, or None if they have written nothing yet."""
    result: Any = await connection.execute(select(Author.id).where(Author.subject == subject))
    id: UUID | None = result.scalar_one_or_none()
    return id


async def with_author(connection: AsyncConnection | AsyncSession, access: Access) -> Access:
    """Return the access with the key of the viewer's author, with which a policy can compare."""
    if access.viewer is None or access.viewer.author_id is not None or access.has_read_author:
        return access
    return access.with_author(await find_author(connection, access.viewer.subject))


async def get_or_create_author(session: AsyncSession, access: Access) -> tuple[Access, UUID | None]:
    """Return the key of the viewer's author, who is created if there is none; None for a guest.

    The returned access is the one by which a policy decides. It does not know an author who was
    just created, as the client did not when it asked what the viewer may do.

    If two units create the same author at once, the second waits for the first, and uses its row.
    The display name is updated to the one that the host gives.
    """
    access, author_id, has_new_name = await ensure_author(session, access)
    if has_new_name:
        await update_author_name(session, access)
    return access, author_id


async def ensure_author(session: AsyncSession, access: Access) -> tuple[Access, UUID | None, bool]:
    """Return the results of :func:`get_or_create_author`, and whether the name is to be updated.

    A caller that also locks a thread updates the name after that: everyone locks threads before
    authors.
    """
    viewer = access.viewer
    if viewer is None:
        return access, None, False
    query = select(Author.id, Author.name).where(Author.subject == viewer.subject)
    # The lock keeps the author from being deleted before the new row refers to it.
    result = await session.execute(query.with_for_update(read=True, key_share=True))
    row = result.one_or_none()
    if row is None:
        author_id = await _insert_author(session, viewer)
        # If another unit has inserted the author first, its row is there now.
        return (access, author_id, False) if author_id else await ensure_author(session, access)
    # asyncpg has a subclass of its own; the counters accept only a plain UUID from memory.
    id = UUID(int=row.id.int)
    return access.with_author(id), id, viewer.name is not None and viewer.name != row.name


async def lock_free_authors(
    session: AsyncSession, accesses: Iterable[Access]
) -> Mapping[str, tuple[UUID, str | None]]:
    """Return the keys and names of the viewers' authors by subject, under the lock of a reader.

    Nobody waits: authors who are locked by another transaction are left out, as are new ones.
    """
    subjects = {access.viewer.subject for access in accesses if access.viewer}
    if not subjects:
        return {}
    rows = await _LOCK_AUTHORS.fetch(session, Author, sorted(subjects))
    # asyncpg has a subclass of its own; the counters accept only a plain UUID from memory.
    return {subject: (UUID(int=id.int), name) for subject, id, name in rows}


def _select_authors(subjects: list[BindParameter[Any]]) -> Select[Any]:
    columns: list[Any] = [Author.subject, Author.id, Author.name]
    query = select(*columns).where(Author.subject.in_(subjects)).order_by(Author.id)
    return query.with_for_update(read=True, key_share=True, skip_locked=True)


_LOCK_AUTHORS = ListStatement(_select_authors, Author.subject.type)


async def update_author_name(session: AsyncSession, access: Access) -> None:
    """Update the display name of the viewer's author, whose key is known."""
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
    """Delete an author, and return its last values. Threads and comments stay, without a name.

    :raises NotFound: if there is no such author.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    access = await find_permission(unit.session, access, id)
    author = await lock_author(unit.session, id)
    values = loaded_values(author)
    await run_before(unit, access, "delete_author", author=values)
    return await delete_author_row(unit, access, author)


async def permit_deletion(unit: UnitOfWork, access: Access, id: UUID) -> None:
    """Check that an author may be deleted with all comments, and run the hooks before that.

    :raises NotFound: if there is no such author.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    access = await find_permission(unit.session, access, id)
    author = await unit.session.get(Author, id)
    if author is None:
        raise not_found("authorId")
    values = loaded_values(author)
    await run_before(unit, access, "delete_author", author=values, erases_comments=True)


async def find_permission(session: AsyncSession, access: Access, id: UUID) -> Access:
    """Return the access with the viewer's author, who may delete an author.

    It is checked before the lock, because a wait would tell that the author is writing.

    :raises NotFound: if there is no such author.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    access = await with_author(session, access)
    if await session.scalar(select(Author.id).where(Author.id == id)) is None:
        raise not_found("authorId")
    access.require(access.may_delete_author(id), "delete this author")
    return access


async def lock_author(session: AsyncSession, id: UUID) -> Author:
    """Return an author who is to be deleted, under their lock.

    :raises NotFound: if there is no such author.
    """
    author = await session.run_sync(counters.lock, Author, id, deleting=True)
    if author is None:
        raise not_found("authorId")
    return author


async def delete_author_row(
    unit: UnitOfWork, access: Access, author: Author, *, erases_comments: bool = False
) -> Record:
    """Delete a locked author, and return their last values."""
    values = loaded_values(author)
    await unit.session.delete(author)
    await unit.session.flush()
    rows: dict[str, Any] = {"author": values, "erases_comments": erases_comments}
    await run_after(unit, access, "delete_author", **rows)
    return values
