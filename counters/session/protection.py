"""Protect counters from assignments: those that change nothing pass, others are refused.

Forms, repositories and dataclasses write every attribute of an object back. A listener cannot drop
an assignment, and SQLAlchemy writes what its history shows as changed. So the listener returns the
present value, and :func:`forget_assignments` removes the attribute from the history before the row
is written, so that no UPDATE contains it.

Where the attribute is expired or deferred, loading it would fail under asyncio. Such an assignment
is compared with the row in the flush.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, event, select
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.base import NO_VALUE
from sqlalchemy.types import TypeEngine

from ...errors import CounterAssignmentError
from ..declarations.counter import REGISTRIES, Counter
from ..declarations.mapped_rows import column_of
from ..declarations.merge import leave_out_of_merge
from ..declarations.object_state import identity, is_expression, is_known
from ..declarations.special_values import are_same
from ..registry.counter_registry import CounterRegistry
from ..sql.recount import key_columns, plain_table, stored_column
from ..sql.rows import in_keys


def protect(registry: CounterRegistry, mapper: Mapper[Any], counters: tuple[Counter, ...]) -> None:
    """Refuse assignments to `counters`, and let a new object start with them empty."""
    for counter in counters:
        _guard(counter)
        prop = mapper.attrs[counter.key]
        leave_out_of_merge(prop)
        prop.info.setdefault(REGISTRIES, []).append(registry)

    def before_write(mapper: object, connection: Connection, state: InstanceState[Any]) -> None:
        forget_assignments(counters, connection, state)

    for name in ("before_insert", "before_update"):
        event.listen(mapper.class_, name, before_write, propagate=True, raw=True, insert=True)


def _guard(counter: Counter) -> None:
    def on_set(state: InstanceState[Any], value: Any, old: Any, initiator: Any) -> Any:
        return accept_assignment(counter, state, value)

    def on_remove(state: InstanceState[Any], value: Any, initiator: Any) -> None:
        raise refused_assignment(counter)

    def on_first_read(state: InstanceState[Any], value: Any, dict_: Any) -> Any:
        # Not kept in the object, where repositories would take it for a value that was given.
        return counter.empty

    options = {"propagate": True, "raw": True}
    event.listen(counter.target, "set", on_set, retval=True, **options)
    event.listen(counter.target, "remove", on_remove, **options)
    event.listen(counter.target, "init_scalar", on_first_read, retval=True, **options)


def is_same_value(type_: TypeEngine[Any], value: Any, present: Any) -> bool:
    """Return whether assigning `value` to a column that holds `present` changes nothing.

    An SQL expression is not a value: only the database knows what it comes to.
    """
    if is_expression(value):
        return False
    return type_.compare_values(present, value) is True or are_same(present, value)


def accept_assignment(counter: Counter, state: InstanceState[Any], value: Any) -> Any:
    """Return what memory is to hold after `value` is assigned to `counter`.

    :raises CounterAssignmentError: for another value than the object has.
    """
    type_ = column_of(counter.parent, counter.key).type
    present = state.dict.get(counter.key, NO_VALUE)
    if state.key is None:
        value_before = counter.empty if present is NO_VALUE or present is None else present
        if value is None or is_same_value(type_, value, counter.empty):
            return value_before
        if is_same_value(type_, value, value_before):
            return value_before
    elif is_known(state, counter.key):
        if is_same_value(type_, value, present):
            return present
    elif is_same_value(type_, value, value) and not (state.session and state.session._flushing):
        return value  # for the flush to compare
    raise refused_assignment(counter)


def refused_assignment(counter: Counter) -> CounterAssignmentError:
    """Return the error for an assignment of another value."""
    return CounterAssignmentError(
        f"{counter} is kept by its counter and cannot be assigned another value: leave it out, "
        f"and add, change or delete {counter.source.class_.__name__} objects, or repair it with "
        f"rebuild()."
    )


def forget_assignments(
    counters: Sequence[Counter], connection: Connection, state: InstanceState[Any]
) -> None:
    """Remove assignments to `counters` from the history of an object that will be written.

    :raises CounterAssignmentError: for a value that was assigned before it was loaded, and is
        not the one in the row.
    """
    unknown = []
    for counter in counters:
        if counter.key in state.committed_state:
            if not is_known(state, counter.key):
                unknown.append(counter)
            else:
                state.committed_state.pop(counter.key)
    if unknown:
        _compare_with_row(unknown, connection, state)


def _compare_with_row(
    counters: Sequence[Counter], connection: Connection, state: InstanceState[Any]
) -> None:
    parent: Mapper[Any] = counters[0].parent
    names = [counter.key for counter in counters]
    table = plain_table(parent, names)
    columns = [stored_column(table, parent, name) for name in names]
    query = select(*columns).where(in_keys(key_columns(table, parent), [identity(state)]))
    row = connection.execute(query).one_or_none()
    for counter, column, stored in zip(counters, columns, row or (), strict=False):
        if counter.key in state.dict and not is_same_value(
            column.type, state.dict[counter.key], stored
        ):
            raise refused_assignment(counter)
        set_committed_value(state.obj(), counter.key, stored)
    for name in names:
        state.committed_state.pop(name, None)
