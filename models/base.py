"""The declarative base: one MetaData, one way to name constraints, the column types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, event, inspect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

from ..counters.declarations.derivation import DERIVED

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names that are the same on every database, so that a migration can name them."""


CounterInteger = BigInteger().with_variant(Integer(), "sqlite")
"""The type of every counter: 64 bits, since a sum of 32-bit values outgrows 32 bits.

Every integer of SQLite has 64 bits.
"""


class Base(DeclarativeBase):
    """The base of Tallied's models; its MetaData holds Tallied's tables and no others."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)

    def __repr__(self) -> str:
        """Return the class with its loaded keys and numbers, without texts and times.

        It reads no database and is safe for logs.
        """
        keys = (attribute.key for attribute in inspect(type(self)).column_attrs)
        loaded = ((key, self.__dict__[key]) for key in keys if key in self.__dict__)
        values = (f"{key}={value}" for key, value in loaded if isinstance(value, int | UUID))
        return f"{type(self).__name__}({', '.join(values)})"


@event.listens_for(Base, "init", propagate=True)
def _fill_in_defaults(obj: Any, args: object, values: dict[str, Any]) -> None:
    """Set the key and the times of an object when it is created, not when it is flushed.

    So a comment can refer to a thread by its key before the flush, and
    ``thread.last_comment_at`` is right in memory and in the thread's own INSERT.
    """
    model: type[Base] = type(obj)
    for name, default in _defaults_of(model):
        if name not in values:
            values[name] = default(None)


@cache
def _defaults_of(class_: type[Base]) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the names of the columns with a default of Python's, and the functions."""
    columns = ((attribute.key, attribute.columns[0]) for attribute in inspect(class_).column_attrs)
    return [
        (name, column.default.arg)
        for name, column in columns
        if getattr(column.default, "is_callable", False) and DERIVED not in column.info
    ]


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC on every database, to the microsecond.

    SQLite has no time zones, so there it is stored without one. From SQLAlchemy's
    documentation, "Store Timezone Aware Timestamps as Timezone Naive UTC".
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return less to do for asyncpg, whose values are in UTC, but for an infinite one."""
        return (
            add_zone if dialect.driver == "asyncpg" else super().result_processor(dialect, coltype)
        )

    @staticmethod
    def comes_back(value: object) -> bool:
        """Return whether the counters may count with a value as memory has it."""
        return type(value) is datetime and value.tzinfo is UTC

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return less to do for a time that is missing, as two of each new comment are."""
        process = super().bind_processor(dialect)
        return process and (lambda value: None if value is None else process(value))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime needs a time zone; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


def lacks_zone(value: datetime | None) -> bool:
    """Return whether a value of asyncpg is ``infinity``, the greatest time, without a zone."""
    return value is not None and value.tzinfo is None


def add_zone(value: datetime | None) -> datetime | None:
    """Return a value of asyncpg with its zone."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def new_id() -> UUID:
    """Return a new key: a UUIDv7 (RFC 9562, section 5.7), so that keys sort by their time."""
    return uuid7()


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)
