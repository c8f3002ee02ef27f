"""The last numbers of the parents that a session has locked in its transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

from sqlalchemy import Connection

from ..declarations.mapped_rows import Key
from ..declarations.number import Number
from .locked_rows import is_held, within

Lock: TypeAlias = tuple[Any, Any]
"""The transaction and the savepoint in which a lock was taken."""


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
