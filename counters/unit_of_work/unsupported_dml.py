"""Refuse statements that cannot be counted, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.orm.util import LoaderCriteriaOption
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.util import LRUCache

from ...errors import UncountedStatementError
from ..registry.counter_registry import CounterRegistry
from ..session.binds import write_connection
from ..sql.dml import (
    changed_table,
    changes_rows,
    is_list,
    names_alias,
    names_of,
    unwrap,
    written_names,
)


def refusal(state: ORMExecuteState, mapper: Mapper[Any] | None, why: str) -> Exception:
    """Return the error that says what cannot be counted, and what to do."""
    statement: Any = state.statement
    verb = statement.__visit_name__.upper()
    if mapper is None:
        name = getattr(statement.table, "name", "a table")
        return UncountedStatementError(
            f"{verb} of {name} by statement {why} and cannot be counted: map a class to the "
            f"table, and delete its objects in the session instead."
        )
    name = mapper.class_.__name__
    return UncountedStatementError(
        f"{verb} of {name} by statement {why} and cannot be counted: "
        f"add, change or delete {name} objects in the session instead."
    )


def check_form(
    registry: CounterRegistry, state: ORMExecuteState, table: Table, mapper: Mapper[Any] | None
) -> None:
    """Refuse the forms of a statement that nothing can be counted of.

    :raises UncountedStatementError: naming the form.
    """
    statement: Any = state.statement
    verb = statement.__visit_name__.upper()
    if mapper is None and verb != "DELETE":
        return
    upsert = getattr(statement, "_post_values_clause", None)
    is_source = bool(registry.sources_in([table]))
    is_orm = statement._propagate_attrs.get("compile_state_plugin") == "orm"
    by_keys = (
        verb == "UPDATE"
        and is_orm
        and statement.whereclause is None
        and isinstance(state.parameters, list)
    )
    prefixes = " ".join(str(prefix) for prefix, _ in getattr(statement, "_prefixes", ())).upper()
    reasons = {
        "cascades to counted rows": mapper is None,
        "runs within a flush": state.session._flushing,
        "names its table by an alias": names_alias(statement),
        "replaces rows": "REPLACE" in prefixes,
        "updates rows on conflict": is_source and hasattr(upsert, "update_values_to_set"),
        "is sent to a database of its own": "bind" in state.bind_arguments,
        "has a schema_translate_map of its own": (
            mapper is not None and _has_own_schema_map(registry, state, mapper)
        ),
        "takes a list of parameters that are not keys": (
            verb != "INSERT" and is_list(state.parameters) and not by_keys
        ),
    }
    for why, is_so in reasons.items():
        if is_so:
            raise refusal(state, mapper, why)
    check_inner(registry, state)


def _has_own_schema_map(
    registry: CounterRegistry, state: ORMExecuteState, mapper: Mapper[Any]
) -> bool:
    """Return whether a statement goes to other tables than what the engine executes around it.

    That has the options of the session's connection: the engine's, the session's own, or those
    that the connection was first asked for with.
    """
    options = state.execution_options
    if "schema_translate_map" not in options:
        return False
    connection = write_connection(state.session, mapper, registry.partners)
    shared = connection.get_execution_options().get("schema_translate_map")
    return (options["schema_translate_map"] or {}) != (shared or {})


def check_inner(registry: CounterRegistry, state: ORMExecuteState) -> None:
    """Refuse a statement that changes counted rows in a common table expression.

    SQLite has none that change rows, so there nobody looks.

    :raises UncountedStatementError: naming the table.
    """
    outermost = unwrap(state.statement)
    if state.session.get_bind(**state.bind_arguments).dialect.name == "sqlite":
        elements = [unwrap(getattr(outermost, "element", None))]
    else:
        elements = _statements_within(outermost)
    for element in elements:
        if element is outermost or not changes_rows(element):
            continue
        table = changed_table(element)
        if table in registry.tables or (
            table in registry.derived_tables and element.__visit_name__ != "delete"
        ):
            raise UncountedStatementError(
                f"{element.__visit_name__.upper()} of {table.name} within another statement cannot "
                f"be counted: execute it by itself."
            )


_PURE: LRUCache[Any, bool] = LRUCache(500)
"""The cache keys of the last selects that have no other statement within them."""


def _statements_within(statement: Any) -> list[Any]:
    """Return the statements that change rows within another one.

    To go through a select may take longer than to execute it, so those of one cache key, which have
    the same structure, are gone through once.
    """
    shape = statement._generate_cache_key() if getattr(statement, "is_select", False) else None
    key = shape and shape.key
    try:
        if key in _PURE:
            return []
    except TypeError:  # A host's type has values in the key that cannot be hashed.
        key = None
    parts = [statement, *_loader_criteria(statement)]
    elements = (unwrap(element) for part in parts for element in iterate(part))
    within = [element for element in elements if changes_rows(element)]
    if key is not None and not within:
        _PURE[key] = True
    return within


def _loader_criteria(statement: Any) -> Iterator[Any]:
    """Yield the conditions that the options of a statement add to it, each of one class."""
    for option in getattr(statement, "_with_options", ()):
        if isinstance(option, LoaderCriteriaOption):
            for mapper in islice(option._all_mappers(), 1):
                yield option._resolve_where_criteria(mapper)


def check_assigned_counters(
    registry: CounterRegistry, state: ORMExecuteState, mapper: Mapper[Any]
) -> None:
    """Refuse a statement that assigns a counter.

    :raises UncountedStatementError: naming the counter.
    """
    names = written_names(state) if state.statement.__visit_name__ != "delete" else set()
    for number in registry.numbers if names else ():
        if number.source in mapper.self_and_descendants and names & names_of(
            number.source, [number.of.key]
        ):
            raise refusal(state, mapper, f"assigns {number.of.key}, which {number} numbers,")
    for parent in registry.parents:
        if not names or not set(parent.tables) & set(mapper.tables):
            continue
        for counter in registry.counters_of(parent):
            if names & names_of(parent, [counter.key]):
                verb = state.statement.__visit_name__.upper()
                raise UncountedStatementError(
                    f"{verb} of {mapper.class_.__name__} would assign {counter}, which is kept "
                    f"by its counter: leave it out, or repair it with rebuild()."
                )
