"""The statements that write counters: deltas, with what they came to sent back.

One parent, the usual case, is one ``UPDATE … SET c = c + :delta … RETURNING``, built
once and cached. Several parents of a table share one UPDATE that joins a list of
values; on PostgreSQL a first part of the same statement locks the parents in the order
of their keys, so that two units never deadlock each other over parents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Table,
    Update,
    bindparam,
    case,
    column,
    literal,
    select,
    update,
    values,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from .declare import Additive, Change, Counter, Extreme, Key
from .rows import chunks, in_keys
from .truth import key_columns, plain_table, repair, stored_column

Answer = dict[str, Any]
"""The counters of a parent, by attribute name, as they are stored now."""


def write(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    changes: dict[Key, Change],
    also: tuple[str, ...] = (),
) -> dict[Key, Answer]:
    """Write `changes` to the parents of `mapper`; a parent that is gone is not in the answer.

    :param also: further attributes of the parents to answer with.
    """
    names = tuple(dict.fromkeys([*[c.key for c in counters], *also]))
    if len(changes) == 1:
        ((key, change),) = changes.items()
        answers = _write_one(connection, mapper, counters, key, change, names)
    else:
        answers = _write_many(connection, mapper, counters, changes, names)
    for counter in counters:
        if isinstance(counter, Extreme) and any(counter in c.left for c in changes.values()):
            _look_up(connection, mapper, counter, changes, answers)
    return answers


def _write_one(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    key: Key,
    change: Change,
    names: tuple[str, ...],
) -> dict[Key, Answer]:
    """The usual case, and so the one that counts its microseconds."""
    affected = tuple([c for c in counters if _affects(change, c)])
    statement, parts, deltas = _update_one(mapper, names, affected)
    parameters = dict(zip(parts, key, strict=True))
    for name, counter in zip(deltas, affected, strict=True):
        parameters[name] = _amount(change, counter)
    row = connection.execute(statement, parameters).first()
    return {} if row is None else {key: dict(zip(names, row, strict=True))}


def _write_many(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    changes: dict[Key, Change],
    names: tuple[str, ...],
) -> dict[Key, Answer]:
    affected = tuple(c for c in counters if any(_affects(change, c) for change in changes.values()))
    width = len(mapper.primary_key)
    answers: dict[Key, Answer] = {}
    for keys in chunks(_in_order(changes), 2 * width + len(affected)):
        statement = _update_many(mapper, names, affected, keys, changes)
        for row in connection.execute(statement):
            answers[tuple(row[:width])] = dict(zip(names, row[width:], strict=True))
    return answers


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
    parents: Table,
    mapper: Mapper[Any],
    affected: Sequence[Counter],
    deltas: Sequence[ColumnElement[Any]],
    *,
    given: bool = False,
) -> dict[Any, ColumnElement[Any]]:
    """What an UPDATE sets; where nothing changes, a column is set to itself, for the lock.

    :param given: whether no delta of an extreme is NULL.
    """
    clause: dict[Any, ColumnElement[Any]] = {}
    for counter, delta in zip(affected, deltas, strict=True):
        stored = stored_column(parents, mapper, counter.key)
        new = counter.updated(stored, delta)
        if isinstance(counter, Extreme) and not given:
            new = case((delta.is_(None), stored), else_=new)
        clause[stored] = new
    if not clause:
        unchanged = list(parents.c)[len(mapper.primary_key)]
        clause[unchanged] = unchanged
    return clause


@lru_cache(maxsize=256)
def _update_one(
    mapper: Mapper[Any], names: tuple[str, ...], affected: tuple[Counter, ...]
) -> tuple[Update, list[str], list[str]]:
    """The statement, and the names of its parameters: the parts of the key, and the deltas."""
    parents = plain_table(mapper, names)
    keys = key_columns(parents, mapper)
    deltas = [
        bindparam(f"d{n}", type_=stored_column(parents, mapper, counter.key).type)
        for n, counter in enumerate(affected)
    ]
    parts = [bindparam(f"k{n}", type_=key.type) for n, key in enumerate(keys)]
    statement = (
        update(parents)
        .where(*(key == part for key, part in zip(keys, parts, strict=True)))
        .values(_set_clause(parents, mapper, affected, deltas, given=True))
        .returning(*(stored_column(parents, mapper, name) for name in names))
    )
    return statement, [part.key for part in parts], [delta.key for delta in deltas]


def _update_many(
    mapper: Mapper[Any],
    names: Sequence[str],
    affected: Sequence[Counter],
    keys: Sequence[Key],
    changes: dict[Key, Change],
) -> Update:
    parents = plain_table(mapper, names)
    key = key_columns(parents, mapper)
    types = [stored_column(parents, mapper, counter.key).type for counter in affected]
    listed = (
        values(
            *(column(f"k{n}", each.type) for n, each in enumerate(key)),
            *(column(f"d{n}", type_) for n, type_ in enumerate(types)),
        )
        .data([(*k, *_amounts(changes[k], affected, types)) for k in keys])
        .cte("tallied_delta")
    )
    locked = _lock_in_order(mapper, keys)
    deltas = [listed.c[f"d{n}"] for n in range(len(affected))]
    return (
        update(parents)
        .where(
            *(each == listed.c[f"k{n}"] for n, each in enumerate(key)),
            *(each == locked.c[each.name] for each in key),
        )
        .values(_set_clause(parents, mapper, affected, deltas))
        .returning(*key, *(stored_column(parents, mapper, name) for name in names))
    )


def _lock_in_order(mapper: Mapper[Any], keys: Sequence[Key]) -> CTE:
    """Lock the parents in the order of their keys, whatever the order of the UPDATE."""
    again = plain_table(mapper, ()).alias("tallied_parent")
    key = key_columns(again, mapper)
    return (
        select(*key)
        .where(in_keys(key, keys))
        .order_by(*key)
        .with_for_update(key_share=True)
        .cte("tallied_locked")
    )


def _look_up(
    connection: Connection,
    mapper: Mapper[Any],
    counter: Extreme,
    changes: dict[Key, Change],
    answers: dict[Key, Answer],
) -> None:
    """Look up the extreme again where it may have left; the write has locked the parents."""
    keys = [
        key
        for key, answer in answers.items()
        if counter.must_look_up(changes[key], answer[counter.key])
    ]
    for some in chunks(keys, len(mapper.primary_key)):
        within = partial(in_keys, keys=some)
        for key, found in repair(connection, mapper, [counter], within, only_wrong=False):
            answers[key] |= found
