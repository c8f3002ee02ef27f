"""Lock rows before a change, in the order in which every writer locks them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Join, Table, select
from sqlalchemy.orm import InstanceState, Mapper, Session, class_mapper
from sqlalchemy.orm.attributes import instance_state

from ...errors import CounterError
from ..declarations.copied_relation import ForeignKeyTracker
from ..declarations.mapped_rows import Key, RowValues
from ..declarations.object_state import identity
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Source
from ..session.binds import bound_to_write, write_bind, write_connection
from ..session.state import SessionState, get_session_state
from ..sql.rows import lock_order, read
from .pending_changes import PendingChanges
from .self_references import future_key

T = TypeVar("T")


def lock_children_first(
    registry: CounterRegistry, session_state: SessionState, session: Session
) -> None:
    """Lock the rows that count for the objects to delete, before these objects."""
    deleted: dict[Mapper[Any], list[Key]] = {}
    for obj in session.deleted:
        state = instance_state(obj)
        if registry.deletion_lock_order.is_needed_for(state.mapper):
            deleted.setdefault(state.mapper, []).append(identity(state))
    for mapper in sorted(deleted, key=lambda each: str(each.local_table)):
        connection = write_connection(session, mapper, registry.partners)
        is_marked_for_deletion = session_state.locked_rows.is_marked_for_deletion
        keys = [
            key for key in deleted[mapper] if not is_marked_for_deletion(mapper, key, connection)
        ]
        registry.deletion_lock_order.lock(connection, mapper, keys)


def lock(
    registry: CounterRegistry, session: Session, class_: type[T], key: Any, *, deleting: bool
) -> T | None:
    """Lock and load an object; see :meth:`.Counters.lock`."""
    mapper: Mapper[T] = class_mapper(class_)
    ident = key if isinstance(key, tuple) else (key,)
    session_state = get_session_state(registry, session)
    if deleting and session_state is not None:
        connection = write_connection(session, mapper, registry.partners)
        registry.deletion_lock_order.lock(connection, mapper, [ident])
    if not isinstance(mapper.selectable, Table | Join):
        raise CounterError(
            f"{mapper.class_.__name__} is loaded from a union or a subquery, whose rows cannot be "
            f"locked: lock by a class that is loaded from its tables."
        )
    with bound_to_write(session, mapper):
        obj = _get(session, mapper, key)
    if obj is not None and session_state is not None:
        _keep(registry, session_state, session, obj, deleting=deleting)
    return obj


def keep_locked(registry: CounterRegistry, session: Session, obj: object) -> None:
    """Record an object that a statement has locked; see :meth:`.Counters.mark_locked`."""
    session_state = get_session_state(registry, session)
    if session_state is not None:
        _keep(registry, session_state, session, obj, deleting=False)


def lock_all(
    registry: CounterRegistry, session: Session, class_: type[T], condition: ColumnElement[bool]
) -> list[T]:
    """Lock and load the objects that meet a condition; see :meth:`.Counters.lock_all`."""
    mapper: Mapper[T] = class_mapper(class_)
    session_state = get_session_state(registry, session)
    query = select(class_).where(condition)
    query = query.order_by(*lock_order(mapper.local_table, mapper.primary_key))
    query = query.with_for_update(of=mapper.tables).execution_options(populate_existing=True)
    with bound_to_write(session, mapper):
        objects = list(session.scalars(query))
    if session_state is not None:
        for obj in objects:
            _keep(registry, session_state, session, obj, deleting=False)
    return objects


def _keep(
    registry: CounterRegistry,
    session_state: SessionState,
    session: Session,
    obj: Any,
    *,
    deleting: bool,
) -> None:
    """Record the values of an object that was just loaded under its lock."""
    state = instance_state(obj)
    if isinstance(write_bind(session, state.mapper), Connection):
        return  # on a Connection, other sessions may write too
    connection = write_connection(session, state.mapper, registry.partners)
    if deleting:
        session_state.locked_rows.mark_for_deletion(state.mapper, identity(state), connection)
    key, values = identity(state), state.dict
    keep_last_numbers(registry, session_state, state.mapper, {key: values}, connection)
    source = registry.source_of(state)
    if source is None or source.has_copied_relation or not state.dict.keys() >= set(source.names):
        return
    if _holds_locks(connection):
        row = {name: state.dict[name] for name in source.names}
        session_state.locked_rows.keep(source, identity(state), row, connection)


def keep_last_numbers(
    registry: CounterRegistry,
    session_state: SessionState,
    mapper: Mapper[Any],
    rows: Mapping[Key, RowValues],
    connection: Connection,
) -> None:
    """Record the last numbers of rows that the session has just locked and read."""
    for number in registry.numbers if _holds_locks(connection) else ():
        if mapper.isa(number.parent):
            for key, row in rows.items():
                if number.key in row:
                    session_state.last_numbers.keep(number, key, row[number.key], connection)


def record_locks(
    registry: CounterRegistry, session: Session, class_: type[Any], rows: Mapping[Any, RowValues]
) -> None:
    """Record rows that the session has locked; see :meth:`.Counters.record_lock`."""
    session_state = get_session_state(registry, session)
    if session_state is None or not registry.numbers:
        return
    mapper = class_mapper(class_)
    if isinstance(write_bind(session, mapper), Connection):
        return
    connection = write_connection(session, mapper, registry.partners)
    by_key = {key if isinstance(key, tuple) else (key,): row for key, row in rows.items()}
    keep_last_numbers(registry, session_state, mapper, by_key, connection)


def _get(session: Session, mapper: Mapper[T], key: Any) -> T | None:
    """Load an object under the locks of its rows in all tables that make it up.

    What is loaded with them is not locked: PostgreSQL refuses that for an outer join, and where
    ``lazy="joined"`` brings a parent along, it would be locked out of order. But what comes from
    an unlocked table may be older than the lock (PostgreSQL's documentation, 13.2.1), so an object
    of a subclass with tables of its own is loaded once more, by all of them.
    """
    of: Any = {"of": mapper.tables}
    obj = session.get(mapper.class_, key, with_for_update=of, populate_existing=True)
    actual = mapper if obj is None else instance_state(obj).mapper
    return obj if len(actual.tables) == len(mapper.tables) else _get(session, actual, key)


def _holds_locks(connection: Connection) -> bool:
    """Return whether what was just read under a lock stays as it is until the transaction ends.

    SQLite locks nothing by SELECT. But a transaction that has read and then writes fails where
    another has written meanwhile; the driver may have begun none for a SELECT, though.
    """
    if connection.dialect.name == "sqlite":
        return bool(getattr(connection.connection.driver_connection, "in_transaction", False))
    return connection.dialect.name == "postgresql"


def lock_referenced_rows(
    pending_changes: PendingChanges, edited: Iterable[tuple[Source, InstanceState[Any]]]
) -> None:
    """Lock the rows to which others will refer after the flush, and those deleted that they do now.

    Counting locks a referenced row before the rows that refer to it, so linking must do so, too.
    """
    registry = pending_changes.registry
    keys: dict[Mapper[Any], set[Key]] = defaultdict(set)
    for source, state in edited:
        for counter in source.counters:
            if (
                isinstance(counter, ForeignKeyTracker)
                and (key := future_key(counter, state)) is not None
            ):
                keys[counter.parent].add(key)
    deleted: set[Mapper[Any]] = set()
    for obj in pending_changes.session.deleted:
        state = instance_state(obj)
        for mapper in registry.copied_relations:
            if state.mapper.isa(mapper):
                keys[mapper].add(identity(state))
                deleted.add(mapper)
    for mapper in registry.parents:
        if mapper in keys:
            connection = pending_changes.connection(mapper)
            read(connection, mapper, (), list(keys[mapper]), lock=True, deleting=mapper in deleted)
