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

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from .declare import Image, Key
from .source import Source, identity

if TYPE_CHECKING:
    from .engine import Counters

T = TypeVar("T")


class Held:
    """What the rows held that one session has locked since it last wrote."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Source, Key], tuple[Image, Any, Any]] = {}

    def keep(self, source: Source, key: Key, image: Image, connection: Connection) -> None:
        """The row has just been locked on `connection`, and held `image`."""
        within = connection.get_transaction(), connection.get_nested_transaction()
        self._rows[source, key] = (image, *within)

    def get(self, source: Source, key: Key, connection: Connection) -> Image | None:
        """What the row holds, if it has been locked ever since it was read."""
        image, transaction, savepoint = self._rows.get((source, key), (None, None, None))
        if image is None or transaction is not connection.get_transaction():
            return None
        return image if is_open(transaction) and (savepoint is None or is_open(savepoint)) else None

    def forget(self) -> None:
        """The session has written, or has ended its transaction."""
        self._rows.clear()


def is_open(transaction: Any) -> bool:
    """Whether the locks of a transaction or savepoint are held; a savepoint's, in its own right."""
    return bool(transaction.is_active)


def lock(engine: Counters, session: Session, class_: type[T], key: Any) -> T | None:
    """See :meth:`.Counters.lock`."""
    found = session.get(class_, key, with_for_update=True, populate_existing=True)
    ledger = engine.ledger(session)
    if found is None or ledger is None:
        return found
    state = instance_state(found)
    source = engine.source_of(state)
    if source is None or source.points or not state.dict.keys() >= set(source.names):
        return found
    if isinstance(session.get_bind(source.mapper), Connection):
        return found  # which other sessions may write on too
    connection = session.connection(bind_arguments={"mapper": source.mapper})
    if _holds_locks(connection):
        image = {name: state.dict[name] for name in source.names}
        ledger.held.keep(source, identity(state), image, connection)
    return found


def _holds_locks(connection: Connection) -> bool:
    """Whether what was just read under a lock stays as it is until the transaction ends.

    SQLite locks nothing by SELECT. But a transaction that has read and then writes fails where
    another has written meanwhile; the driver may have begun none for a SELECT, though.
    """
    if connection.dialect.name == "sqlite":
        return bool(getattr(connection.connection.driver_connection, "in_transaction", False))
    return connection.dialect.name == "postgresql"
