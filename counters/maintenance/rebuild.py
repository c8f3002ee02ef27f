"""Repair wrong counters while others write, and block none of them for long.

The parents are walked in the order of their keys, a batch at a time:

1. A batch is recounted without a lock. Most counters are right, so most writers notice nothing.
2. The parents that look wrong are locked, in a transaction of its own, and recounted by a *second*
   statement. Its snapshot is younger than the locks: it sees what writers have committed, and a
   writer that waits for the lock adds its difference to the repaired value. (A recount within the
   UPDATE that waits for the lock would use an older snapshot, and lose what was committed.)

On PostgreSQL the locks are taken with ``SKIP LOCKED``: parents that a writer holds are left out,
and repaired one by one afterwards. So no batch waits while it holds locks, a writer waits for one
batch at most, and the two never deadlock. On SQLite, which has one lock for all, a batch is one
short transaction, with a pause after it.

How many parents are locked at once depends on how long their recount took without a lock
(:data:`LOCK_TIME`). The minimum is one: a thread of ten million comments is locked for as long as
it takes to count them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Mapper

from ...errors import CounterError
from ..declarations.copied_relation import CopiedRelation
from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key
from ..declarations.number import Number
from ..registry.counter_registry import CounterRegistry
from ..sql.copies import referring_keys
from ..sql.numbers import number_rows
from ..sql.recount import after_key, drift_query, key_columns, plain_table, repair
from ..sql.rows import MAX_PARAMETERS, in_keys, lock_order
from .selection import Condition, Named, choose, parents_in
from .transactions import locking, pause, run_with_retries, transactional

LOCK_TIME = 0.25
"""The seconds for which one batch is meant to hold its locks."""

FIRST_BATCH = 50
"""How many parents are looked at first; from there on the batches grow while they are quick."""


@dataclass(frozen=True)
class Progress:
    """The progress of a rebuild."""

    parent: type[Any]
    """The class whose counters are being repaired."""
    key: Key
    """The primary key that it has reached; ``(parent, key)`` is where to go on after."""
    done: int
    """How many objects of the class have been looked at."""
    total: int
    """How many there were when it began with the class."""
    repaired: int
    """How many of them had a wrong counter."""


Report = Callable[[Progress], None]


def rebuild(
    registry: CounterRegistry,
    connection: Connection,
    *,
    only: Iterable[Named] = (),
    where: Condition | None = None,
    after: tuple[type[Any], Any] | None = None,
    batch_size: int = 1000,
    progress: Report | None = None,
) -> int:
    """Rebuild counters; see :meth:`.Counters.rebuild`."""
    if connection.in_transaction():
        raise CounterError(
            "A rebuild commits every batch, and this connection is in a transaction; commit it "
            "or roll it back first."
        )
    selection = choose(registry, only)
    if where is not None:
        selection.one_class()
    mappers = list(selection.counters)
    start: Key | None = None
    if after is not None:
        classes = [mapper.class_ for mapper in mappers]
        if after[0] not in classes:
            raise CounterError(f"No counter of {after[0].__name__} is to be rebuilt.")
        mappers = mappers[classes.index(after[0]) :]
        start = after[1] if isinstance(after[1], tuple) else (after[1],)
    followers = _followers(registry, set().union(*selection.counters.values()), where is None)
    repaired = 0
    with transactional(connection):
        for mapper in mappers:
            for counters in _waves(registry, mapper, selection.counters[mapper]):
                walk = Rebuild(connection, mapper, counters, where, batch_size, progress)
                walk.chained = {m: _only(registry.chained(m), followers) for m in registry.parents}
                walk.relations = [
                    (relation, _only(relation.chained, followers))
                    for relation in registry.all_copied_relations()
                ]
                repaired += walk.run(start)
                start = None
    return repaired


def _only(chained: dict[Counter, Counter], followers: set[Counter]) -> dict[Counter, Counter]:
    return {outer: inner for outer, inner in chained.items() if outer in followers}


def _followers(registry: CounterRegistry, selected: set[Counter], whole: bool) -> set[Counter]:
    """Return the outer counters of chains to repair at once: no later step repairs them all."""
    relations = [
        relation for mapper in registry.parents for relation in registry.chained(mapper).items()
    ]
    relations += [
        pair for relation in registry.all_copied_relations() for pair in relation.chained.items()
    ]
    changed, followers = set(selected), set[Counter]()
    while True:
        following = {outer for outer, inner in relations if inner in changed} - followers
        following = following - selected if whole else following
        if not following:
            return followers
        followers |= following
        changed |= following


def _waves(
    registry: CounterRegistry, mapper: Mapper[Any], counters: Sequence[Counter]
) -> Iterable[tuple[Counter, ...]]:
    """Yield `counters` of one class in groups: a group is computed from the groups before it."""
    inner = registry.chained(mapper)
    remaining = list(counters)
    while remaining:
        wave = tuple(counter for counter in remaining if inner.get(counter) not in remaining)
        yield wave
        remaining = [counter for counter in remaining if counter not in wave]


class Rebuild:
    """One walk through the parents of one class."""

    def __init__(
        self,
        connection: Connection,
        mapper: Mapper[Any],
        counters: Sequence[Counter],
        where: Condition | None = None,
        batch_size: int = 1000,
        progress: Report | None = None,
    ) -> None:
        self.connection = connection
        self.mapper = mapper
        self.counters = counters
        self.progress = progress
        self.chained: dict[Mapper[Any], dict[Counter, Counter]] = {}
        """The outer links of chains that follow each repair at once, with their inner ones."""
        self.relations: list[tuple[CopiedRelation, dict[Counter, Counter]]] = []
        """The same, of those that copy what is repaired."""
        self._parents = plain_table(mapper, [counter.key for counter in counters]).alias("parent")
        self._key = key_columns(self._parents, mapper)
        within = parents_in(mapper, where)
        self._chosen = [] if within is None else [within(self._key)]
        relationships = len({counter.relationship for counter in counters})
        most = MAX_PARAMETERS // (len(self._key) * (1 + relationships))
        self._most = max(1, min(batch_size, most))

    def run(self, start: Key | None = None) -> int:
        """Walk through all parents after the key `start`; returns how many had to be repaired."""
        total = self._count()
        done = 0 if start is None else total - self._count(start)
        repaired, size, last = 0, min(FIRST_BATCH, self._most), start
        while True:
            began = time.monotonic()
            keys, wrong = self._find_wrong(last, size)
            if not keys:
                return repaired
            took = max(time.monotonic() - began, 1e-6)
            repaired += self._repair(wrong, max(1, int(len(keys) * LOCK_TIME / took)))
            last = keys[-1]
            done += len(keys)
            if self.progress is not None:
                reached = min(done, total)
                self.progress(Progress(self.mapper.class_, last, reached, total, repaired))
            if took > LOCK_TIME:
                size = max(1, size // 2)
            elif took < LOCK_TIME / 2:
                size = min(2 * size, self._most)

    def _count(self, start: Key | None = None) -> int:
        statement = select(func.count()).select_from(self._parents).where(*self._chosen)
        if start is not None:
            statement = statement.where(after_key(self._key, start))
        with self.connection.begin():
            return self.connection.execute(statement).scalar_one()

    def _find_wrong(self, last: Key | None, size: int) -> tuple[list[Key], list[Key]]:
        """Return the keys of the next parents, and of those that look wrong, without locks."""
        batch = select(*self._key).where(*self._chosen).order_by(*self._key).limit(size)
        if last is not None:
            batch = batch.where(after_key(self._key, last))
        with self.connection.begin():
            keys = [tuple(row) for row in self.connection.execute(batch)]
            if not keys:
                return [], []
            within = partial(in_keys, keys=keys)
            statement = drift_query(self._parents, self.mapper, self.counters, within)
            rows = [tuple(row) for row in self.connection.execute(statement)]
        width, number = len(self._key), len(self.counters)
        wrong = [row[:width] for row in rows if row[width:][:number] != row[width + number :]]
        return keys, wrong

    def _repair(self, keys: Sequence[Key], at_once: int) -> int:
        repaired = 0
        for start in range(0, len(keys), at_once):
            batch = keys[start : start + at_once]
            locked, number = run_with_retries(self.connection, partial(self._batch, batch, True))
            repaired += number
            for key in batch if len(locked) < len(batch) else ():
                if key not in locked:
                    repaired += run_with_retries(
                        self.connection, partial(self._batch, [key], False)
                    )[1]
            pause(self.connection)
        return repaired

    def _batch(self, keys: Sequence[Key], skip_locked: bool) -> tuple[set[Key], int]:
        """Lock and repair some parents; which could be locked, and how many were wrong."""
        with locking(self.connection, self.mapper):
            locked = self._lock(self.mapper, keys, skip_locked)
            if not locked:
                return locked, 0
            repaired = self._repair_chain(self.mapper, self.counters, list(locked))
        return locked, repaired

    def _lock(self, mapper: Mapper[Any], keys: Sequence[Key], skip_locked: bool) -> set[Key]:
        parents = plain_table(mapper, ())
        own = key_columns(parents, mapper)
        order = lock_order(mapper.base_mapper.local_table, own)
        lock = select(*own).where(in_keys(own, keys)).order_by(*order)
        lock = lock.with_for_update(key_share=True, skip_locked=skip_locked)
        return {tuple(row) for row in self.connection.execute(lock)}

    def _repair_chain(
        self, mapper: Mapper[Any], counters: Sequence[Counter], keys: list[Key]
    ) -> int:
        """Repair parents that are locked, and those further along a chain that must follow."""
        chained = {o: i for o, i in self.chained.get(mapper, {}).items() if i in counters}
        tracked = {name for outer in chained for name in outer.tracked}
        also = sorted(tracked - {counter.key for counter in counters})
        for counter in counters:
            if isinstance(counter, Number):
                number_rows(self.connection, counter, partial(in_keys, keys=keys))
        rows = repair(self.connection, mapper, counters, partial(in_keys, keys=keys), answer=also)
        for outer in chained:
            keys_of_outer = (outer.parent_key(row) for row in rows.values())
            touched = list({key for key in keys_of_outer if key is not None})
            if touched:
                locked = self._lock(outer.parent, touched, False)
                self._repair_chain(outer.parent, [outer], list(locked))
        for relation, copies in self.relations if rows else ():
            stale = [outer for outer, inner in copies.items() if inner in counters]
            if relation.source is mapper and stale:
                pointing = referring_keys(self.connection, relation, list(rows))
                locked = self._lock(relation.holder, pointing, False)
                self._repair_chain(relation.holder, stale, list(locked))
        return len(rows)
