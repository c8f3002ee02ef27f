"""Put wrong counters right while writers go on, a batch of parents at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, tuple_, update
from sqlalchemy.orm import Mapper

from .declare import Counter, Key
from .verify import recount
from .write import key_columns, plain_table, stored_column


def rebuild(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Put the counters of `mapper` right; returns how many parents were wrong."""
    parents = plain_table(mapper, counters)
    key = key_columns(parents, mapper)
    with connection.begin():
        total = connection.execute(select(func.count()).select_from(parents)).scalar_one()
    done, repaired = 0, 0
    last: Key | None = None
    while True:
        with connection.begin():
            batch = select(*key).order_by(*key).limit(batch_size)
            if last is not None:
                batch = batch.where(tuple_(*key) > tuple_(*last))
            rows = connection.execute(batch.with_for_update(key_share=True)).all()
            if not rows:
                return repaired
            first, last = tuple(rows[0]), tuple(rows[-1])
            repaired += _repair(connection, mapper, counters, first, last)
        done += len(rows)
        if progress is not None:
            progress(min(done, total), total)


def _repair(
    connection: Connection, mapper: Mapper[Any], counters: Sequence[Counter], first: Key, last: Key
) -> int:
    """Recount in a second statement, whose snapshot is younger than the locks.

    What a writer has committed is seen; what it has not yet counted it will add to the
    repaired value when it gets the lock.
    """
    parents = plain_table(mapper, counters)
    key = key_columns(parents, mapper)
    inner = plain_table(mapper, ()).alias("parent")

    def within(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        return (tuple_(*columns) >= tuple_(*first)) & (tuple_(*columns) <= tuple_(*last))

    truth = recount(inner, mapper, counters, within).subquery("truth")
    trues = [truth.c[f"true_{counter.key}"] for counter in counters]
    stored = [stored_column(parents, counter) for counter in counters]
    statement = (
        update(parents)
        .where(
            *(a == truth.c[a.name] for a in key),
            or_(*(a.is_distinct_from(b) for a, b in zip(stored, trues, strict=True))),
        )
        .values(dict(zip(stored, trues, strict=True)))
        .returning(*key)
    )
    return len(connection.execute(statement).all())
