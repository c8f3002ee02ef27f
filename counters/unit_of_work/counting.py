"""Enter the change of one row into the changes of its parents' counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Mapper

from ..declarations.change import Change
from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key, RowValues
from ..registry.source import Groups, Source


class NewRows:
    """The new rows of a flush, which are counted together, as :func:`count_row` counts each.

    Of the rows that have the same values in all that conditions look at, one is tried.
    """

    def __init__(self) -> None:
        self._rows: dict[Source, list[dict[Any, list[RowValues]]]] = {}

    def add(self, source: Source, new: RowValues) -> None:
        """Add a new row of a source."""
        groups = self._rows.get(source)
        if groups is None:
            groups = self._rows[source] = [defaultdict(list) for _ in source.groups]
        for number, read in enumerate(source.group_readers):
            try:
                groups[number][read(new)].append(new)
            except TypeError:  # A value of a host's type may have no hash.
                width = len(source.groups[number][0].foreign_key)
                groups[number][(*[NewRows] * width, id(new))].append(new)

    def count(self, changes: Mapping[Mapper[Any], dict[Key, Change]]) -> None:
        """Enter the rows into `changes`."""
        for source, groups in self._rows.items():
            for counters, rows in zip(source.groups, groups, strict=True):
                parents, width = changes[counters[0].parent], len(counters[0].foreign_key)
                counting: dict[Any, list[Counter]] = {}
                for values, alike in rows.items():
                    key = counters[0].named_parent(alike[0])
                    if key is None:
                        continue
                    conditions = values[width:] if isinstance(values, tuple) else ()
                    if conditions not in counting:
                        counting[conditions] = [c for c in counters if c.counts(alike[0])]
                    _enter(parents, key, counting[conditions], alike)


def _enter(
    parents: dict[Key, Change], key: Key, counters: list[Counter], rows: list[RowValues]
) -> None:
    """Enter rows of one parent into the change of each counter."""
    if not counters:
        return
    change = parents[key]
    for counter in counters:
        if len(rows) == 1:
            counter.increment(change, counter.value(rows[0]))
        else:
            counter.add_rows(change, rows)


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
