"""Units of work and reads on the synchronous session of a host, as in Flask or Celery.

The functions of Tallied are coroutines that await an ``AsyncSession``. One that is made around a
synchronous session awaits nothing: each statement is executed by the session's own driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from ..errors import ConfigurationError
from ..models import Thread
from ..models.counters import counters
from . import sqlite
from .unit_of_work import UnitOfWork, forbid_commit, guard_transactions

T = TypeVar("T")

SyncSession: TypeAlias = Session | scoped_session[Any]

_PENDING = "tallied.units_before_commit"


def run_in_session(session: Session, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Return what asynchronous code does with a synchronous session.

    :raises ConfigurationError: within a running event loop.
    """

    async def run() -> T:
        return await work(_adapt(session))

    return _run(run())


def run_unit(
    session: Session, work: Callable[[UnitOfWork], Awaitable[T]], *, has_cascades: bool
) -> T:
    """Run a unit of work in the transaction of a synchronous session, which the caller commits.

    The functions that follow the commit are called by it; after a rollback, they are not.

    :param has_cascades: whether it deletes rows that others refer to.
    :raises ConfigurationError: if the counters are not installed on the session's class, if its
        SQLite does not enforce foreign keys where it has to, and within a running event loop.
    :raises InvalidRequestError: if the work commits the session, rolls it back, or closes it.
    """
    _expect_counters(type(session))
    _enforce_foreign_keys(session, is_required=has_cascades)

    async def run(adapted: AsyncSession) -> T:
        unit = UnitOfWork(adapted)
        with forbid_commit(adapted):
            result = await work(unit)
        if unit.after_commit:
            session.info.setdefault(_PENDING, []).append((_transactions(session), unit))
        return result

    return run_in_session(session, run)


def find_session(session: SyncSession) -> Session:
    """Return the session that a host passes, itself or as a registry.

    :raises TypeError: for anything else.
    """
    if isinstance(session, scoped_session):
        session = session()
    if not isinstance(session, Session):
        raise TypeError(
            "session must be a Session or a scoped_session, and is the first argument; it is a"
            f" value of type {type(session).__name__}."
        )
    return session


class _AdaptedSession(AsyncSession):
    """An asynchronous session around a synchronous one."""

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        # Its own would await the driver's cursor, as that of text() has.
        return self.sync_session.execute(*arguments, **options)


def _adapt(session: Session) -> AsyncSession:
    """Return an asynchronous session around one that is there already."""
    make = cast(type[Session], lambda **_: session)
    return _AdaptedSession(sync_session_class=make)


def _expect_counters(session_class: type[Session]) -> None:
    if counters.installed_on(session_class) is None:
        raise ConfigurationError(
            f"The counters are not installed on {session_class.__qualname__}; call"
            " tallied.models.counters.counters.install() with it, or with what makes the sessions."
        )
    if not event.contains(session_class, "after_commit", _follow_commit):
        guard_transactions(session_class)
        event.listen(session_class, "after_commit", _follow_commit)
        event.listen(session_class, "after_soft_rollback", _forget_units)


def _enforce_foreign_keys(session: Session, *, is_required: bool) -> None:
    """Let SQLite delete what refers to deleted rows, on the connection that a session uses."""
    bind = session.get_bind(Thread)
    if bind.dialect.name != "sqlite":
        return
    connection = session.connection(bind_arguments={"mapper": Thread}).connection
    if not sqlite.borrow_foreign_keys(connection, bind.engine) and is_required:
        raise ConfigurationError(
            "SQLite does not enforce foreign keys on the connection of the session, which has"
            " written already; execute PRAGMA foreign_keys = ON on every new connection."
        )


def _transactions(session: Session) -> frozenset[SessionTransaction]:
    """Return the session's transaction and the savepoints that it is in now."""
    transaction = session.get_nested_transaction() or session.get_transaction()
    chain = set()
    while transaction is not None:
        chain.add(transaction)
        transaction = transaction.parent
    return frozenset(chain)


def _follow_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for _, unit in session.info.pop(_PENDING, ()):
        if _is_in_loop():
            # It is too late for an error. The commit holds the loop up in any case.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, unit.committed()).result()
        else:
            asyncio.run(unit.committed())


def _forget_units(session: Session, ended: SessionTransaction) -> None:
    if pending := session.info.get(_PENDING):
        session.info[_PENDING] = [entry for entry in pending if ended not in entry[0]]


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(work: Coroutine[Any, Any, T]) -> T:
    if _is_in_loop():
        work.close()
        raise ConfigurationError(
            "discussion.sync is for synchronous code, and here an event loop runs; await the same"
            " function of the discussion itself."
        )
    return asyncio.run(work)
