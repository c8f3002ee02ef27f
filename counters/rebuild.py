"""Put wrong counters right while writers go on, a batch of parents at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select, tuple_
from sqlalchemy.orm import Mapper

from .declare import Counter, Key
from .rows import in_keys
from .truth import key_columns, plain_table, repair


def rebuild(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Put the counters of `mapper` right; returns how many parents were wrong."""
    parents = plain_table(mapper, ())
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
            keys = [tuple(row) for row in rows]
            last = keys[-1]
            repaired += len(repair(connection, mapper, counters, partial(in_keys, keys=keys)))
        done += len(rows)
        if progress is not None:
            progress(min(done, total), total)
