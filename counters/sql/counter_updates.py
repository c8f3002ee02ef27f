"""The statements that add differences to counters and return the new values.

One parent, the usual case, is one ``UPDATE … SET c = c + :delta … RETURNING``, built once and
cached. Several parents of a table share one UPDATE that joins a list of values, cached for each
power of two and padded with NULLs. On PostgreSQL a first part of the same statement locks the
parents in the order of their keys, so that two units never deadlock over parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Table,
    Update,
    bindparam,
    case,
    cast,
    select,
    tuple_,
    update,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeDecorator

from ..declarations.change import Change
from ..declarations.counter import Counter
from ..declarations.dependent_columns import generated_names
from ..declarations.kinds import Additive, Extreme
from ..declarations.mapped_rows import Key
from .driver import DriverStatement
from .recount import (
    key_columns,
    plain_table,
    repair_statement,
    stored_column,
)
from .rows import (
    chunks,
    in_key_parameters,
    key_parameters,
    lock_order,
    refers_to_itself,
    rows_by_key,
)
from .values import value_names, values_table

Answer = dict[str, Any]
"""The counters of a parent, by attribute name, as they are stored now."""
MAX_CACHED = 512
"""For so many parents a statement is kept; one for more is large, and made anew."""


def write(
    connection: Connection,
    mapper: Mapper[Any],
    counters: tuple[Counter, ...],
    changes: dict[Key, Change],
    also: tuple[str, ...] = (),
) -> dict[Key, Answer]:
    """Write `changes` to the parents of `mapper`; a parent that is gone is not in the answer.

    :param also: further attributes of the parents to answer with, beside what the database
        generates from the counters.
    """
    names = _answered_names(mapper, counters, also)
    if len(changes) == 1:
        ((key, change),) = changes.items()
        answers = _write_one(connection, mapper, counters, key, change, names)
    else:
        answers = _write_many(connection, mapper, counters, changes, names)
    doubtful = [change for change in changes.values() if change.removed_extreme or change.recounted]
    for counter in counters if doubtful else ():
        if any(counter in c.removed_extreme or c.is_recounted(counter) for c in doubtful):
            _look_up(connection, mapper, counter, counters, changes, answers)
    return answers


@lru_cache(maxsize=256)
def _answered_names(
    mapper: Mapper[Any], counters: tuple[Counter, ...], also: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the attributes that the statements answer with."""
    generated = generated_names(mapper, counters)
    return tuple(dict.fromkeys([*[c.key for c in counters], *also, *generated]))


def _write_one(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    key: Key,
    change: Change,
    names: tuple[str, ...],
) -> dict[Key, Answer]:
    """Write one parent, the usual case, and so the one that is optimised."""
    amounts = _amounts(change)
    affected = tuple([counter for counter in counters if counter in amounts])
    statement, parameters = _update_one(mapper, names, affected)
    values = (*key, *[amounts[counter] for counter in affected])
    rows = statement.fetch(connection, dict(zip(parameters, values, strict=True)))
    return {key: dict(zip(names, rows[0], strict=True))} if rows else {}


def _write_many(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    changes: dict[Key, Change],
    names: tuple[str, ...],
) -> dict[Key, Answer]:
    entries = [(key, _amounts(change)) for key, change in _in_order(mapper, changes)]
    changed = set[Any]().union(*(amounts for _, amounts in entries))
    affected = tuple(counter for counter in counters if counter in changed)
    lock = connection.dialect.name != "sqlite"  # which locks the whole database
    width = len(mapper.primary_key)
    answers: dict[Key, Answer] = {}
    for batch in chunks(entries, 2 * width + len(affected)):
        keep = len(batch) <= MAX_CACHED
        columns: list[Sequence[Any]] = [*zip(*(key for key, _ in batch), strict=True)]
        for counter in affected:
            none = 0 if isinstance(counter, Additive) else None
            columns.append([amounts.get(counter, none) for _, amounts in batch])
        values = zip(*columns, strict=True)
        build = _update_many if keep else _update_many.__wrapped__
        size = 1 << (len(batch) - 1).bit_length() if keep else len(batch)
        statement, parameters = build(mapper, names, affected, size, lock)
        arguments = dict.fromkeys(parameters) | dict(zip(parameters, chain(*values), strict=False))
        rows: Any
        if keep:
            rows = statement.fetch(connection, arguments)
        else:
            options = {"compiled_cache": None}
            rows = connection.execute(statement.statement, arguments, execution_options=options)
        answers |= rows_by_key(rows, width, names)
    return answers


def _amounts(change: Change) -> dict[Any, Any]:
    """Return what the UPDATE changes counters by; removed extremes are looked up after it."""
    added = {counter: amount for counter, amount in change.added.items() if amount}
    return added | change.new_extreme


def _in_order(mapper: Mapper[Any], changes: dict[Key, Change]) -> Iterable[tuple[Key, Change]]:
    """Sort what takes several statements; the database sorts the keys of one statement."""
    if len(changes) <= MAX_CACHED:
        return changes.items()
    is_descending = refers_to_itself(mapper.base_mapper.local_table)
    return sorted(changes.items(), key=lambda item: tuple(map(str, item[0])), reverse=is_descending)


def _set_clause(
    parents: Table,
    mapper: Mapper[Any],
    affected: Sequence[Counter],
    deltas: Sequence[ColumnElement[Any]],
    *,
    has_values: bool = False,
) -> dict[Any, ColumnElement[Any]]:
    """Return the SET clause; where nothing changes, it sets a column to itself, for the lock.

    :param has_values: whether no delta of an extreme is NULL.
    """
    clause: dict[Any, ColumnElement[Any]] = {}
    for counter, delta in zip(affected, deltas, strict=True):
        stored = stored_column(parents, mapper, counter.key)
        new = counter.updated(stored, delta)
        if isinstance(counter, Extreme) and not has_values:
            new = case((delta.is_(None), stored), else_=new)
        clause[stored] = new
    if not clause:
        unchanged = list(parents.c)[len(mapper.primary_key)]
        clause[unchanged] = unchanged
    return clause


@lru_cache(maxsize=256)
def _update_one(
    mapper: Mapper[Any], names: tuple[str, ...], affected: tuple[Counter, ...]
) -> tuple[DriverStatement, list[str]]:
    """Return the statement, and the names of its parameters: for the key, and for the deltas."""
    parents = plain_table(mapper, names)
    keys = key_columns(parents, mapper)
    deltas = [
        bindparam(f"tallied_d{n}", type_=stored_column(parents, mapper, counter.key).type)
        for n, counter in enumerate(affected)
    ]
    parts = [bindparam(f"tallied_k{n}", type_=key.type) for n, key in enumerate(keys)]
    statement = (
        update(parents)
        .where(*(key == part for key, part in zip(keys, parts, strict=True)))
        .values(_set_clause(parents, mapper, affected, deltas, has_values=True))
        .returning(*(stored_column(parents, mapper, name) for name in names))
    )
    return DriverStatement(statement), [parameter.key for parameter in [*parts, *deltas]]


@lru_cache(maxsize=256)
def _update_many(
    mapper: Mapper[Any],
    names: tuple[str, ...],
    affected: tuple[Counter, ...],
    size: int,
    lock: bool,
) -> tuple[DriverStatement, list[str]]:
    """Return the statement for `size` parents, and the names of its parameters, parent by parent.

    There may be fewer parents: a parameter that is NULL is not a parent's key.
    """
    parents = plain_table(mapper, names)
    key = key_columns(parents, mapper)
    types = [part.type for part in key]
    types += [stored_column(parents, mapper, counter.key).type for counter in affected]
    listed = values_table(types, size, "tallied_delta")
    listed_columns: list[ColumnElement[Any]] = list(listed.c)
    if lock:
        listed_columns = [_cast_enum(part) for part in listed_columns]
    statement = update(parents).where(*(a == b for a, b in zip(key, listed_columns, strict=False)))
    if lock:
        locked = _lock_in_order(mapper, size, len(types))
        statement = statement.where(*(part == locked.c[part.name] for part in key))
    statement = statement.values(_set_clause(parents, mapper, affected, listed_columns[len(key) :]))
    returning = (stored_column(parents, mapper, name) for name in names)
    parameters = [name for row in value_names(len(types), size) for name in row]
    return DriverStatement(statement.returning(*key, *returning)), parameters


def _cast_enum(listed: ColumnElement[Any]) -> ColumnElement[Any]:
    """Cast an enum of the list, since PostgreSQL takes untyped parameters for text."""
    type_ = listed.type.impl_instance if isinstance(listed.type, TypeDecorator) else listed.type
    return cast(listed, listed.type) if isinstance(type_, EnumType) else listed


def _lock_in_order(mapper: Mapper[Any], size: int, width: int) -> CTE:
    """Lock the parents in the order of their keys, whatever the order of the UPDATE.

    :param width: how many parameters the list has for each parent, with its key first.
    """
    table = plain_table(mapper, ()).alias("tallied_parent")
    key = key_columns(table, mapper)
    listed = [
        [_cast_enum(bindparam(name, type_=part.type)) for name, part in zip(row, key, strict=False)]
        for row in value_names(width, size)
    ]
    is_listed = (
        key[0].in_([part for (part,) in listed])
        if len(key) == 1
        else tuple_(*key).in_([tuple_(*parts) for parts in listed])
    )
    return (
        select(*key)
        .where(is_listed)
        .order_by(*lock_order(mapper.base_mapper.local_table, key))
        .with_for_update(key_share=True)
        .cte("tallied_locked")
    )


def _look_up(
    connection: Connection,
    mapper: Mapper[Any],
    counter: Counter,
    counters: tuple[Counter, ...],
    changes: dict[Key, Change],
    answers: dict[Key, Answer],
) -> None:
    """Look a counter up again where a difference does not do; the write has locked the parents."""
    keys = [
        key
        for key, answer in answers.items()
        if counter.must_look_up(changes[key], answer[counter.key])
    ]
    generated = generated_names(mapper, counters)
    statement = _look_up_again(mapper, counter, generated)
    width = len(mapper.primary_key)
    for batch in chunks(keys, 2 * width):
        rows = connection.execute(statement, key_parameters(batch))
        for key, values in rows_by_key(rows, width, (counter.key, *generated)).items():
            answers[key] = {**answers[key], **values}


@lru_cache(maxsize=256)
def _look_up_again(mapper: Mapper[Any], counter: Counter, answer: tuple[str, ...]) -> Update:
    return repair_statement(mapper, [counter], in_key_parameters, answer=answer, only_wrong=False)
