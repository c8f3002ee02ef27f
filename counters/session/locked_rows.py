"""Rows that the session has locked itself, which the flush need not lock and read again.

The values that :func:`.lock` has read are still those of the row at the next flush if

- the row lock was held all the time, so that nobody else has changed the row: it ends with the
  transaction, and with the savepoint in which it was taken;
- this session has not changed the row: each flush and each writing statement clears the record.

Otherwise the flush reads the row like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper

from ..declarations.mapped_rows import Key, RowValues
from ..declarations.number import Number
from ..registry.source import Source

Lock: TypeAlias = tuple[Any, Any]
"""The transaction and the savepoint in which a lock was taken."""


class LockedRows:
    """The values of the rows that one session has locked since it last wrote."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Source, Key], tuple[RowValues, Any, Any]] = {}
        self._marked_for_deletion: dict[tuple[Mapper[Any], Key], tuple[Any, Any]] = {}

    def keep(self, source: Source, key: Key, row: RowValues, connection: Connection) -> None:
        """Record the values of a row that was just locked on `connection`."""
        self._rows[source, key] = (row, *within(connection))

    def get(self, source: Source, key: Key, connection: Connection) -> RowValues | None:
        """Return the values of a row if it has been locked since they were read; else None."""
        row, *locked = self._rows.get((source, key), (None,))
        return row if locked and is_held(locked, connection) else None

    def mark_for_deletion(self, mapper: Mapper[Any], key: Key, connection: Connection) -> None:
        """Record that a row was just locked to be deleted, after the rows that count for it."""
        self._marked_for_deletion[mapper, key] = within(connection)

    def is_marked_for_deletion(self, mapper: Mapper[Any], key: Key, connection: Connection) -> bool:
        """Return whether the row has been locked to be deleted, and still is."""
        locked = self._marked_for_deletion.get((mapper, key))
        return locked is not None and is_held(locked, connection)

    def forget(self) -> None:
        """Forget all rows, since the session has written or ended its transaction."""
        self._rows.clear()
        self._marked_for_deletion.clear()


class LastNumbers:
    """The last numbers of locked parents, which nobody else can take as long as the lock is held.

    A lock ends with the transaction, and with the savepoint in which it was taken.
    """

    def __init__(self) -> None:
        self._lasts: dict[Number, dict[Key, tuple[int, Lock]]] = defaultdict(dict)

    def keep(self, counter: Number, key: Key, last: int, connection: Connection) -> None:
        """Record the last number of a parent that is locked on `connection`."""
        lasts = self._lasts[counter]
        known = lasts.get(key)
        held = known is not None and is_held(known[1], connection)
        lasts[key] = (last, known[1] if known and held else within(connection))

    def read(self, counter: Number, keys: Iterable[Key], connection: Connection) -> dict[Key, int]:
        """Return the last numbers of those of some parents that are locked."""
        lasts, numbers = self._lasts[counter], dict[Key, int]()
        held: dict[Lock, bool] = {}  # Many parents are locked in one transaction.
        for key in keys:
            if (known := lasts.get(key)) is not None:
                last, lock = known
                if lock not in held:
                    held[lock] = is_held(lock, connection)
                if held[lock]:
                    numbers[key] = last
        return numbers

    def advance(self, counter: Number, key: Key, last: int) -> None:
        """Record a new last number of a parent that is locked still."""
        lasts = self._lasts[counter]
        lasts[key] = (last, lasts[key][1])

    def forget(self) -> None:
        """Forget all, since the transaction or a savepoint has ended."""
        self._lasts.clear()


def within(connection: Connection) -> tuple[Any, Any]:
    """Return the transaction and the savepoint that a lock is taken in."""
    return connection.get_transaction(), connection.get_nested_transaction()


def is_held(locked: Sequence[Any], connection: Connection) -> bool:
    """Return whether locks that were taken in a transaction and savepoint are held."""
    transaction, savepoint = locked
    if transaction is not connection.get_transaction() or not is_open(transaction):
        return False
    return savepoint is None or is_open(savepoint)


def is_open(transaction: Any) -> bool:
    """Return whether the locks of a transaction, or of a savepoint by itself, are held."""
    return bool(transaction.is_active)
