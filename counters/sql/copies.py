"""The statements that update the copies of a :mod:`.copied_relation`.

The referenced row is locked before the rows that refer to it; a flush that changes references locks
the newly referenced rows first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import eq
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Update,
    func,
    select,
    update,
)

from ..declarations.copied_relation import CopiedRelation
from ..declarations.counter import Counter
from ..declarations.kinds import Additive
from ..declarations.mapped_rows import Key, RowValues, key_names, select_rows
from .recount import key_columns, plain_table, stored_column
from .rows import chunks, in_key_parameters, in_keys, key_parameters, lock_order, rows_by_key

Answers = dict[Key, RowValues]


def lock_copies(
    connection: Connection, relation: CopiedRelation, keys: Sequence[Key], detached: Sequence[Key]
) -> Answers:
    """Lock the rows that hold copies in the order of their keys, and return the copies."""
    names = tuple(counter.key for counter in relation.counters)
    return _execute_batches(connection, _lock_statement, relation, names, keys, detached)


def refresh_copies(
    connection: Connection,
    relation: CopiedRelation,
    keys: Sequence[Key],
    detached: Sequence[Key],
    names: Iterable[str],
) -> Answers:
    """Copy the values of the rows `keys`, which the transaction has locked, again.

    :param detached: the keys of rows that no longer point to one of them.
    :param names: the attributes of the rows that hold copies to return.
    """
    distinct = tuple(dict.fromkeys(names))
    return _execute_batches(connection, _refresh_statement, relation, distinct, keys, detached)


def _execute_batches(
    connection: Connection,
    make: Any,
    relation: CopiedRelation,
    names: tuple[str, ...],
    keys: Sequence[Key],
    detached: Sequence[Key],
) -> Answers:
    """Execute the statements for all of the keys, mostly one, and return their rows."""
    by_own, answers = key_names(relation.holder), Answers()
    for by, batched in ((relation.foreign_key, keys), (by_own, detached)):
        for batch in chunks(batched, len(by)):
            result = connection.execute(make(relation, names, by), key_parameters(batch))
            answers |= rows_by_key(result, len(by_own), names)
    return answers


def foreign_key_columns(parents: Any, relation: CopiedRelation) -> list[ColumnElement[Any]]:
    """Return the columns of :func:`.plain_table` that hold the foreign key."""
    return [stored_column(parents, relation.holder, name) for name in relation.foreign_key]


@lru_cache(maxsize=256)
def _lock_statement(
    relation: CopiedRelation, names: tuple[str, ...], by: tuple[str, ...]
) -> Select[Any]:
    parents = plain_table(relation.holder, (*names, *relation.foreign_key))
    own = key_columns(parents, relation.holder)
    stored = [stored_column(parents, relation.holder, name) for name in names]
    return (
        select(*own, *stored)
        .where(in_key_parameters([stored_column(parents, relation.holder, name) for name in by]))
        .order_by(*lock_order(relation.holder.base_mapper.local_table, own))
        .with_for_update(key_share=True)
    )


@lru_cache(maxsize=256)
def _refresh_statement(
    relation: CopiedRelation, names: tuple[str, ...], by: tuple[str, ...]
) -> Update:
    mapper = relation.holder
    parents = plain_table(mapper, (*names, *relation.foreign_key))
    return (
        update(parents)
        .where(in_key_parameters([stored_column(parents, relation.holder, name) for name in by]))
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
    same = map(eq, relation.source.primary_key, foreign_key_columns(parents, relation))
    statement = select_rows(relation.source, counter.amount).where(*same).correlate(parents)
    if counter.condition is not None:
        statement = statement.where(counter.condition)
    copied: ColumnElement[Any] = statement.scalar_subquery()
    return func.coalesce(copied, 0) if isinstance(counter, Additive) else copied


def referenced_keys(
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


def referring_keys(
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
