"""Whether the database stores a value exactly as memory has it.

A value that it may have rounded or changed is read back before it is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias
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
CONVERTED_TYPES = (TypeDecorator, *INEXACT, Numeric, *TIMES, EnumType)
_KINDS: list[tuple[type[TypeEngine[Any]], type[Any]]] = [
    (Boolean, bool),
    (Integer, int),
    (Uuid, UUID),
    (String, str),
    (Date, date),
    (LargeBinary, bytes),
    (BINARY, bytes),
]

ROUND_TRIP_ATTRIBUTE = "comes_back"
"""The name of a method by which a type of a host's says without a trial, for a value in memory,
that each database gives it back as it is; where it returns False, the type is tried. It says so
for its own class alone."""


def is_exact(type_: TypeEngine[Any], value: Any, dialect: Dialect) -> bool:
    """Return whether a column of `type_` holds `value` just as memory does."""
    if value is None:
        return True
    # As SQLAlchemy keeps its own, with the dialect and no longer: nothing of an engine that its
    # application has dropped stays behind.
    exactness_test = type_._cached_custom_processor(dialect, "tallied", _exactness_test_of)
    return exactness_test(value, type_, dialect)


ExactnessTest: TypeAlias = Callable[[Any, TypeEngine[Any], Dialect], bool]
"""Whether a value is held as it is, given the type as declared. It must not hold on to that."""


def _exactness_test_of(impl: TypeEngine[Any]) -> ExactnessTest:
    """Return the test for a type that is `impl`, or a variant of it, on a dialect."""
    if isinstance(impl, TypeDecorator):
        inner = impl.impl_instance
        if isinstance(inner, (Numeric, *INEXACT)) or getattr(inner, "precision", None) is not None:
            return lambda *_: False
        comes_back = partial(_comes_back, impl, inner, _makes_processors(impl))
        # A class that inherits the method may change values.
        if ROUND_TRIP_ATTRIBUTE not in vars(type(impl)):
            return comes_back
        comes_back_always = getattr(impl, ROUND_TRIP_ATTRIBUTE)
        return lambda value, *rest: comes_back_always(value) or comes_back(value, *rest)
    if isinstance(impl, INEXACT):
        return lambda *_: False
    if isinstance(impl, Numeric):
        return lambda value, *_: _fits(value, impl.scale)
    if isinstance(impl, TIMES):
        return lambda value, _, dialect: _is_exact_time(impl, value, dialect)
    if isinstance(impl, EnumType):
        return lambda value, *_: isinstance(value, impl.enum_class or str)
    # asyncpg's UUID is one of its own, which says no more and no less.
    kind = _plain_kind_of(impl)  # A variant is the one of this dialect here.
    return lambda value, *_: type(value) is kind or (kind is UUID and isinstance(value, UUID))


def plain_kind(type_: TypeEngine[Any]) -> type[Any] | None:
    """Return the Python type whose values a column of `type_` stores unchanged.

    None where it depends on the value, or on the database.
    """
    kinds = {_plain_kind_of(variant) for variant in (type_, *type_._variant_mapping.values())}
    return kinds.pop() if len(kinds) == 1 else None


def _plain_kind_of(type_: TypeEngine[Any]) -> type[Any] | None:
    if isinstance(type_, CONVERTED_TYPES):
        return None
    return next((kind for class_, kind in _KINDS if isinstance(type_, class_)), None)


def _comes_back(
    impl: TypeDecorator[Any],
    inner: TypeEngine[Any],
    makes_processors: bool,
    value: Any,
    declared: TypeEngine[Any],
    dialect: Dialect,
) -> bool:
    """Return whether a type that changes values on their way gives this one back.

    :param impl: what the type is on the `dialect`.
    :param inner: what the database is given.
    :param makes_processors: as :func:`_makes_processors` says.
    """
    try:
        stored = impl.process_bind_param(value, dialect) if impl._has_bind_processor else value
        if not is_exact(inner, stored, dialect):
            return False  # the database makes something of its own of it
        if makes_processors:
            stored = _round_trip(declared, value, dialect)
        elif impl._has_result_processor:
            stored = impl.process_result_value(stored, dialect)
        return bool(stored == value)
    except (TypeError, ValueError, AttributeError):
        return False


def _makes_processors(impl: TypeDecorator[Any]) -> bool:
    """Return whether the type does more than its two methods for a single value say."""
    own = (type(impl).bind_processor, type(impl).result_processor)
    return own != (TypeDecorator.bind_processor, TypeDecorator.result_processor)


def _round_trip(declared: TypeEngine[Any], value: Any, dialect: Dialect) -> Any:
    """Return `value` after a round trip through the type's own processors."""
    bind = declared._cached_bind_processor(dialect)
    result = declared._cached_result_processor(dialect, None)
    stored = bind(value) if bind is not None else value
    return result(stored) if result is not None else stored


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
