"""The statements that write counters: deltas, with what they came to sent back.

One parent, the usual case, is one ``UPDATE … SET c = c + :delta … RETURNING``, built
once and cached. Several parents of a table share one UPDATE that joins a list of
values; on PostgreSQL a first part of the same statement locks the parents in the order
of their keys, so that two units never deadlock each other over parents.

The statements name the table without its Python side: an UPDATE of the mapped table
would fire its ``onupdate`` defaults, and a counter is no reason to change
``updated_at`` or a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TableClause,
    Update,
    and_,
    bindparam,
    case,
    column,
    literal,
    select,
    table,
    update,
    values,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from .declare import Additive, Change, Counter, Extreme, Key
from .rows import chunks, in_keys

Answer = dict[str, Any]
"""The counters of a parent, by attribute name, as they are stored now."""


def write(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    changes: dict[Key, Change],
) -> dict[Key, Answer]:
    """Write `changes` to the parents of `mapper`; a parent that is gone is not in the answer."""
    affected = tuple(c for c in counters if any(_affects(change, c) for change in changes.values()))
    answers: dict[Key, Answer] = {}
    if len(changes) == 1:
        ((key, change),) = changes.items()
        parameters = {f"k{n}": part for n, part in enumerate(key)}
        parameters |= {f"d{n}": _amount(change, c) for n, c in enumerate(affected)}
        statement = _update_one(mapper, tuple(counters), affected)
        _collect(answers, mapper, counters, connection.execute(statement, parameters))
    else:
        width = len(mapper.primary_key) + len(affected)
        for keys in chunks(_in_order(changes), width):
            statement = _update_many(mapper, counters, affected, keys, changes)
            _collect(answers, mapper, counters, connection.execute(statement))
    for counter in counters:
        if isinstance(counter, Extreme):
            _look_up(connection, mapper, counter, changes, answers)
    return answers


def plain_table(mapper: Mapper[Any], counters: Iterable[Counter]) -> TableClause:
    """The table of `mapper`, with its key and `counters`, and no defaults of any kind."""
    mapped = mapper.local_table
    columns = {c.name: c.type for c in mapper.primary_key}
    for counter in counters:
        stored = mapper.column_attrs[counter.key].columns[0]
        columns[stored.name] = stored.type
    return table(
        mapped.name,
        *(column(name, type_) for name, type_ in columns.items()),
        schema=getattr(mapped, "schema", None),
    )


def stored_column(parents: FromClause, counter: Counter) -> ColumnElement[Any]:
    """The column of :func:`plain_table` that holds `counter`."""
    return parents.c[counter.parent.column_attrs[counter.key].columns[0].name]


def key_columns(parents: FromClause, mapper: Mapper[Any]) -> list[ColumnElement[Any]]:
    """The columns of :func:`plain_table` that hold the key."""
    return [parents.c[c.name] for c in mapper.primary_key]


def true_value(counter: Counter, parents: TableClause) -> Select[Any]:
    """The recount of `counter` for the row of `parents` that the query around it is at."""
    remote = [counter.source.column_attrs[name].columns[0] for name in counter.foreign_key]
    pairs = zip(remote, key_columns(parents, counter.parent), strict=True)
    return (
        select(counter.truth())
        .select_from(counter.source.persist_selectable)
        .where(and_(*(foreign == key for foreign, key in pairs)))
        .correlate(parents)
    )


def _affects(change: Change, counter: Any) -> bool:
    """Whether the UPDATE has anything to do for `counter`; what left is looked up after it."""
    return bool(change.added.get(counter)) or counter in change.risen


def _amount(change: Change, counter: Any) -> Any:
    if isinstance(counter, Additive):
        return change.added.get(counter, 0)
    return change.risen.get(counter)


def _amounts(
    change: Change, affected: Sequence[Counter], types: Sequence[TypeEngine[Any]]
) -> list[ColumnElement[Any]]:
    """With their types: PostgreSQL takes a column of bare NULLs for text."""
    return [literal(_amount(change, c), t) for c, t in zip(affected, types, strict=True)]


def _in_order(changes: dict[Key, Change]) -> list[Key]:
    """The order is made by the database; this one only makes the statement's text stable."""
    return sorted(changes, key=lambda key: tuple(map(str, key)))


def _set_clause(
    parents: TableClause, affected: Sequence[Counter], deltas: Sequence[ColumnElement[Any]]
) -> dict[Any, ColumnElement[Any]]:
    """What an UPDATE sets; where nothing changes, a column is set to itself, for the lock."""
    clause: dict[Any, ColumnElement[Any]] = {}
    for counter, delta in zip(affected, deltas, strict=True):
        stored = stored_column(parents, counter)
        new = counter.updated(stored, delta)
        if isinstance(counter, Extreme):
            new = case((delta.is_(None), stored), else_=new)
        clause[stored] = new
    if not clause:
        first = next(iter(c for c in parents.c if not c.primary_key))
        clause[first] = first
    return clause


@lru_cache(maxsize=256)
def _update_one(
    mapper: Mapper[Any], counters: tuple[Counter, ...], affected: tuple[Counter, ...]
) -> Update:
    parents = plain_table(mapper, counters)
    keys = key_columns(parents, mapper)
    deltas = [
        bindparam(f"d{n}", type_=stored_column(parents, counter).type)
        for n, counter in enumerate(affected)
    ]
    return (
        update(parents)
        .where(*(key == bindparam(f"k{n}", type_=key.type) for n, key in enumerate(keys)))
        .values(_set_clause(parents, affected, deltas))
        .returning(*keys, *(stored_column(parents, c) for c in counters))
    )


def _update_many(
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    affected: Sequence[Counter],
    keys: Sequence[Key],
    changes: dict[Key, Change],
) -> Update:
    parents = plain_table(mapper, counters)
    key = key_columns(parents, mapper)
    types = [stored_column(parents, counter).type for counter in affected]
    listed = (
        values(
            *(column(f"k{n}", each.type) for n, each in enumerate(key)),
            *(column(f"d{n}", type_) for n, type_ in enumerate(types)),
        )
        .data([(*k, *_amounts(changes[k], affected, types)) for k in keys])
        .cte("delta")
    )
    locked = _lock_in_order(mapper, keys)
    deltas = [listed.c[f"d{n}"] for n in range(len(affected))]
    return (
        update(parents)
        .where(
            *(each == listed.c[f"k{n}"] for n, each in enumerate(key)),
            *(each == locked.c[each.name] for each in key),
        )
        .values(_set_clause(parents, affected, deltas))
        .returning(*key, *(stored_column(parents, c) for c in counters))
    )


def _lock_in_order(mapper: Mapper[Any], keys: Sequence[Key]) -> CTE:
    """Lock the parents in the order of their keys, whatever the order of the UPDATE."""
    again = plain_table(mapper, ()).alias("parent")
    key = [again.c[c.name] for c in mapper.primary_key]
    return (
        select(*key)
        .where(in_keys(key, keys))
        .order_by(*key)
        .with_for_update(key_share=True)
        .cte("locked")
    )


def _look_up(
    connection: Connection,
    mapper: Mapper[Any],
    counter: Extreme,
    changes: dict[Key, Change],
    answers: dict[Key, Answer],
) -> None:
    """Look up the extreme again where it may have left.

    In a statement of its own, after the one that locked the parents: a recount inside
    that one would keep the snapshot from before the wait for the lock (READ COMMITTED),
    and miss what the other transaction has committed.
    """
    keys = [k for k, answer in answers.items() if counter.must_look_up(changes[k], answer[counter.key])]
    for some in chunks(keys, len(mapper.primary_key)):
        parents = plain_table(mapper, (counter,))
        key = key_columns(parents, mapper)
        stored = stored_column(parents, counter)
        statement = (
            update(parents)
            .where(in_keys(key, some))
            .values({stored: true_value(counter, parents).scalar_subquery()})
            .returning(*key, stored)
        )
        for row in connection.execute(statement):
            answers[tuple(row[:-1])][counter.key] = row[-1]


def _collect(
    answers: dict[Key, Answer],
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    rows: Iterable[Sequence[Any]],
) -> None:
    width = len(mapper.primary_key)
    for row in rows:
        answers[tuple(row[:width])] = {
            counter.key: value for counter, value in zip(counters, row[width:], strict=True)
        }
