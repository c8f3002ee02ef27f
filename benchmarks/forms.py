"""How a comment is added: by its foreign key, through its thread, as Tallied's server does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from tallied.database import Database, UnitOfWork

from .strategies import (
    AGGREGATED,
    ATTRIBUTE_EVENTS,
    BEFORE_FLUSH,
    MAPPER_EVENT,
    NO_COUNTER,
    NO_COUNTER_AGAIN,
    TALLIED,
    TALLIED_THREE,
    TRIGGER,
    Strategy,
)

MESSAGE = "seven words are what this one has"
STRATEGIES = (
    NO_COUNTER,
    NO_COUNTER_AGAIN,
    TALLIED,
    TALLIED_THREE,
    TRIGGER,
    MAPPER_EVENT,
    ATTRIBUTE_EVENTS,
    BEFORE_FLUSH,
    AGGREGATED,
)
Add = Callable[[UUID], Awaitable[None]]
"""Adds one comment to the thread with the given key, in a transaction of its own."""
Adds = Callable[[Strategy], Add]


@dataclass(frozen=True)
class Form:
    """One form of the same insert; the first of its ways is the floor of all others."""

    title: str
    strategies: tuple[Strategy, ...]
    open: Callable[[Engine], AbstractAsyncContextManager[Adds]]


@asynccontextmanager
async def _by_key(engine: Engine) -> AsyncIterator[Adds]:
    def adds(strategy: Strategy) -> Add:
        async def add(thread_id: UUID) -> None:
            with strategy.Session(engine) as session:
                session.add(strategy.Comment(thread_id=thread_id, **strategy.values(MESSAGE)))
                session.commit()

        return add

    yield adds


@asynccontextmanager
async def _through_thread(engine: Engine) -> AsyncIterator[Adds]:
    def adds(strategy: Strategy) -> Add:
        async def add(thread_id: UUID) -> None:
            with strategy.Session(engine) as session:
                thread = session.get_one(strategy.Thread, thread_id)
                session.add(strategy.Comment(thread=thread, **strategy.values(MESSAGE)))
                session.commit()

        return add

    yield adds


@asynccontextmanager
async def _in_unit_of_work(engine: Engine) -> AsyncIterator[Adds]:
    """Share one database among all strategies: one connection and, on SQLite, one thread."""
    url = engine.url.set(drivername=engine.dialect.name)  # the driver is Tallied's own
    database = Database(url.render_as_string(hide_password=False))

    def adds(strategy: Strategy) -> Add:
        async def add(thread_id: UUID) -> None:
            async def work(unit: UnitOfWork) -> None:
                unit.session.add(strategy.Comment(thread_id=thread_id, **strategy.values(MESSAGE)))
                await unit.session.flush()

            database.sessions.configure(sync_session_class=strategy.Session)
            await database.write(work)

        return add

    yield adds
    await database.dispose()


FORMS = (
    Form("by its foreign key", STRATEGIES, _by_key),
    Form("through its thread, loaded first", STRATEGIES, _through_thread),
    Form(
        "by its foreign key, in Tallied's asynchronous unit of work",
        (NO_COUNTER, NO_COUNTER_AGAIN, TALLIED, TALLIED_THREE),
        _in_unit_of_work,
    ),
)
