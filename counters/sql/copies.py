"""Copies follow what they are copied from: the statements of a :mod:`.copied_relation`.

Tables go in the engine's order, so the row that is pointed to is locked before the rows
that point to it; a flush that changes pointers locks what they will point to first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

from ..declarations.copied_relation import CopiedRelation
from ..declarations.counter import Counter
from ..declarations.kinds import Additive
from ..declarations.mapped_rows import Key, RowValues, select_rows
from ..declarations.mapped_rows import key_columns as mapped_key
from .recount import key_columns, plain_table, stored_column
from .rows import chunks, in_keys

if TYPE_CHECKING:
    pass

Answers = dict[Key, RowValues]


def lock_copies(
    connection: Connection, relation: CopiedRelation, keys: Sequence[Key], detached: Sequence[Key]
) -> Answers:
    """Lock the rows that hold copies in the order of their keys, and return the copies."""
    names = tuple(counter.key for counter in relation.counters)
    answers: Answers = {}
    for statement, parameters in _each(_lock_statement, relation, names, keys, detached):
        answers |= _collect(relation, names, connection.execute(statement, parameters))
    return answers


def refresh_copies(
    connection: Connection,
    relation: CopiedRelation,
    keys: Sequence[Key],
    detached: Sequence[Key],
    names: Iterable[str],
) -> Answers:
    """Copy the values of the rows `keys`, which the transaction has locked, again.

    :param released: the keys of rows that point to none of them any more.
    :param names: the attributes of the rows that point to answer with.
    """
    distinct = tuple(dict.fromkeys(names))
    answers: Answers = {}
    for statement, parameters in _each(_refresh_statement, relation, distinct, keys, detached):
        answers |= _collect(relation, distinct, connection.execute(statement, parameters))
    return answers


def _each(
    make: Any,
    relation: CopiedRelation,
    names: tuple[str, ...],
    keys: Sequence[Key],
    detached: Sequence[Key],
) -> Iterable[tuple[Any, dict[str, Any]]]:
    """Yield statements for all of the keys, mostly one statement, with their parameters."""
    width, own = len(relation.foreign_key), len(relation.holder.primary_key)
    for batch in chunks(keys, width):
        yield make(relation, names, True), {"keys": _bare(batch, width)}
    for batch in chunks(detached, own):
        yield make(relation, names, False), {"keys": _bare(batch, own)}


def _bare(keys: Sequence[Key], width: int) -> list[Any]:
    return [key[0] for key in keys] if width == 1 else list(keys)


def _collect(relation: CopiedRelation, names: Sequence[str], rows: Iterable[Any]) -> Answers:
    width = len(relation.holder.primary_key)
    return {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}


def _among(parents: Table, relation: CopiedRelation, by_pointer: bool) -> ColumnElement[bool]:
    """Return the condition that a row points to one of ``:keys``; or has one of them itself."""
    columns = (
        foreign_key_columns(parents, relation)
        if by_pointer
        else key_columns(parents, relation.holder)
    )
    keys: ColumnElement[Any] = bindparam("keys", expanding=True)
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


def foreign_key_columns(parents: Any, relation: CopiedRelation) -> list[ColumnElement[Any]]:
    """Return the columns of :func:`.plain_table` that hold the foreign key."""
    return [stored_column(parents, relation.holder, name) for name in relation.foreign_key]


@lru_cache(maxsize=256)
def _lock_statement(
    relation: CopiedRelation, names: tuple[str, ...], by_pointer: bool
) -> Select[Any]:
    parents = plain_table(relation.holder, (*names, *relation.foreign_key))
    own = key_columns(parents, relation.holder)
    stored = [stored_column(parents, relation.holder, name) for name in names]
    return (
        select(*own, *stored)
        .where(_among(parents, relation, by_pointer))
        .order_by(*own)
        .with_for_update(key_share=True)
    )


@lru_cache(maxsize=256)
def _refresh_statement(
    relation: CopiedRelation, names: tuple[str, ...], by_pointer: bool
) -> Update:
    mapper = relation.holder
    parents = plain_table(mapper, (*names, *relation.foreign_key))
    return (
        update(parents)
        .where(_among(parents, relation, by_pointer))
        .values(
            {
                stored_column(parents, mapper, c.key): _copy(relation, c, parents)
                for c in relation.counters
            }
        )
        .returning(
            *key_columns(parents, mapper), *(stored_column(parents, mapper, name) for name in names)
        )
    )


def _copy(relation: CopiedRelation, counter: Counter, parents: Table) -> ColumnElement[Any]:
    """Return the expression for the value that a row copies."""
    key = mapped_key(relation.pointed)
    same = (
        mine == its for mine, its in zip(key, foreign_key_columns(parents, relation), strict=True)
    )
    found = select_rows(relation.pointed, counter.amount).where(*same).correlate(parents)
    if counter.condition is not None:
        found = found.where(counter.condition)
    held: ColumnElement[Any] = found.scalar_subquery()
    return func.coalesce(held, 0) if isinstance(counter, Additive) else held


# Before the flush


def keys_pointed_to(
    connection: Connection, relation: CopiedRelation, holders: Sequence[Key]
) -> list[Key]:
    """Return the keys that the rows `holders` point to; nothing is locked."""
    parents = plain_table(relation.holder, relation.foreign_key)
    own = key_columns(parents, relation.holder)
    targets: dict[Key, None] = {}
    for batch in chunks(holders, len(own)):
        rows = connection.execute(
            select(*foreign_key_columns(parents, relation)).where(in_keys(own, batch))
        )
        targets |= {tuple(row): None for row in rows if None not in row}
    return list(targets)


def keys_pointing(
    connection: Connection, relation: CopiedRelation, keys: Sequence[Key]
) -> list[Key]:
    """Return the keys of the rows that point to one of `keys`; nothing is locked."""
    parents = plain_table(relation.holder, relation.foreign_key)
    foreign = foreign_key_columns(parents, relation)
    statement = select(*key_columns(parents, relation.holder))
    return [
        tuple(row)
        for batch in chunks(keys, len(foreign))
        for row in connection.execute(statement.where(in_keys(foreign, batch)))
    ]
