"""Inspect INSERT, UPDATE and DELETE statements: their table, class, columns, and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BindParameter
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.util import immutabledict

from ..declarations.mapped_rows import column_of


def unwrap(statement: Any) -> Any:
    """Return the statement that a ``lambda_stmt()`` stands for, with its present values.

    Any other statement is returned as it is. SQLAlchemy itself compiles ``_resolved``, which has
    no public name.
    """
    while getattr(statement, "_is_lambda_element", False):
        statement = statement._resolved
    return statement


def changes_rows(statement: Any) -> bool:
    """Return whether `statement` is an INSERT, UPDATE or DELETE."""
    return getattr(statement, "is_dml", False) and hasattr(statement, "table")


def mapper_of(statement: Any) -> Mapper[Any] | None:
    """Return the mapper of the class that an INSERT, UPDATE or DELETE was made with.

    None where it was made with a table. ``ORMExecuteState.bind_mapper`` does not tell: it may be
    of a class that the condition alone names, or what the caller has bound the statement to.
    """
    entity = statement.table._annotations.get("parententity")
    return None if entity is None else entity.mapper


def changed_table(statement: Any) -> Any:
    """Return the table whose rows an INSERT, UPDATE or DELETE changes.

    For a class it is the class's own table, as SQLAlchemy renders it, though ``statement.table``
    is a join where the class loads its subclasses inline.
    """
    mapper = mapper_of(statement)
    if mapper is not None:
        return mapper.local_table
    return getattr(statement.table, "element", statement.table)


def names_alias(statement: Any) -> bool:
    """Return whether an INSERT, UPDATE or DELETE names its table by an alias."""
    entity = statement.table._annotations.get("parententity")
    if entity is not None:
        return bool(entity.is_aliased_class)
    return bool(statement.table != changed_table(statement))


def is_list(parameters: Any) -> bool:
    """Return whether a statement is executed with a list of parameters."""
    return bool(parameters) and not isinstance(parameters, Mapping)


def names_of(mapper: Mapper[Any], names: Iterable[str]) -> set[str]:
    """Return every name that a statement may use for attributes: theirs and their columns'."""
    spelled = set(names)
    for name in tuple(spelled):
        if name in mapper.column_attrs:
            column = column_of(mapper, name)
            spelled |= {column.name, column.key}
    return spelled


def set_values(statement: Any) -> dict[Any, Any]:
    """Return what ``values()`` or ``ordered_values()`` of an INSERT or UPDATE have set."""
    ordered = getattr(statement, "_ordered_values", None)  # SQLAlchemy 2.0 keeps them apart
    return dict(ordered or getattr(statement, "_values", None) or ())


def replace_values(statement: Any, values: Mapping[Any, Any]) -> Any:
    """Return an UPDATE with other values; ``values()`` refuses to add to ordered ones."""
    changed = statement._generate()
    if getattr(statement, "_ordered_values", None):
        changed._ordered_values = list(values.items())
    else:
        changed._values = immutabledict(values)
    return changed


def written_names(state: ORMExecuteState) -> set[str]:
    """Return the names of the columns and attributes that an INSERT or UPDATE sets."""
    statement: Any = state.statement
    names: set[Any] = set(set_values(statement))
    for rows in getattr(statement, "_multi_values", None) or ():
        for row in rows:
            names.update(row if isinstance(row, dict) else statement.table.c.keys())
    parameters: Any = state.parameters or ()
    for row in parameters if is_list(parameters) else [parameters]:
        names.update(row)
    names.update(getattr(statement, "_select_names", None) or ())
    return {spelling for name in names for spelling in column_names(name)} | upserted_names(
        statement
    )


def assigned_values(statement: Any) -> dict[str, Any]:
    """Return the values that an UPDATE gives to all of its rows, by every name of their column."""
    values: dict[str, Any] = {}
    for name, value in set_values(statement).items():
        if isinstance(value, BindParameter) and value.unique:
            values |= dict.fromkeys(column_names(name), value.value)
    return values


def upserted_names(statement: Any) -> set[str]:
    """Return the names of the columns that an INSERT sets in rows that it conflicts with."""
    upsert = getattr(statement, "_post_values_clause", None)
    names = dict(getattr(upsert, "update_values_to_set", None) or ())
    return {spelling for name in names for spelling in column_names(name)}


def column_names(name: Any) -> set[str]:
    """Return every name of what a statement names a column by: a string, a column, an attribute."""
    if isinstance(name, str):
        return {name}
    column = name.__clause_element__() if hasattr(name, "__clause_element__") else name
    return {name.key, column.key, getattr(column, "name", column.key)}
