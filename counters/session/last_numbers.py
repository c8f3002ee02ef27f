"""The last numbers of the parents that a session has locked in its transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ..declarations.mapped_rows import Key
from ..declarations.number import Number
from .locked_rows import is_held, within


class LastNumbers:
    """The last numbers of locked parents, which nobody else can take as long as the lock is held.

    A lock ends with the transaction, and with the savepoint in which it was taken.
    """

    def __init__(self) -> None:
        self._lasts: dict[tuple[Number, Key], tuple[int, Any, Any]] = {}

    def keep(self, counter: Number, key: Key, last: int, connection: Connection) -> None:
        """Record the last number of a parent that is locked on `connection`."""
        known = self._lasts.get((counter, key))
        held = known is not None and is_held(known[1:], connection)
        self._lasts[counter, key] = (last, *(known[1:] if known and held else within(connection)))

    def get(self, counter: Number, key: Key, connection: Connection) -> int | None:
        """Return the last number of a parent; None where it is not locked."""
        last, *locked = self._lasts.get((counter, key), (None,))
        return last if locked and is_held(locked, connection) else None

    def forget(self) -> None:
        """Forget all, since the transaction or a savepoint has ended."""
        self._lasts.clear()
