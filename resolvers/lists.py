"""Conditions on lists of values, with one text for any number of them where there can be one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, literal


def is_among(column: Any, values: Sequence[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a column has one of these values."""
    if is_sqlite:
        among: ColumnElement[bool] = column.in_(values)
        return among
    condition: ColumnElement[bool] = column == any_(literal(list(values), ARRAY(column.type)))
    return condition
