"""Enter the change of one row into the changes of its parents' counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Mapper

from ..declarations.change import Change
from ..declarations.mapped_rows import Key, RowValues
from ..registry.source import Groups


def count_new_row(
    changes: Mapping[Mapper[Any], dict[Key, Change]], groups: Groups, new: RowValues
) -> None:
    """Enter a new row into `changes`; a quicker :func:`count_row`."""
    for counters in groups:
        first = counters[0]
        key = first.named_parent(new)
        if key is None:
            continue
        change = changes[first.parent][key]
        for counter in counters:
            if counter.predicate is None or counter.counts(new):
                counter.increment(change, counter.value(new))


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
        old_parent, new_parent = counters[0].named_parent(old), counters[0].named_parent(new)
        if old_parent is None and new_parent is None:
            continue
        parents = changes[counters[0].parent]
        for counter in counters:
            counted_before = old_parent if old is not None and counter.counts(old) else None
            counted_after = new_parent if new is not None and counter.counts(new) else None
            old_value = None if counted_before is None or old is None else counter.value(old)
            new_value = None if counted_after is None or new is None else counter.value(new)
            if (counted_before, old_value) == (counted_after, new_value):
                continue
            if counted_before is not None:
                counter.decrement(parents[counted_before], old_value)
            if counted_after is not None:
                counter.increment(parents[counted_after], new_value)
