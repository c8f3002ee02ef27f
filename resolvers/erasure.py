"""The erasure of authors: each trace of a person is deleted, in batches.

An author with many comments would lock many threads for long. So each batch is a unit of work of
its own, and the author is deleted in the last one. What remains is found by the author's key alone:
after an interruption, the same call goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..models import Author, Comment, Flag, Mark, Quota, Reaction, WithdrawnText
from ..models.counters import counters
from .authors import delete_author_row, lock_author, permit_deletion
from .flags import erase_flags
from .pagination.arguments import Record
from .validation import expect_type
from .withdrawal import lock_tree

T = TypeVar("T")

BATCH_SIZE = 200
"""How many rows one unit of work erases at most, by default."""


class Eraser(NamedTuple):
    """How the traces of an author in one table are erased."""

    find: Callable[[UUID], Select[Any]]
    """Returns the query of the keys of the rows that refer to an author.

    One statement looks for them all, so the table is in the database of Tallied's."""
    erase: Callable[[AsyncSession, UUID, Sequence[UUID]], Awaitable[None]]
    """Erases the author from rows with these keys; each must not be found again."""


async def _erase_reactions(session: AsyncSession, author_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete the author's reactions to these comments."""
    await session.run_sync(counters.lock_all, Comment, Comment.id.in_(ids))
    is_own = (Reaction.author_id == author_id, Reaction.comment_id.in_(ids))
    await session.execute(delete(Reaction).where(*is_own))


async def _erase_comments(session: AsyncSession, author_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete comments of an author with their withdrawn texts."""
    tree = await lock_tree(session, ids, with_texts=True)
    # First the replies, so that those above have no more than other people's.
    for comment in sorted(tree.comments.values(), key=lambda row: -row.depth):
        if comment.id in ids:
            tree.erase(comment.id, author_id)
    await tree.write()


async def _erase_marks(session: AsyncSession, author_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete the author's marks in these threads."""
    is_own = (Mark.author_id == author_id, Mark.thread_id.in_(ids))
    await session.execute(delete(Mark).where(*is_own))


async def _erase_quotas(session: AsyncSession, author_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete the author's quotas, which have hashes of texts, by the comments counted last."""
    is_own = (Quota.subject == str(author_id), Quota.comment_id.in_(ids))
    await session.execute(delete(Quota).where(*is_own))


ERASERS: list[Eraser] = [
    Eraser(lambda id: select(Comment.id).where(Comment.author_id == id), _erase_comments),
    Eraser(
        lambda id: select(WithdrawnText.comment_id).where(WithdrawnText.author_id == id),
        _erase_comments,
    ),
    Eraser(
        lambda id: select(Reaction.comment_id).where(Reaction.author_id == id).distinct(),
        _erase_reactions,
    ),
    Eraser(lambda id: select(Mark.thread_id).where(Mark.author_id == id), _erase_marks),
    Eraser(lambda id: select(Flag.comment_id).where(Flag.author_id == id), erase_flags),
    Eraser(
        lambda id: select(Quota.comment_id).where(Quota.subject == str(id)).distinct(),
        _erase_quotas,
    ),
]
"""Every table with texts of authors has one here, and so may a host's own tables."""


class Write(Protocol):
    """Runs a function as one unit of work, as :meth:`.Discussion.write` does."""

    async def __call__(self, work: Callable[[UnitOfWork], Awaitable[T]], /) -> T: ...


async def erase_author(
    write: Write, access: Access, id: UUID, *, batch_size: int = BATCH_SIZE
) -> Record:
    """Delete an author with all comments, and return the author's last values.

    A comment with replies stays in lists, without its text, and cannot be restored. Threads stay,
    with their titles. Each batch is a unit of work of its own: if one fails, the earlier ones stay
    written, and another call goes on.

    :param write: such as :meth:`.Discussion.write`.
    :param batch_size: how many rows are erased in one unit of work at most.
    :raises NotFound: if there is no such author.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_type(Access, access=access)
    expect_type(UUID, id=id)

    async def advance(unit: UnitOfWork) -> Record | None:
        eraser = await _choose(unit.session, id)
        if eraser:
            if keys := await _find(unit.session, eraser, id, batch_size):
                await eraser.erase(unit.session, id, keys)
            return None
        author = await lock_author(unit.session, id)
        if await _choose(unit.session, id):
            return None  # Written before the lock, which lets nobody write more.
        return await delete_author_row(unit, access, author, erases_comments=True)

    await write(lambda unit: permit_deletion(unit, access, id))
    while (values := await write(advance)) is None:
        pass
    return values


async def _choose(session: AsyncSession, id: UUID) -> Eraser | None:
    """Return the first eraser that finds rows of an author, by one statement."""
    query = select(*(eraser.find(id).exists() for eraser in ERASERS))
    row = (await session.execute(query, bind_arguments={"mapper": Author})).one()
    return next((eraser for eraser, finds in zip(ERASERS, row, strict=True) if finds), None)


async def _find(session: AsyncSession, eraser: Eraser, id: UUID, size: int) -> Sequence[UUID]:
    query = eraser.find(id)
    return (await session.scalars(query.order_by(*query.selected_columns).limit(size))).all()
