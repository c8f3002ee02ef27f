"""Whether the database holds a value just as memory does, to the last digit.

What it may have rounded or changed is read back before it is counted.
"""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ClauseElement,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.types import TypeDecorator, TypeEngine


def is_exact(type_: TypeEngine[Any], value: Any) -> bool:
    """Whether a column of `type_` holds `value` just as memory does."""
    if value is None:
        return True
    if isinstance(value, ClauseElement):
        return False
    if isinstance(type_, TypeDecorator):
        return not isinstance(type_.impl_instance, Numeric | Float) and is_exact_kind(value)
    if isinstance(type_, Float):
        return False
    if isinstance(type_, Numeric):
        return _fits(value, type_.scale)
    if isinstance(type_, DateTime | Time) and getattr(type_, "precision", None) is not None:
        return False
    return any(isinstance(type_, each) and isinstance(value, kind) for each, kind in _KINDS)


def is_exact_kind(value: Any) -> bool:
    """Whether `value` is of a kind that databases do not round."""
    return isinstance(value, int | str | UUID | date | time | Enum)


_KINDS: list[tuple[type[TypeEngine[Any]], Any]] = [
    (EnumType, (str, Enum)),
    (Boolean, bool),
    (Integer, int),
    (Uuid, UUID),
    (String, str),
    (DateTime, date),
    (Date, date),
    (Time, time),
]


def _fits(value: Any, scale: int | None) -> bool:
    if isinstance(value, int):
        return True
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return scale is None or (isinstance(exponent, int) and -exponent <= scale)
