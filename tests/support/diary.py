"""Hooks that record the events that they receive."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tallied.database import Database
from tallied.host.hooks import Event, Hooks
from tallied.models import Thread

from .rows import count_rows

OPERATIONS = [name.removeprefix("before_") for name in vars(Hooks) if name.startswith("before_")]


class Diary(Hooks):
    """Hooks that record every event; a method that is in `faults` raises that."""

    def __init__(self, log: list[str], name: str = "", **faults: BaseException) -> None:
        self.events: list[tuple[str, Any]] = []

        def written(point: str) -> Any:
            async def method(event: Event, session: AsyncSession | None = None) -> None:
                log.append(f"{name}{point}")
                self.events.append((point, event))
                if point in faults:
                    raise faults[point]

            return method

        for operation in OPERATIONS:
            for when in ("before", "after"):
                setattr(self, f"{when}_{operation}", written(f"{when}_{operation}"))


class Note(Hooks):
    """A hook that adds a thread in the unit of work, and then may fail."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    async def before_add_comment(self, event: Event, session: AsyncSession) -> None:
        session.add(Thread(title="A note"))
        if self.error:
            raise self.error


async def notes(database: Database) -> int:
    return await count_rows(database, Thread, Thread.title == "A note")
