"""The magazine's engine and sessions, and its Discussion, which uses both."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from starlette.requests import HTTPConnection

from tallied.discussion import Discussion
from tallied.settings import Settings

from . import hooks
from .accounts import reader_of
from .config import Config
from .counters import MagazineSession
from .policy import MagazinePolicy, Reader
from .schema import schema


def make_engine(url: str) -> AsyncEngine:
    """Return the magazine's own engine."""
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", _use_wal)
        return engine
    # A client that has vanished loses its transaction, and the locks with it.
    settings = {"idle_in_transaction_session_timeout": "30s"}
    return create_async_engine(url, connect_args={"server_settings": settings})


def make_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return the sessions that the magazine reads with; it writes by ``discussion.write``."""
    return async_sessionmaker(engine, sync_session_class=MagazineSession, expire_on_commit=False)


def make_discussion(engine: AsyncEngine, tell: hooks.Tell = hooks.log) -> Discussion:
    """Return the Discussion below the articles.

    :param tell: notifies the author of an article of a comment.
    """
    sessions = make_sessions(engine)

    async def get_viewer(connection: HTTPConnection) -> Reader | None:
        return await reader_of(sessions, connection)

    return Discussion(
        engine,
        session_class=MagazineSession,
        get_viewer=get_viewer,
        policy=MagazinePolicy(),
        hooks=[hooks.NoDoubles(), hooks.TellAuthors(sessions, tell)],
        deleted_author=lambda: "someone who has left",
        schema=schema,
        settings=Settings(environment="development"),
    )


def from_environ() -> Discussion:
    """Return the Discussion for ``tallied verify --app magazine.discussion:from_environ``.

    :raises ConfigError: for a setting that cannot be used.
    """
    return make_discussion(make_engine(Config.from_environ(os.environ).database))


def _use_wal(connection: Any, _: object) -> None:
    """Let readers and a writer work at the same time."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()
