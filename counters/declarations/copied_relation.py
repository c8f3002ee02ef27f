"""Links: the foreign key stands on the row that has the counter, as a host's own rows have it.

``Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread)``: each article
shows what the one thread that it points to holds. Such a counter is a copy, so it is not
moved by differences but written as it stands in the row that is pointed to, which the
writing transaction has locked *and changed*. The lock keeps every other writer of that
row away until the commit; the change tells transactions of an older snapshot (REPEATABLE
READ) that they must not go on with it. So whoever writes the copy writes the last word.

Two things make a copy stale, and each is seen by what the engine does already: the
column that is copied changes (by its own counters, or as a :class:`ColumnTracker` sees it), or
the row comes to point elsewhere, as a :class:`ForeignKeyTracker` sees it. Both end in the row that
is pointed to being written, which :mod:`.copies` does the rest after.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Mapper

from .counter import Change, Counter
from .mapped_rows import Key, RowValues, key_names

Chained = dict[Mapper[Any], dict[Counter, Counter]]


class InternalCounter(Counter):
    """What a row brings about that is stored in no column, and so shown in none."""

    is_linked = False

    def preview(self, shown: Any, old: Any, new: Any) -> Any:
        return shown


class ForeignKeyTracker(InternalCounter):
    """A foreign key of a link: where it comes to point, that row is written."""

    def value(self, image: RowValues) -> Key:
        """The key of the row that points."""
        return tuple(image[name] for name in key_names(self.source))

    @cached_property
    def tracked(self) -> frozenset[str]:
        return frozenset((*self.foreign_key, *key_names(self.source)))

    def put(self, change: Change, value: Any) -> None:
        change.must_write = True

    def take(self, change: Change, value: Any) -> None:
        if change.released is None:
            change.released = {}
        change.released.setdefault(self, set()).add(value)


class ColumnTracker(InternalCounter):
    """A column that is copied and no counter of ours: where it changes, its row is written.

    A new row has nobody to copy it yet, and one that is gone nobody any more.
    """

    def __init__(self, counter: Counter) -> None:
        super().__init__(counter.target, via=counter.via, of=counter.of)
        self._watched = counter

    @cached_property
    def holder(self) -> Mapper[Any]:
        return self._watched.source

    @cached_property
    def parent(self) -> Mapper[Any]:
        return self._watched.source

    @cached_property
    def foreign_key(self) -> tuple[str, ...]:
        return key_names(self.holder)

    @cached_property
    def tracked(self) -> frozenset[str]:
        predicate = self._watched.predicate
        names = () if predicate is None else predicate.names
        assert self.of is not None
        return frozenset((*self.foreign_key, self.of.key, *names))

    def value(self, image: RowValues) -> Any:
        """What those who point to the row copy."""
        assert self.of is not None
        return (self._watched.counts(image), image[self.of.key])

    def put(self, change: Change, value: Any) -> None:
        """A new value alone is that of a new row."""

    def take(self, change: Change, value: Any) -> None:
        change.must_write = True


class Link:
    """One relationship from rows with counters to the row that these copy."""

    def __init__(self, counters: Iterable[Counter], inner: Chained) -> None:
        self.counters = tuple(counters)
        first = self.counters[0]
        self.holder = first.holder
        """The class whose rows point, and have the counters."""
        self.pointed = first.source
        """The class that they point to."""
        self.names = key_names(self.pointed)
        self.foreign_key = first.foreign_key
        self.relationship = first.relationship
        self.pointer = ForeignKeyTracker(first.target, via=first.via)
        known = inner.get(self.pointed, {})
        self.chained = {c: known[c] for c in self.counters if c in known}
        """The counters that are copies of counters, each with the one."""
        self.watches = tuple(
            ColumnTracker(c) for c in self.counters if c not in known or c.where is not None
        )

    def concerns(self, change: Change) -> bool:
        """Whether `change` of a row makes the copies of those who point to it stale."""
        return change.must_write or any(
            change.added.get(inner)
            or inner in change.risen
            or inner in change.left
            or change.is_recounted(inner)
            for inner in self.chained.values()
        )


Links = dict[Mapper[Any], tuple[Link, ...]]
"""By the class that is pointed to."""


def find_links(declared: Iterable[Counter], chains: Chained) -> Links:
    """The links of the counters that are declared by one."""
    groups: dict[Any, list[Counter]] = {}
    for counter in declared:
        if counter.is_linked:
            groups.setdefault((counter.holder, counter.relationship), []).append(counter)
    links: Links = {}
    for counters in groups.values():
        link = Link(counters, chains)
        links[link.pointed] = (*links.get(link.pointed, ()), link)
    return links


def counted(declared: Iterable[Counter], links: Links) -> list[Counter]:
    """What is counted of rows as the engine sees them: the declared, but links by their parts."""
    found = [counter for counter in declared if not counter.is_linked]
    for each in links.values():
        for link in each:
            found += [link.pointer, *link.watches]
    return found


def difference(counter: Counter, old: Any, new: Any, change: Change) -> None:
    """Enter into `change` that a copy has turned from `old` to `new`, for what is chained to it."""
    if old != new:
        counter.put(change, new)
        counter.take(change, old)


def names_of_copied(links: Collection[Link]) -> set[str]:
    """The attributes that are copied."""
    return {c.of.key for link in links for c in link.counters if c.of is not None}
