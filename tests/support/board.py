"""A thread with a tombstone and its replies, and races of two changes there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tallied.database import UnitOfWork
from tallied.errors import UserError
from tallied.host.access import Access
from tallied.models import Author

from .host import Host, blocked_or_done, key
from .reply_trees import add_chain
from .rows import fetch_value


class Board:
    """A tombstone with a chain of comments below it, and the keys of all of them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.database = host.database

    async def fill(self) -> None:
        self.thread = await self.host.bob.thread("Engines")
        self.other = key(await self.host.bob.thread("Looms"))
        self.ids = await add_chain(self.host.ada, self.thread, 4)
        tomb, self.parent, self.comment, self.child = map(key, self.ids)
        await self.host.ada.do("deleteComment", "comment { id }", commentId=self.ids[0])
        self.tombstone = tomb
        query = select(Author.id).where(Author.subject == "user-1")
        self.author = await fetch_value(self.database, query)

    @property
    def access(self) -> Access:
        return self.host.discussion.access_as_host()


Change: TypeAlias = Callable[[Board, UnitOfWork], Awaitable[Any]]


async def race(board: Board, first: Change, second: Change) -> list[str]:
    """Commit `first` once `second` waits for it; return the codes of what was refused."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def ahead(unit: UnitOfWork) -> None:
        await first(board, unit)
        arrived.set()
        await go.wait()

    async def run(work: Any) -> str:
        try:
            await board.database.write(work)
        except UserError as error:
            return error.code
        return "ok"

    one = asyncio.create_task(run(ahead))
    await arrived.wait()
    two = asyncio.create_task(run(lambda unit: second(board, unit)))
    await blocked_or_done(board.database, two, one)
    go.set()
    return [await one, await two]


# Without these locks, races are lost: each is needed.


class UnlockedSelect(Select[Any]):
    """A SELECT that takes no lock."""

    inherit_cache = True

    def with_for_update(self, **options: Any) -> Any:
        return self


def read_unlocked(session: Session, class_: Any, condition: Any) -> list[Any]:
    """Read rows, and lock none of them."""
    return list(session.scalars(select(class_).where(condition)))
