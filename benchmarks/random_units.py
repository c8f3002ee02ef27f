"""Everything that a host may do with threads and comments, as units of work of a random kind."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tallied.database import UnitOfWork
from tallied.models import Author, Comment, Thread
from tallied.models.base import new_id, now

Operation: TypeAlias = Callable[["Board", UnitOfWork], Awaitable[None]]


class Abandoned(Exception):
    """A unit of work that its author gives up, so that it is rolled back."""


class Board:
    """The threads and authors that there are, and what may be done with them."""

    def __init__(self, threads: int, authors: int = 200) -> None:
        self.size = threads, authors
        self.threads: list[UUID] = []
        self.authors: list[UUID] = []

    async def fill(self, unit: UnitOfWork) -> None:
        """Make the threads and the authors."""
        threads = [Thread(title=f"Thread {number}") for number in range(self.size[0])]
        authors = [Author(subject=f"subject {new_id()}") for _ in range(self.size[1])]
        unit.session.add_all([*threads, *authors])
        self.threads = [thread.id for thread in threads]
        self.authors = [author.id for author in authors]

    def thread(self) -> UUID:
        """Return a random thread; another writer may delete it before it is used."""
        return random.choice(self.threads)

    def author(self) -> UUID | None:
        """Return a random author, likewise; None is a guest."""
        return random.choice([None, *self.authors])

    def comment(self, **values: Any) -> Comment:
        """Return a new comment by a random author."""
        return Comment(message=message(), **self.by(), **values)

    def by(self) -> dict[str, Any]:
        """Return the columns that identify the author of a comment."""
        author = self.author()
        return {"author_id": author, "author_name": "Guest" if author is None else None}

    def replace(self, old: UUID, new: UUID) -> None:
        """Replace a thread or an author that was deleted by a new one."""
        for keys in (self.threads, self.authors):
            if old in keys:
                keys[keys.index(old)] = new


def message() -> str:
    return "word " * random.randint(1, 12)


async def random_comment(board: Board, session: AsyncSession) -> Comment | None:
    """Return a comment of a random thread, read without a lock, as a careless host reads it."""
    query = select(Comment).where(Comment.thread_id == board.thread())
    column = random.choice([Comment.created_at, Comment.id, Comment.word_count])
    return (await session.scalars(query.order_by(column).limit(1))).first()


async def add_by_key(board: Board, unit: UnitOfWork) -> None:
    unit.session.add(board.comment(thread_id=board.thread()))


async def add_by_object(board: Board, unit: UnitOfWork) -> None:
    thread = await unit.session.get(Thread, board.thread())
    if thread is not None:
        unit.session.add(board.comment(thread=thread))


async def add_several(board: Board, unit: UnitOfWork) -> None:
    unit.session.add_all(board.comment(thread_id=board.thread()) for _ in range(4))


async def edit(board: Board, unit: UnitOfWork) -> None:
    if comment := await random_comment(board, unit.session):
        comment.message = message()


async def edit_locked(board: Board, unit: UnitOfWork) -> None:
    stale = await random_comment(board, unit.session)
    if stale is None:
        return
    comment = await unit.session.get(Comment, stale.id, with_for_update=True)
    if comment is not None:
        comment.message, comment.edited_at = message(), now()


async def move(board: Board, unit: UnitOfWork) -> None:
    if comment := await random_comment(board, unit.session):
        comment.thread_id = board.thread()


async def move_to_object(board: Board, unit: UnitOfWork) -> None:
    comment = await random_comment(board, unit.session)
    thread = await unit.session.get(Thread, board.thread())
    if comment is not None and thread is not None:
        comment.thread = thread


async def change_author(board: Board, unit: UnitOfWork) -> None:
    if comment := await random_comment(board, unit.session):
        for name, value in board.by().items():
            setattr(comment, name, value)


async def remove(board: Board, unit: UnitOfWork) -> None:
    if comment := await random_comment(board, unit.session):
        await unit.session.delete(comment)


async def bulk_insert(board: Board, unit: UnitOfWork) -> None:
    texts = [message() for _ in range(3)]
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "thread_id": board.thread(),
            **board.by(),
            "message": text,
            "word_count": len(text.split()),
            "created_at": now(),
        }
        for text in texts
    ]
    await unit.session.execute(insert(Comment), rows)


async def bulk_update(board: Board, unit: UnitOfWork) -> None:
    short = (Comment.thread_id == board.thread()) & (Comment.word_count < 4)
    values = {"message": "five words in this one", "word_count": 5}
    await unit.session.execute(update(Comment).where(short).values(values))


async def bulk_move(board: Board, unit: UnitOfWork) -> None:
    long = (Comment.thread_id == board.thread()) & (Comment.word_count > 10)
    await unit.session.execute(update(Comment).where(long).values(thread_id=board.thread()))


async def bulk_delete(board: Board, unit: UnitOfWork) -> None:
    at_least = random.randint(2, 9)
    some = (Comment.thread_id == board.thread()) & (Comment.word_count >= at_least)
    await unit.session.execute(delete(Comment).where(some))


async def delete_thread(board: Board, unit: UnitOfWork) -> None:
    thread = await unit.session.get(Thread, board.thread())
    if thread is not None:
        await unit.session.delete(thread)
        await _make_another(board, unit, thread.id)


async def delete_thread_by_statement(board: Board, unit: UnitOfWork) -> None:
    id = board.thread()
    await unit.session.execute(delete(Thread).where(Thread.id == id))
    await _make_another(board, unit, id)


async def _make_another(board: Board, unit: UnitOfWork, deleted: UUID) -> None:
    thread = Thread(title="Another", comments=[board.comment()])
    unit.session.add(thread)

    async def replace() -> None:
        board.replace(deleted, thread.id)

    unit.after_commit.append(replace)


async def delete_author(board: Board, unit: UnitOfWork) -> None:
    id = board.author()
    author = await unit.session.get(Author, id) if id is not None else None
    if author is not None:
        await unit.session.delete(author)
        await unit.session.flush()
        another = Author(subject=f"subject {new_id()}")
        unit.session.add(another)

        async def replace() -> None:
            board.replace(author.id, another.id)

        unit.after_commit.append(replace)


async def rolled_back_savepoint(board: Board, unit: UnitOfWork) -> None:
    savepoint = await unit.session.begin_nested()
    for operation in random.sample([add_by_object, edit, move, remove, bulk_update], 2):
        await operation(board, unit)
        await unit.session.flush()
    await savepoint.rollback()
    await add_by_key(board, unit)


async def released_savepoint(board: Board, unit: UnitOfWork) -> None:
    async with unit.session.begin_nested():
        await add_by_object(board, unit)
    await edit(board, unit)


async def abandon(board: Board, unit: UnitOfWork) -> None:
    await add_by_object(board, unit)
    await remove(board, unit)
    await unit.session.flush()
    raise Abandoned


OPERATIONS: dict[Operation, int] = {
    add_by_key: 10,
    add_by_object: 6,
    add_several: 4,
    edit: 6,
    edit_locked: 4,
    move: 5,
    move_to_object: 3,
    change_author: 3,
    remove: 6,
    bulk_insert: 3,
    bulk_update: 2,
    bulk_move: 2,
    bulk_delete: 3,
    delete_thread: 1,
    delete_thread_by_statement: 1,
    delete_author: 1,
    rolled_back_savepoint: 4,
    released_savepoint: 2,
    abandon: 2,
}
"""Each with how often it is drawn; as many comments go as come."""


def draw() -> Operation:
    """Return a random operation."""
    return random.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
