"""Checks of a host's own counters: their columns, and the sessions that keep them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Connection

from ..counters import Counter, Counters
from ..counters.declarations.mapped_rows import column_of
from ..counters.registry.conflicts import related_registries
from ..counters.registry.session_classes import Installable, is_generated, name_of, sync_class
from ..models import Base
from .catalog import read_columns
from .finding import Finding


def check_counters(
    connection: Connection, engine: Counters, sessions: Installable, schema: str | None = None
) -> Iterator[Finding]:
    """Find what makes a host's counters wrong; without such counters, read nothing.

    :param engine: the counters that are in use in `sessions`.
    :param schema: where tables are that name no schema; by default, where the connection looks.
    """
    needed = {counter: _columns(counter) for counter in engine.declared}
    uncounted = {counter: _columns(counter) for counter in _counters_elsewhere(engine)}
    all_columns = {
        column for columns in (*needed.values(), *uncounted.values()) for column in columns
    }
    existing = _read_columns(connection, all_columns, schema)
    yield from _check_columns(needed, existing)
    for counter, columns in uncounted.items():
        # What has no columns here is of another host, with another database.
        if all(column.name in existing.get(column.table.key, ()) for column in columns):
            yield _uncounted_finding(counter, engine, sessions)


def _check_columns(
    needed: Mapping[Counter, Collection[Column[Any]]], existing: Mapping[str, Collection[str]]
) -> Iterator[Finding]:
    reported: set[str] = set()
    for counter, columns in needed.items():
        for column in columns:
            name = column.table.name
            if column.name in existing.get(column.table.key, ()):
                continue
            has_table = column.table.key in existing
            missing = f"The column {name}.{column.name}" if has_table else f"The table {name}"
            if missing not in reported:
                reported.add(missing)
                yield Finding(
                    "tallied.E019",
                    f"{missing} is missing, without which {counter} cannot be kept.",
                    "Run the migrations of the application that has it, such as"
                    " `alembic upgrade head`.",
                )


def _uncounted_finding(counter: Counter, engine: Counters, sessions: Installable) -> Finding:
    keepers = {
        session_class: None
        for other in sorted(related_registries(engine), key=lambda other: -len(other.declared))
        if counter in other.declared
        for session_class in other.classes
    }
    importable = [
        session_class.__name__ for session_class in keepers if not is_generated(session_class)
    ]
    classes = [*keepers, sync_class(sessions)]
    *kept, used = map(name_of, classes)
    if used in kept:  # As in the tutorial, whose CountedSession is not Tallied's.
        *kept, used = (f"{item.__module__}.{item.__name__}" for item in classes)
    passed = f"Pass session_class={importable[0]}" if importable else "Pass that session class"
    return Finding(
        "tallied.E024",
        f"{counter} is kept on {' and '.join(kept)}, and not on {used}: what its sessions write is"
        " not counted there.",
        f"{passed} to Discussion, or install counters that are extended by all that have columns"
        " in this database on one session class.",
    )


def _counters_elsewhere(engine: Counters) -> list[Counter]:
    """Return the counters that are installed together with some of `engine`, on other classes only.

    Not those whose column `engine` keeps by a class of another host, with tables of that name.
    """
    places = {_place(counter) for counter in engine.declared}
    others = {
        counter
        for other in related_registries(engine)
        if other.classes
        for counter in other.declared
        if _place(counter) not in places
    }
    return sorted(others, key=str)


def _place(counter: Counter) -> tuple[str, str]:
    """Return the table and the column that a counter is stored in."""
    column = column_of(counter.parent, counter.key)
    return column.table.key, column.name


def _columns(counter: Counter) -> list[Column[Any]]:
    """Return the columns of a host's own tables that a counter needs."""
    columns = [column_of(counter.parent, counter.key)]
    columns += [column_of(counter.holder, name) for name in counter.foreign_key]
    columns += [
        column_of(counter.source, name) for name in sorted(counter.tracked - {*counter.foreign_key})
    ]
    return [column for column in columns if column.table.metadata is not Base.metadata]


def _read_columns(
    connection: Connection, columns: Collection[Column[Any]], schema: str | None
) -> dict[str, Collection[str]]:
    """Return the columns of the existing tables by the tables' keys."""
    by_schema: dict[str | None, dict[str, str]] = defaultdict(dict)
    for column in columns:
        by_schema[column.table.schema or schema][column.table.name] = column.table.key
    if connection.dialect.name == "sqlite" and by_schema.keys() - {None}:
        attached = connection.exec_driver_sql("SELECT name FROM pragma_database_list").scalars()
        for name in by_schema.keys() - {None, *attached}:
            del by_schema[name]
    return {
        keys[name]: columns
        for place, keys in by_schema.items()
        for name, columns in read_columns(connection, keys, place).items()
    }
