"""The unit of work: one writing transaction with its session and callbacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from ..counters.registry.session_classes import Installable, sync_class
from ..errors import ConfigurationError, TalliedError
from ..models.counters import counters

LOAD_FIRST = (
    "Tallied's relationships are never loaded in passing, which would be a statement for each row"
    " and cannot be awaited: load them with their rows, as by"
    " select(Comment).options(selectinload(Comment.thread)), or await session.get(Thread,"
    " comment.thread_id)."
)
"""The remedy for reading a relationship that is not loaded (a note of the error, PEP 678)."""

_IS_WHOLE = "tallied.unit_of_work_is_whole"

_SAVEPOINT = "tallied.savepoint_of_unit_of_work"
"""The savepoint of its caller's that a unit of work runs in; None without any."""

_CONNECTIONS = "tallied.connections"

_COMMITTED = "tallied.committed"


class Repeated(TalliedError):
    """The rows of a unit of work exist already; on a retry, it looks before it writes."""


@dataclass
class UnitOfWork:
    """One writing transaction: rolled back unless it ends well, committed in one place."""

    session: AsyncSession
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Functions to call once, in order, after the unit has committed."""
    on_commit: Callable[[], None] | None = field(default=None, init=False)
    """Called at once when the unit has committed, before the functions that follow."""
    untimed: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, init=False)
    """Entered while the unit waits for the functions that follow its commit."""
    author_names: dict[UUID, str | None] = field(default_factory=dict, init=False, repr=False)
    """Display names of authors that hooks have received."""
    can_repeat: bool = field(default=False, init=False)
    """Whether the unit runs again where it raises :class:`Repeated`, and has not done so yet."""

    async def committed(self) -> None:
        """Call the functions that wait for the commit."""
        while self.after_commit:
            await self.after_commit.pop(0)()


def install_guards(session_class: type[Session]) -> None:
    """Make sessions of the class obey :func:`forbid_commit` and record their connections."""
    guard_transactions(session_class)
    if not event.contains(session_class, "after_begin", _remember_connection):
        event.listen(session_class, "after_begin", _remember_connection)
        # Before a host's own, which may raise.
        event.listen(session_class, "after_commit", _note_commit, insert=True)


def guard_transactions(session_class: type[Session]) -> None:
    """Make sessions of the class obey :func:`forbid_commit`."""
    if not event.contains(session_class, "before_commit", _refuse_to_commit):
        event.listen(session_class, "before_commit", _refuse_to_commit)
        event.listen(session_class, "after_transaction_end", _notice_the_end)


def is_committed(session: AsyncSession) -> bool:
    """Return whether a unit's session has committed, whatever was raised after that."""
    return bool(session.sync_session.info.get(_COMMITTED))


def _note_commit(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[_COMMITTED] = True


@contextmanager
def forbid_commit(session: AsyncSession) -> Iterator[None]:
    """Keep the session's transaction, and the savepoint that it is in, open in the block.

    Otherwise half of it would stay when the rest fails. Other savepoints may come and go.

    :raises InvalidRequestError: where the session is committed; and at the end, where it has
        been rolled back or closed.
    """
    info = session.sync_session.info
    info[_IS_WHOLE] = True
    info[_SAVEPOINT] = session.sync_session.get_nested_transaction()
    try:
        yield
        if not info[_IS_WHOLE]:
            raise InvalidRequestError(
                "The session of a unit of work was rolled back or closed within it, so nothing of"
                " the unit is written; raise an error to undo a unit, or use begin_nested()."
            )
    except InvalidRequestError as error:
        if "lazy='raise'" in str(error):
            error.add_note(LOAD_FIRST)
        raise
    finally:
        del info[_IS_WHOLE], info[_SAVEPOINT]


def connections(session: AsyncSession) -> list[Connection]:
    """Return the connections that a unit's session has begun a transaction on."""
    begun: list[Connection] = session.sync_session.info.get(_CONNECTIONS, [])
    return begun


def _remember_connection(
    session: Session, transaction: SessionTransaction, connection: Connection
) -> None:
    if _IS_WHOLE in session.info and not transaction.nested:
        begun = [other for other in session.info.get(_CONNECTIONS, ()) if not other.closed]
        session.info[_CONNECTIONS] = [*begun, connection]


def _refuse_to_commit(session: Session) -> None:
    info = session.info
    if _IS_WHOLE in info and session.get_nested_transaction() is info[_SAVEPOINT]:
        raise InvalidRequestError(
            "The session of a unit of work cannot be committed within it: the unit commits when"
            " its function returns. Leave the commit out, or use begin_nested() for a part."
        )


def _notice_the_end(session: Session, transaction: SessionTransaction) -> None:
    info = session.info
    if _IS_WHOLE in info and (transaction.parent is None or transaction is info[_SAVEPOINT]):
        info[_IS_WHOLE] = False


def install_counters(target: Installable) -> type[Session]:
    """Install the counters on a class of sessions, or on that of a factory, and return the class.

    :raises ConfigurationError: for another object.
    """
    try:
        counters.install(target)
    except TypeError as error:
        name = getattr(target, "__name__", type(target).__name__)
        raise ConfigurationError(
            "session_class must be a class derived from sqlalchemy.orm.Session, or a sessionmaker"
            f" or scoped_session, not {name}; that of an AsyncSession is its sync_session_class."
        ) from error
    return sync_class(target)
