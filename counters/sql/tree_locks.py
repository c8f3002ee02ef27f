"""Lock rows together with the rows of their own table that they count for.

A reply counts for the comment above it, which is a row of the same table and may be changed, too.
So a change of such rows locks all of them by one statement, in the order of :func:`.lock_order`:
from the greatest key to the smallest. That order is not arbitrary. An INSERT of a reply locks the
key of the comment above it before it comes to any counter, so the deletion of that comment must not
hold a row that the reply's transaction needs while it waits for that lock. Mostly, a reply has a
greater key than the comment above it, so that a comment is locked before those above it. With other
keys, such a pair can deadlock, and the database asks one of the two to retry.

Rows to delete are locked against new references, the others as an UPDATE of a counter locks them:
hence one lateral subquery for each, in a nested loop in the order of the keys. SQLite has one lock,
and needs none of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Mapper

from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key, RowValues, columns_of, select_rows
from .rows import MAX_PARAMETERS, in_keys, lock_order, rows_by_key


class SelfReference:
    """A foreign key by which rows count for rows of their own table."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self.counter = counters[0]
        """One of the counters that share the foreign key."""
        self.foreign_key = self.counter.foreign_key
        self.names = frozenset(
            {self.counter.relationship.key}.union(*(c.tracked for c in counters))
        )
        """The attributes that the counters depend on."""
        conditions = [c.condition for c in counters if c.condition is not None]
        self.condition = or_(*conditions) if len(conditions) == len(counters) else None
        """The condition for a row to count; None if every row does."""


@dataclass
class TreeRows:
    """The keys of the rows to lock."""

    deleted: list[Key] = field(default_factory=list)
    edited: list[Key] = field(default_factory=list)
    leaving: dict[SelfReference, list[Key]] = field(default_factory=dict)
    """By a foreign key: the rows of which the referenced rows are locked as well."""
    joined: list[Key] = field(default_factory=list)
    """The rows that will be referred to."""

    def pieces(self, width: int) -> Iterator[TreeRows]:
        """Split the rows by the databases' limit of parameters."""
        size = MAX_PARAMETERS // (width * (4 + len(self.leaving)))
        longest = max(map(len, (self.deleted, self.edited, self.joined, *self.leaving.values())))
        for start in range(0, longest, size):
            part = slice(start, start + size)
            leaving = {reference: keys[part] for reference, keys in self.leaving.items()}
            yield TreeRows(self.deleted[part], self.edited[part], leaving, self.joined[part])


def lock_tree(
    connection: Connection,
    mapper: Mapper[Any],
    names: Sequence[str],
    references: Sequence[SelfReference],
    rows: TreeRows,
) -> dict[Key, RowValues]:
    """Lock rows of `mapper` and those that they refer to; return the attributes `names` of all."""
    width = len(mapper.primary_key)
    statement = _statement(mapper, tuple(names), tuple(references))
    result: dict[Key, RowValues] = {}
    for piece in rows.pieces(width):
        lists = [piece.deleted, piece.edited, piece.joined]
        lists += [piece.leaving.get(reference, []) for reference in references]
        parameters = {
            f"tallied_{number}": [key[0] for key in keys] if width == 1 else keys
            for number, keys in enumerate(lists)
        }
        result |= rows_by_key(connection.execute(statement, parameters), width, names)
    return result


def lock_matching_tree(
    connection: Connection,
    mapper: Mapper[Any],
    references: Sequence[SelfReference],
    conditions: Sequence[Any],
    *,
    deleting: bool,
    joined: Sequence[Key],
    parameters: Any,
) -> None:
    """Lock the rows that meet `conditions`, and those that they refer to.

    :param joined: the keys of the rows that they will refer to.
    :param parameters: those of the conditions.
    """
    key = list(mapper.primary_key)
    listed = [select_rows(mapper, *key, literal(deleting)).where(*conditions)]
    listed += [_select_referenced(mapper, reference).where(*conditions) for reference in references]
    if joined:
        listed.append(select(*key, false()).where(in_keys(key, joined)))
    connection.execute(_lock_listed(mapper, (), listed), parameters).all()


@lru_cache(maxsize=256)
def _statement(
    mapper: Mapper[Any], names: tuple[str, ...], references: tuple[SelfReference, ...]
) -> Select[Any]:
    key = list(mapper.primary_key)
    listed = [
        select(*key, deleted).where(_in_list(key, number))
        for number, deleted in enumerate((true(), false(), false()))
    ]
    listed += [
        _select_referenced(mapper, reference).where(_in_list(key, number))
        for number, reference in enumerate(references, len(listed))
    ]
    return _lock_listed(mapper, names, listed)


def _in_list(key: Sequence[ColumnElement[Any]], number: int) -> ColumnElement[bool]:
    return in_keys(key, bindparam(f"tallied_{number}", expanding=True))


def _select_referenced(mapper: Mapper[Any], reference: SelfReference) -> Select[Any]:
    """Select the keys of the rows that rows refer to and count for."""
    foreign_key = columns_of(mapper, reference.foreign_key)
    statement = select(*foreign_key, false()).where(*(part.is_not(None) for part in foreign_key))
    return statement if reference.condition is None else statement.where(reference.condition)


def _lock_listed(
    mapper: Mapper[Any], names: Sequence[str], listed: Sequence[Select[Any]]
) -> Select[Any]:
    """Lock the listed rows, each given as a key and whether it is to be deleted."""
    rows = union_all(*listed).subquery("tallied_row")
    *parts, deleted = rows.c
    tree = (
        select(*parts, func.bool_or(deleted).label("is_deleted"))
        .group_by(*parts)
        .order_by(*lock_order(mapper.local_table, parts))
        .subquery("tallied_tree")
    )
    *key, is_deleted = tree.c
    locked = [
        _lock_row(mapper, names, key, condition, deleting)
        for condition, deleting in ((is_deleted, True), (~is_deleted, False))
    ]
    columns = [func.coalesce(*pair) for pair in zip(*(row.c for row in locked), strict=True)]
    joined: Any = tree
    for row in locked:
        joined = joined.outerjoin(row, true())
    return select(*columns).select_from(joined).where(columns[0].is_not(None))


def _lock_row(
    mapper: Mapper[Any],
    names: Sequence[str],
    key: Sequence[ColumnElement[Any]],
    condition: ColumnElement[bool],
    deleting: bool,
) -> Any:
    table: Any = mapper.local_table
    alias = table.alias("tallied_deleted" if deleting else "tallied_kept")
    own = [alias.c[column.key] for column in mapper.primary_key]
    values = [alias.c[column.key] for column in columns_of(mapper, names)]
    same = and_(*(a == b for a, b in zip(own, key, strict=True)), condition)
    columns = (column.label(f"column{number}") for number, column in enumerate([*own, *values]))
    return select(*columns).where(same).with_for_update(key_share=not deleting).lateral()
