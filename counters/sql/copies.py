"""Copies follow what they are copied from: the statements of a :mod:`.copied_relation`.

Tables go in the engine's order, so the row that is pointed to is locked before the rows
that point to it; a flush that changes pointers locks what they will point to first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Update,
    bindparam,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_state

from ..declarations.copied_relation import ForeignKeyTracker, Link, Links, difference
from ..declarations.counter import Additive, Change, Counter, Key, RowValues
from ..declarations.dependent_columns import generated_names
from ..declarations.mapped_rows import key_columns as mapped_key
from ..declarations.mapped_rows import select_rows
from ..registry.source import Source, identity
from .recount import key_columns, plain_table, stored_column
from .rows import chunks, in_keys, read

if TYPE_CHECKING:
    from ..unit_of_work.flush import Flush
    from ..unit_of_work.pending_changes import PendingChanges

Answers = dict[Key, RowValues]


def follow(pending_changes: PendingChanges, link: Link, changes: Mapping[Key, Change]) -> None:
    """Bring the copies up to date whose row that is pointed to has just been written.

    :param changes: what was done to those rows.
    """
    holder, engine = link.holder, pending_changes.engine
    keys = [key for key, change in changes.items() if link.concerns(change)]
    released = pending_changes.released(link)
    if pending_changes.ledger.paused is not None:  # those that point elsewhere are found at its end
        pending_changes.ledger.paused[holder].update(dict.fromkeys(released))
        return
    if not keys and not released:
        return
    chained = {o: i for o, i in engine.chained(holder).items() if i in link.counters}
    counters = engine.counters_of(holder)
    names = [c.key for c in counters] + [name for outer in chained for name in outer.tracked]
    names += generated_names(holder, counters)
    connection = pending_changes.connection(holder)
    old: Answers = {}
    if chained or (len(keys) + len(released) > 1 and connection.dialect.name != "sqlite"):
        old = _lock(connection, link, keys, released)
    for key, answer in refresh(connection, link, keys, released, names).items():
        change = Change()
        if key in old:
            for inner in {*chained.values()}:
                difference(inner, old[key][inner.key], answer[inner.key], change)
            for outer, inner in chained.items():
                pending_changes.pass_on(outer, inner, change, answer)
        pending_changes.show(holder, key, answer)


def _lock(
    connection: Connection, link: Link, keys: Sequence[Key], released: Sequence[Key]
) -> Answers:
    """Lock the rows that point, in the order of their keys; what their copies hold so far."""
    names = tuple(counter.key for counter in link.counters)
    answers: Answers = {}
    for statement, parameters in _each(_lock_statement, link, names, keys, released):
        answers |= _collect(link, names, connection.execute(statement, parameters))
    return answers


def refresh(
    connection: Connection,
    link: Link,
    keys: Sequence[Key],
    released: Sequence[Key],
    names: Iterable[str],
) -> Answers:
    """Copy anew what the rows `keys` hold, which the transaction has locked.

    :param released: the keys of rows that point to none of them any more.
    :param names: the attributes of the rows that point to answer with.
    """
    wanted = tuple(dict.fromkeys(names))
    answers: Answers = {}
    for statement, parameters in _each(_refresh_statement, link, wanted, keys, released):
        answers |= _collect(link, wanted, connection.execute(statement, parameters))
    return answers


def _each(
    make: Any, link: Link, names: tuple[str, ...], keys: Sequence[Key], released: Sequence[Key]
) -> Iterable[tuple[Any, dict[str, Any]]]:
    """The statements that are about all of the keys, which are mostly one, and their parameters."""
    width, own = len(link.foreign_key), len(link.holder.primary_key)
    for some in chunks(keys, width):
        yield make(link, names, True), {"keys": _bare(some, width)}
    for some in chunks(released, own):
        yield make(link, names, False), {"keys": _bare(some, own)}


def _bare(keys: Sequence[Key], width: int) -> list[Any]:
    return [key[0] for key in keys] if width == 1 else list(keys)


def _collect(link: Link, names: Sequence[str], rows: Iterable[Any]) -> Answers:
    width = len(link.holder.primary_key)
    return {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}


def _among(parents: Table, link: Link, by_pointer: bool) -> ColumnElement[bool]:
    """The condition that a row points to one of ``:keys``; or has one of them itself."""
    columns = pointing(parents, link) if by_pointer else key_columns(parents, link.holder)
    keys: ColumnElement[Any] = bindparam("keys", expanding=True)
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


def pointing(parents: Any, link: Link) -> list[ColumnElement[Any]]:
    """The columns of :func:`.plain_table` that hold the foreign key."""
    return [stored_column(parents, link.holder, name) for name in link.foreign_key]


@lru_cache(maxsize=256)
def _lock_statement(link: Link, names: tuple[str, ...], by_pointer: bool) -> Select[Any]:
    parents = plain_table(link.holder, (*names, *link.foreign_key))
    own = key_columns(parents, link.holder)
    stored = [stored_column(parents, link.holder, name) for name in names]
    return (
        select(*own, *stored)
        .where(_among(parents, link, by_pointer))
        .order_by(*own)
        .with_for_update(key_share=True)
    )


@lru_cache(maxsize=256)
def _refresh_statement(link: Link, names: tuple[str, ...], by_pointer: bool) -> Update:
    mapper = link.holder
    parents = plain_table(mapper, (*names, *link.foreign_key))
    return (
        update(parents)
        .where(_among(parents, link, by_pointer))
        .values(
            {stored_column(parents, mapper, c.key): _copy(link, c, parents) for c in link.counters}
        )
        .returning(
            *key_columns(parents, mapper), *(stored_column(parents, mapper, name) for name in names)
        )
    )


def _copy(link: Link, counter: Counter, parents: Table) -> ColumnElement[Any]:
    """What the row that is pointed to holds."""
    key = mapped_key(link.pointed)
    same = (mine == its for mine, its in zip(key, pointing(parents, link), strict=True))
    found = select_rows(link.pointed, counter.amount).where(*same).correlate(parents)
    if counter.condition is not None:
        found = found.where(counter.condition)
    held: ColumnElement[Any] = found.scalar_subquery()
    return func.coalesce(held, 0) if isinstance(counter, Additive) else held


# Before the flush


def lock_pointed(
    flush: Flush, links: Links, edited: Iterable[tuple[Source, InstanceState[Any]]]
) -> None:
    """Lock what the flush will make rows point to, and what it will delete that rows point to.

    Whoever counts locks that row before those that point to it, and so must whoever links.
    """
    wanted: dict[Mapper[Any], set[Key]] = defaultdict(set)
    for source, state in edited:
        for counter in source.counters:
            if (
                isinstance(counter, ForeignKeyTracker)
                and (key := _future_key(counter, state)) is not None
            ):
                wanted[counter.parent].add(key)
    gone: set[Mapper[Any]] = set()
    for obj in flush.session.deleted:
        state = instance_state(obj)
        for mapper in links:
            if state.mapper.isa(mapper):
                wanted[mapper].add(identity(state))
                gone.add(mapper)
    for mapper in flush.engine.parents:
        if mapper in wanted:
            connection = flush.connection(mapper)
            read(connection, mapper, (), list(wanted[mapper]), lock=True, deleting=mapper in gone)


def _future_key(pointer: ForeignKeyTracker, state: InstanceState[Any]) -> Key | None:
    """The key of the stored row that an object has come to point to, as memory knows it."""
    name = pointer.relationship.key
    if name in state.committed_state:
        pointed = state.dict.get(name)
        key = None if pointed is None else instance_state(pointed).key
        return None if key is None else tuple(key[1])
    if state.committed_state.keys().isdisjoint(pointer.foreign_key):
        return None
    return pointer.named_parent({part: state.dict.get(part) for part in pointer.foreign_key})


def keys_pointed_to(connection: Connection, link: Link, holders: Sequence[Key]) -> list[Key]:
    """The keys that the rows `holders` point to; nothing is locked."""
    parents = plain_table(link.holder, link.foreign_key)
    own = key_columns(parents, link.holder)
    found: dict[Key, None] = {}
    for some in chunks(holders, len(own)):
        rows = connection.execute(select(*pointing(parents, link)).where(in_keys(own, some)))
        found |= {tuple(row): None for row in rows if None not in row}
    return list(found)


def keys_pointing(connection: Connection, link: Link, keys: Sequence[Key]) -> list[Key]:
    """The keys of the rows that point to one of `keys`; nothing is locked."""
    parents = plain_table(link.holder, link.foreign_key)
    foreign = pointing(parents, link)
    statement = select(*key_columns(parents, link.holder))
    return [
        tuple(row)
        for some in chunks(keys, len(foreign))
        for row in connection.execute(statement.where(in_keys(foreign, some)))
    ]
