"""Conditions on lists of values, with one text for any number of them where there can be one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, bindparam, literal, type_coerce


def is_among(column: Any, values: Sequence[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a column has one of these values."""
    condition: ColumnElement[bool] = (
        column.in_(values)
        if is_sqlite
        else column == any_(literal(list(values), ARRAY(column.type)))
    )
    return condition


def key_column(column: Any, stored_as: Any = None) -> Any:
    """Return a column of keys for a query, whose values are of another type if one is given."""
    return column if stored_as is None else type_coerce(column, stored_as)


def is_among_ids(column: Any, *, is_sqlite: bool, stored_as: Any = None) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values of the parameter ``ids``.

    :param stored_as: the type of the values on SQLite, where it is not the column's.
    """
    type_ = column.type if stored_as is None else stored_as
    condition: ColumnElement[bool] = (
        column.in_(bindparam("ids", type_=type_, expanding=True))
        if is_sqlite
        else column == any_(bindparam("ids", type_=ARRAY(column.type)))
    )
    return condition
