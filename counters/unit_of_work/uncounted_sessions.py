"""Refuse writes of counted rows by sessions that the counters are not installed on.

A host may write through a plain ``Session(engine)`` by mistake, and every counter would silently
drift. So once counters are installed anywhere, all sessions of the process are checked when they
write a counted row: in a flush by the listeners of the counted classes, and by :func:`watch` for
statements and the legacy bulk methods. Reads, other classes, and updates of columns that no counter
depends on pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import FromClause, event, inspect
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session
from sqlalchemy.orm.attributes import instance_state

from ...errors import UncountedStatementError
from ..registry.conflicts import related_registries
from ..registry.session_classes import is_generated, name_of
from ..session.state import get_session_state
from ..sql.dml import (
    changed_table,
    changes_rows,
    mapper_of,
    names_of,
    unwrap,
    upserted_names,
    written_names,
)

if TYPE_CHECKING:
    from ..declarations.derived import Derived
    from ..registry.counter_registry import CounterRegistry

_registries: WeakKeyDictionary[FromClause, WeakSet[CounterRegistry]] = WeakKeyDictionary()
"""The installed engines, by the tables whose rows they have to know of."""


def watch(registry: CounterRegistry) -> None:
    """Check the statements and bulk methods of all sessions for rows that `registry` counts."""
    for table in (*registry.tables, *registry.derived_tables):
        _registries.setdefault(table, WeakSet()).add(registry)
    for other in (registry, *related_registries(registry)):
        other.verdicts.clear()
    if not event.contains(Session, "do_orm_execute", _on_execute):
        event.listen(Session, "do_orm_execute", _on_execute)
        _wrap("bulk_save_objects", _of_objects)
        _wrap("bulk_insert_mappings", _of_mappings)
        _wrap("bulk_update_mappings", _of_mappings)


def may_write(registry: CounterRegistry, session: Session, mapper: Mapper[Any]) -> bool:
    """Return whether `session` may write rows of `mapper` that `registry` counts.

    It may where the engine counts it, or another does that shares counters with it and knows the
    class: two hosts may extend one app's counters, each in a database of its own.
    """
    verdicts = registry.verdicts.setdefault(type(session), {})
    if mapper not in verdicts:
        registries = (registry, *related_registries(registry))
        verdicts[mapper] = any(
            other.allows_uncounted
            or (get_session_state(other, session) is not None and other.knows(mapper))
            for other in registries
        )
    return verdicts[mapper]


def refuse_uncounted(registry: CounterRegistry, session: Session, mapper: Mapper[Any]) -> None:
    """Raise unless `session` may write rows of `mapper`.

    :raises UncountedStatementError: naming the class, the session's, and the way out.
    """
    if not registry.classes or may_write(registry, session, mapper):
        return
    name, written_by = mapper.class_.__name__, name_of(type(session))
    named = [class_.__name__ for class_ in registry.classes if not is_generated(class_)]
    where = " or ".join(named[:3]) if named else "the sessionmaker that they are installed on"
    is_counted = any(table in registry.tables for table in mapper.tables)
    raise UncountedStatementError(
        f"{name} {'is counted' if is_counted else 'has derived columns'}, but the counters are "
        f"not installed on {written_by}, so that they "
        f"would not see this change: write {name} objects in a session of {where}, install the "
        f"counters on the session class in use, or let such sessions write uncounted by "
        f"install(…, allow_uncounted=True)."
    )


def refuse_row(registry: CounterRegistry, state: InstanceState[Any]) -> None:
    """Raise unless the session of an object that is being flushed may write its row.

    :raises UncountedStatementError: as :func:`refuse_uncounted` does.
    """
    if state.session is not None:
        refuse_uncounted(registry, state.session, state.mapper)


# Statements


def _on_execute(state: ORMExecuteState) -> None:
    if state.is_select:
        return
    statement = unwrap(state.statement)
    if not changes_rows(statement):
        return
    table = changed_table(statement)
    for registry in tuple(_registries.get(table, ())):
        mapper = mapper_of(statement) or registry.mapper_of(table)
        if mapper is None or may_write(registry, state.session, mapper):
            continue  # asked first, since the answer is kept and a statement is gone through
        if _is_counted(registry, state, statement, mapper):
            refuse_uncounted(registry, state.session, mapper)


def _is_counted(
    registry: CounterRegistry, state: ORMExecuteState, statement: Any, mapper: Mapper[Any]
) -> bool:
    sources = registry.sources_in(mapper.tables)
    match statement.__visit_name__:
        case "insert":
            updated = upserted_names(statement) & _names_kept_by_update(registry, mapper)
            return bool(
                sources or updated or written_names(state) & _kept_column_names(registry, mapper)
            )
        case "update":
            tracked = {name for source in sources for name in source.names}
            names = _names_kept_by_update(registry, mapper) | names_of(mapper, tracked)
            return bool(written_names(state) & names) or any(source.implicit for source in sources)
        case _:
            return bool(sources) or registry.cascades.reaches_from(mapper.tables)


def _kept_column_names(registry: CounterRegistry, mapper: Mapper[Any]) -> set[str]:
    """Return the names of the counters and the derived columns in the tables of `mapper`."""
    tables = set(mapper.tables)
    names: set[str] = set()
    for parent in registry.parents:
        if not tables.isdisjoint(parent.tables):
            names |= names_of(parent, [counter.key for counter in registry.counters_of(parent)])
    return names | names_of(
        mapper, [derived.target.key for derived in _derived_of(registry, mapper)]
    )


def _names_kept_by_update(registry: CounterRegistry, mapper: Mapper[Any]) -> set[str]:
    """Return those names, and the names of what the derived columns are computed from."""
    computed_from = [derived.of.key for derived in _derived_of(registry, mapper)]
    return _kept_column_names(registry, mapper) | names_of(mapper, computed_from)


def _derived_of(registry: CounterRegistry, mapper: Mapper[Any]) -> list[Derived]:
    return [derived for derived in registry.derived if derived.column.table in mapper.tables]


# The legacy bulk methods, which write rows and fire no event: their only hook is their name.

Written = Iterable[tuple[Mapper[Any], Collection[str]]]
"""Classes, each with the names of the attributes that are written."""


def _of_objects(objects: Iterable[Any], rows: object) -> Written:
    for obj in objects:
        yield instance_state(obj).mapper, ()


def _of_mappings(class_: Any, rows: Iterable[Mapping[str, Any]]) -> Written:
    yield inspect(class_), {name for row in rows for name in row}


def _wrap(name: str, written_by: Callable[[Any, Any], Written]) -> None:
    original = getattr(Session, name)

    @wraps(original)
    def method(self: Session, *args: Any, **kwargs: Any) -> Any:
        bound = signature(original).bind(self, *args, **kwargs)
        first, *others = list(bound.arguments)[1:]
        for argument in (first, *others[:1]):  # what can be gone through only once
            if not isinstance(bound.arguments[argument], type | Mapper | bool):
                bound.arguments[argument] = list(bound.arguments[argument])
        second = bound.arguments[others[0]] if others else ()
        for mapper, names in written_by(bound.arguments[first], second):
            _refuse_bulk(self, name, mapper, names)
        return original(*bound.args, **bound.kwargs)

    setattr(Session, name, method)


def _refuse_bulk(
    session: Session, method: str, mapper: Mapper[Any], names: Collection[str]
) -> None:
    registries = {installed for table in mapper.tables for installed in _registries.get(table, ())}
    for registry in registries:
        if get_session_state(registry, session) is not None:
            if registry.knows(mapper):
                name = mapper.class_.__name__
                raise UncountedStatementError(
                    f"Session.{method}() of {name} fires no event and cannot be counted: use "
                    f"Session.add_all(), or session.execute(insert({name}), rows)."
                )
        elif registry.sources_in(mapper.tables) or _names_kept_by_update(registry, mapper) & set(
            names
        ):
            refuse_uncounted(registry, session, mapper)
