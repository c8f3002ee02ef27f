"""A unit of work: what one writing transaction works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession


@dataclass
class UnitOfWork:
    """One writing transaction: rolled back unless it ends well, committed in one place."""

    session: AsyncSession
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What must happen once, when the unit has committed, in order; never before."""

    async def committed(self) -> None:
        """Do what waits for the commit, which has happened."""
        while self.after_commit:
            await self.after_commit.pop(0)()
