"""Rows that the session has locked itself: the flush need not lock and read them again.

A unit that first locks a row, looks at it and then changes it would have it read twice.
What :func:`lock` has read is still what the row holds at the next flush if

- the row lock was held all the time, so that nobody else has changed the row: it ends with
  the transaction, and with the savepoint that it was taken in;
- this session has not changed it either: no flush and no statement that writes has come
  between, and what they leave behind is forgotten.

Where that is not certain, the flush reads the row as it does any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Join, Table
from sqlalchemy.orm import Mapper, Session, class_mapper
from sqlalchemy.orm.attributes import instance_state

from ...errors import CounterError
from ..declarations.counter import Key, RowValues
from ..registry.source import Source, identity
from .binds import bound_to_write, write_bind, write_connection

if TYPE_CHECKING:
    from ..manager import Counters
    from .state import SessionState

T = TypeVar("T")


class LockedRows:
    """What the rows held that one session has locked since it last wrote."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Source, Key], tuple[RowValues, Any, Any]] = {}
        self._to_go: dict[tuple[Mapper[Any], Key], tuple[Any, Any]] = {}

    def keep(self, source: Source, key: Key, image: RowValues, connection: Connection) -> None:
        """The row has just been locked on `connection`, and held `image`."""
        self._rows[source, key] = (image, *_within(connection))

    def get(self, source: Source, key: Key, connection: Connection) -> RowValues | None:
        """What the row holds, if it has been locked ever since it was read."""
        image, *within = self._rows.get((source, key), (None,))
        return image if within and _lasts(within, connection) else None

    def mark_for_deletion(self, mapper: Mapper[Any], key: Key, connection: Connection) -> None:
        """The row has just been locked to be deleted, and before it what counts for it."""
        self._to_go[mapper, key] = _within(connection)

    def is_to_go(self, mapper: Mapper[Any], key: Key, connection: Connection) -> bool:
        """Whether the row has been locked to be deleted, and still is."""
        within = self._to_go.get((mapper, key))
        return within is not None and _lasts(within, connection)

    def forget(self) -> None:
        """The session has written, or has ended its transaction."""
        self._rows.clear()
        self._to_go.clear()


def _within(connection: Connection) -> tuple[Any, Any]:
    return connection.get_transaction(), connection.get_nested_transaction()


def _lasts(within: Sequence[Any], connection: Connection) -> bool:
    """Whether locks that were taken in a transaction and savepoint are held."""
    transaction, savepoint = within
    if transaction is not connection.get_transaction() or not is_open(transaction):
        return False
    return savepoint is None or is_open(savepoint)


def is_open(transaction: Any) -> bool:
    """Whether the locks of a transaction or savepoint are held; a savepoint's, in its own right."""
    return bool(transaction.is_active)


def lock_children_first(engine: Counters, ledger: SessionState, session: Session) -> None:
    """Lock what counts for the objects that the session is to delete, ahead of these."""
    deleted: dict[Mapper[Any], list[Key]] = {}
    for obj in session.deleted:
        state = instance_state(obj)
        if engine.ahead.begins_at(state.mapper):
            deleted.setdefault(state.mapper, []).append(identity(state))
    for mapper in sorted(deleted, key=lambda each: str(each.local_table)):
        connection = write_connection(session, mapper, engine.partners)
        is_to_go = ledger.held.is_to_go
        keys = [key for key in deleted[mapper] if not is_to_go(mapper, key, connection)]
        engine.ahead.lock(connection, mapper, keys)


def lock(
    engine: Counters, session: Session, class_: type[T], key: Any, *, deleting: bool
) -> T | None:
    """See :meth:`.Counters.lock`."""
    mapper: Mapper[T] = class_mapper(class_)
    ident = key if isinstance(key, tuple) else (key,)
    ledger = engine.ledger(session)
    if deleting and ledger is not None:
        connection = write_connection(session, mapper, engine.partners)
        engine.ahead.lock(connection, mapper, [ident])
    if not isinstance(mapper.selectable, Table | Join):
        raise CounterError(
            f"{mapper.class_.__name__} is loaded from a union or a subquery, whose rows cannot be "
            f"locked: lock by a class that is loaded from its tables."
        )
    with bound_to_write(session, mapper):
        found = _get(session, mapper, key)
    if found is None or ledger is None or isinstance(write_bind(session, mapper), Connection):
        return found  # on a Connection, other sessions may write too
    state = instance_state(found)
    connection = write_connection(session, state.mapper, engine.partners)
    if deleting:
        ledger.held.mark_for_deletion(state.mapper, ident, connection)
    source = engine.source_of(state)
    if source is None or source.points or not state.dict.keys() >= set(source.names):
        return found
    if _holds_locks(connection):
        image = {name: state.dict[name] for name in source.names}
        ledger.held.keep(source, identity(state), image, connection)
    return found


def _get(session: Session, mapper: Mapper[T], key: Any) -> T | None:
    """Load an object under the locks of its rows in all tables that make it up.

    What is loaded with them is not locked: PostgreSQL refuses that for an outer join, and where
    ``lazy="joined"`` brings a parent along, it would be locked out of order. But what comes from
    an unlocked table may be older than the lock (PostgreSQL's documentation, 13.2.1), so an object
    of a subclass with tables of its own is loaded once more, by all of them.
    """
    of: Any = {"of": mapper.tables}
    found = session.get(mapper.class_, key, with_for_update=of, populate_existing=True)
    actual = mapper if found is None else instance_state(found).mapper
    return found if len(actual.tables) == len(mapper.tables) else _get(session, actual, key)


def _holds_locks(connection: Connection) -> bool:
    """Whether what was just read under a lock stays as it is until the transaction ends.

    SQLite locks nothing by SELECT. But a transaction that has read and then writes fails where
    another has written meanwhile; the driver may have begun none for a SELECT, though.
    """
    if connection.dialect.name == "sqlite":
        return bool(getattr(connection.connection.driver_connection, "in_transaction", False))
    return connection.dialect.name == "postgresql"
