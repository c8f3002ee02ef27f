"""Does every counter equal its recount? One read-only statement a parent table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_
from sqlalchemy.orm import Mapper

from .declare import Counter, Key
from .truth import key_columns, plain_table, recount, stored_column


@dataclass(frozen=True)
class Drift:
    """One counter that does not equal its recount."""

    counter: str
    """Which, such as ``Thread.word_count``."""
    key: Key
    """The parent's primary key."""
    stored: Any
    """What the column holds."""
    true: Any
    """What it should hold."""

    @property
    def difference(self) -> Any:
        """Stored minus true; None where one of them is NULL. A timedelta between times."""
        if self.stored is None or self.true is None:
            return None
        return self.stored - self.true

    def __str__(self) -> str:
        key = ", ".join(map(str, self.key))
        stored, true = _text(self.stored), _text(self.true)
        difference = "" if self.difference is None else f", difference {_signed(self.difference)}"
        return f"{self.counter} of {key}: stored {stored}, true {true}{difference}"


def verify(
    connection: Connection, mapper: Mapper[Any], counters: Sequence[Counter]
) -> Iterator[Drift]:
    """Yield the counters of `mapper` that are wrong, in the order of the parents' keys.

    One statement, so one snapshot: a writer at work is either seen whole or not at all.
    """
    parents = plain_table(mapper, [counter.key for counter in counters])
    key = key_columns(parents, mapper)
    recounted = recount(parents, mapper, counters)
    trues = list(recounted.selected_columns)[len(key) :]
    stored = [stored_column(parents, mapper, counter.key) for counter in counters]
    wrong = (held.is_distinct_from(true) for held, true in zip(stored, trues, strict=True))
    statement = recounted.where(or_(*wrong)).add_columns(*stored).order_by(*key)
    for row in connection.execute(statement, execution_options={"yield_per": 1000}):
        values = tuple(row)
        found = values[len(key) : len(key) + len(counters)]
        for counter, true, held in zip(counters, found, values[-len(counters) :], strict=True):
            if true != held:
                yield Drift(str(counter), values[: len(key)], held, true)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _signed(value: Any) -> str:
    return f"{value:+}" if isinstance(value, int) else str(value)
