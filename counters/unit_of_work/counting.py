"""What a change of one row does to its parents' counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Mapper

from ..declarations.counter import Change
from ..declarations.mapped_rows import Key, RowValues
from ..registry.source import Groups


def count_new_row(
    changes: Mapping[Mapper[Any], dict[Key, Change]], groups: Groups, new: RowValues
) -> None:
    """As :func:`count_row`, where there was no row before."""
    for counters in groups:
        key = counters[0].named_parent(new)
        if key is None:
            continue
        change = changes[counters[0].parent][key]
        for counter in counters:
            if counter.counts(new):
                counter.put(change, counter.value(new))


def count_row(
    changes: Mapping[Mapper[Any], dict[Key, Change]],
    groups: Groups,
    old: RowValues | None,
    new: RowValues | None,
) -> None:
    """Enter into `changes`, by parent mapper and key, what turns the row `old` into `new`.

    :param groups: the counters, as :func:`by_relationship` has them.
    """
    for counters in groups:
        left, come = counters[0].named_parent(old), counters[0].named_parent(new)
        if left is None and come is None:
            continue
        parents = changes[counters[0].parent]
        for counter in counters:
            before = left if old is not None and counter.counts(old) else None
            after = come if new is not None and counter.counts(new) else None
            was = None if before is None or old is None else counter.value(old)
            now = None if after is None or new is None else counter.value(new)
            if (before, was) == (after, now):
                continue
            if before is not None:
                counter.take(parents[before], was)
            if after is not None:
                counter.put(parents[after], now)
