"""Whether the database holds a value just as memory does, to the last digit.

What it may have rounded or changed is read back before it is counted.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BINARY,
    CHAR,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.types import TypeDecorator, TypeEngine

INEXACT = (Float, CHAR)
TIMES = (DateTime, Time)
DEPENDING = (TypeDecorator, *INEXACT, Numeric, *TIMES, EnumType)
_KINDS: list[tuple[type[TypeEngine[Any]], type[Any]]] = [
    (Boolean, bool),
    (Integer, int),
    (Uuid, UUID),
    (String, str),
    (Date, date),
    (LargeBinary, bytes),
    (BINARY, bytes),
]


def is_exact(type_: TypeEngine[Any], value: Any, dialect: Dialect) -> bool:
    """Whether a column of `type_` holds `value` just as memory does."""
    if value is None:
        return True
    declared, type_ = type_, type_.dialect_impl(dialect)  # which may be a variant
    if isinstance(type_, TypeDecorator):
        return _comes_back(declared, type_, value, dialect)  # type: ignore[arg-type]
    if isinstance(type_, INEXACT):
        return False
    if isinstance(type_, Numeric):
        return _fits(value, type_.scale)
    if isinstance(type_, TIMES):
        return _is_exact_time(type_, value, dialect)
    if isinstance(type_, EnumType):
        return isinstance(value, type_.enum_class or str)
    # asyncpg's UUID is one of its own, which says no more and no less.
    kind = plain_kind(type_)
    return type(value) is kind or (kind is UUID and isinstance(value, UUID))


def plain_kind(type_: TypeEngine[Any]) -> type[Any] | None:
    """The type of Python's whose values a column of `type_` holds just as they are.

    None where it depends on the value, or on the database.
    """
    if isinstance(type_, DEPENDING) or type_._variant_mapping:
        return None
    return next((kind for each, kind in _KINDS if isinstance(type_, each)), None)


def _comes_back(
    type_: TypeDecorator[Any], impl: TypeDecorator[Any], value: Any, dialect: Dialect
) -> bool:
    """Whether a type that changes values on their way gives this one back.

    :param impl: what `type_` is on the `dialect`.
    """
    inner = impl.impl_instance
    if isinstance(inner, (Numeric, *INEXACT)) or getattr(inner, "precision", None) is not None:
        return False
    # As SQLAlchemy keeps them, with the dialect and no longer: nothing of an engine that its
    # application has dropped stays behind.
    bind = type_._cached_bind_processor(dialect)
    result = type_._cached_result_processor(dialect, None)
    try:
        converts = impl._has_bind_processor
        converted = impl.process_bind_param(value, dialect) if converts else value
        if not is_exact(inner, converted, dialect):
            return False  # the database makes something of its own of it
        stored = bind(value) if bind is not None else value
        return bool((result(stored) if result is not None else stored) == value)
    except (TypeError, ValueError, AttributeError):
        return False


def _is_exact_time(type_: Any, value: Any, dialect: Dialect) -> bool:
    kind = datetime if isinstance(type_, DateTime) else time
    if type(value) is not kind or getattr(type_, "precision", None) is not None:
        return False
    return (value.tzinfo is not None) == (type_.timezone and dialect.name != "sqlite")


def _fits(value: Any, scale: int | None) -> bool:
    if type(value) is int:
        return True
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return scale is None or (isinstance(exponent, int) and -exponent <= scale)
