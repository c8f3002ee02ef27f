"""Take numbers from parents under their locks, and store those of rows that are written already."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session

from ..declarations.mapped_rows import Key, RowValues
from ..declarations.number import Number
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Source
from ..session.binds import write_bind, write_connection
from ..session.state import SessionState
from ..sql.numbers import lock_last_numbers, store_numbers

Row = tuple[Source, Key, RowValues | None, RowValues]
"""A row by its source and its key, as it was and as it is."""


def is_unnumbered(source: Source, old: RowValues | None, new: RowValues | None) -> bool:
    """Return whether a row has come to a parent without a number of its own there."""
    if new is not None:
        for number in source.numbers:
            if _needs_number(number, old, new):
                return True
    return False


def _needs_number(counter: Number, old: RowValues | None, new: RowValues) -> bool:
    parent, number = counter.named_parent(new), new[counter.of.key]
    if parent is None:
        return False
    former = _old_number(counter, old)
    if old is not None and parent == counter.named_parent(old):
        return number is None and (former is not None or comes_to_count(counter, old, new))
    if not counter.counts(new):
        return number is not None  # It is that of another parent.
    return number is None or number == former


def comes_to_count(counter: Number, old: RowValues, new: RowValues) -> bool:
    """Return whether a row comes to meet the condition of its number."""
    return counter.where is not None and counter.counts(new) and not counter.counts(old)


def _old_number(counter: Number, old: RowValues | None) -> Any:
    return None if old is None else old[counter.of.key]


class Numbers:
    """The numbers that one flush or statement takes."""

    def __init__(
        self, registry: CounterRegistry, session_state: SessionState, session: Session
    ) -> None:
        self._session = session
        self._locked: set[tuple[Number, Key]] = set()
        self._registry = registry
        self._last_numbers = session_state.last_numbers
        self._unnumbered: list[Row] = []
        self._given: set[tuple[Number, InstanceState[Any], Key]] = set()

    def _connection(self, mapper: Mapper[Any]) -> Connection:
        # Not the flush's: it would keep all that a flush refers to until garbage is looked for.
        return write_connection(self._session, mapper, self._registry.partners)

    def take(self, counter: Number, amounts: dict[Key, int]) -> dict[Key, int]:
        """Return the last numbers of stored parents, and take so many after them.

        Parents that are not locked yet are locked and read, by one statement. A parent that is gone
        is not in the result.

        :param amounts: how many numbers are needed, by the keys of the parents.
        """
        if not amounts:
            return {}
        lasts = self._lock(counter, list(amounts))
        for key, last in lasts.items():
            self._last_numbers.advance(counter, key, last + amounts[key])
        return lasts

    def _lock(self, counter: Number, keys: list[Key]) -> dict[Key, int]:
        """Lock those parents that are not locked yet, and return the last numbers of all.

        Another session on the same connection has the same locks, and may take their numbers.
        """
        mapper, last_numbers = counter.parent, self._last_numbers
        connection = self._connection(mapper)
        lasts = last_numbers.read(counter, keys, connection)
        has_shared_locks = isinstance(write_bind(self._session, mapper), Connection)
        unlocked = [
            key
            for key in keys
            if key not in lasts or (has_shared_locks and (counter, key) not in self._locked)
        ]
        if not unlocked:
            return lasts
        numbers = [number for number in self._registry.numbers if number.parent is mapper]
        names = tuple(number.key for number in numbers)
        for key, row in lock_last_numbers(connection, mapper, names, unlocked).items():
            for number in numbers:
                last_numbers.keep(number, key, row[number.key], connection)
                self._locked.add((number, key))
        return last_numbers.read(counter, keys, connection)

    def record_given(self, counter: Number, state: InstanceState[Any], parent: Key) -> None:
        """Record that an object has the number that it will have of a parent."""
        self._given.add((counter, state, parent))

    def is_given(self, source: Source, state: InstanceState[Any], row: RowValues) -> bool:
        """Return whether an object has got its numbers, which may be the same as before."""
        parents = ((number, number.named_parent(row)) for number in source.numbers)
        return all((number, state, parent) in self._given for number, parent in parents)

    def add(self, source: Source, key: Key, old: RowValues | None, new: RowValues) -> None:
        """Schedule a stored row to be numbered by :meth:`store`."""
        self._unnumbered.append((source, key, old, new))

    def store(self) -> list[Row]:
        """Number the stored rows that need it, and return them with their numbers."""
        rows, self._unnumbered = self._unnumbered, []
        fresh: list[dict[str, Any]] = [{} for _ in rows]
        for counter in self._registry.numbers if rows else ():
            amounts: dict[Key, int] = defaultdict(int)
            places: list[tuple[int, Key, int]] = []
            for place, (source, _, old, new) in enumerate(rows):
                if counter in source.numbers and _needs_number(counter, old, new):
                    parent = counter.named_parent(new)
                    assert parent is not None
                    former = _old_number(counter, old)
                    if former is not None and parent == counter.named_parent(old):
                        fresh[place][counter.of.key] = former  # the statement has moved others
                        continue
                    if not counter.counts(new):
                        fresh[place][counter.of.key] = None
                        continue
                    amounts[parent] += 1
                    places.append((place, parent, amounts[parent]))
            lasts = self.take(counter, amounts)
            for place, parent, number in places:
                if parent in lasts:
                    fresh[place][counter.of.key] = lasts[parent] + number
            numbers = [
                (row[1], values[counter.of.key])
                for row, values in zip(rows, fresh, strict=True)
                if counter.of.key in values
            ]
            if numbers:
                store_numbers(self._connection(counter.source), counter, numbers)
        return [
            (source, key, old, {**new, **fresh[place]})
            for place, (source, key, old, new) in enumerate(rows)
        ]
