"""Parse conditions and keys of a command line, such as ``created_at >= 2026-01-01``.

A condition is one column of the class, one comparison, and one value, which is read as the column's
type and bound as a parameter. No SQL is taken from the text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime
from sqlalchemy import Enum as EnumType
from sqlalchemy.orm import InstrumentedAttribute, Mapper
from sqlalchemy.types import TypeDecorator, TypeEngine

from ...errors import BadUserInput
from ..declarations.mapped_rows import Key, primary_key

_FORM = re.compile(r"\s*(\w+)\s*(<=|>=|!=|=|<|>|\bin\b)\s*(.*?)\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def parse_condition(mapper: Mapper[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that `text` states about the objects of `mapper`.

    The comparisons are ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, and ``in`` with
    values that commas part. A time without a zone is in UTC; the value ``null`` is NULL.

    :raises BadUserInput: for a text that cannot be read so.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadUserInput(
            f"The condition {text!r} cannot be read; write a column, one of = != < <= > >= in, "
            f"and a value, such as 'created_at >= 2026-01-01'."
        )
    name, comparison, value = match.groups()
    if name not in mapper.column_attrs:
        names = ", ".join(attribute.key for attribute in mapper.column_attrs)
        raise BadUserInput(f"{mapper.class_.__name__} has no column {name!r}; it has {names}.")
    column: InstrumentedAttribute[Any] = getattr(mapper.class_, name)
    if value == "null" and comparison in ("=", "!="):
        return column.is_(None) if comparison == "=" else column.is_not(None)
    if comparison == "in":
        values = [_read(column, item.strip()) for item in value.split(",")]
        return column.in_(values)
    condition: ColumnElement[bool] = _COMPARE[comparison](column, _read(column, value))
    return condition


def parse_key(mapper: Mapper[Any], text: str) -> Key:
    """Return the primary key of an object of `mapper`; commas part the columns of a composite one.

    :raises BadUserInput: for a text that is no such key.
    """
    columns = primary_key(mapper)
    parts = text.split(",") if len(columns) > 1 else [text]
    if len(parts) != len(columns):
        names = ",".join(column.key for column in columns)
        raise BadUserInput(f"A key of {mapper.class_.__name__} is written as {names}.")
    return tuple(_read(*pair) for pair in zip(columns, map(str.strip, parts), strict=True))


def _read(column: Any, text: str) -> Any:
    type_: Any = (
        column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    )
    kind = _kind(type_)
    if kind not in _READERS:
        raise BadUserInput(f"{column.key} cannot be compared on the command line.")
    read, form = _READERS[kind]
    try:
        value = type_.enum_class[text] if kind is Enum else read(text)
    except (ValueError, KeyError, InvalidOperation) as error:
        raise BadUserInput(f"{text!r} is not a value of {column.key}; it takes {form}.") from error
    if isinstance(type_, DateTime) and type_.timezone and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def _kind(type_: TypeEngine[Any]) -> Any:
    if isinstance(type_, EnumType):
        return Enum if type_.enum_class is not None else str
    try:
        return type_.python_type
    except NotImplementedError:
        return None


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    UUID: (UUID, "a UUID"),
    int: (int, "a whole number"),
    Decimal: (Decimal, "a number"),
    float: (float, "a number"),
    bool: (_truth, "true or false"),
    datetime: (datetime.fromisoformat, "a time, such as 2026-01-31 or 2026-01-31T12:30Z"),
    date: (date.fromisoformat, "a day, such as 2026-01-31"),
    Enum: (str, "one of the names of its values"),
    str: (str, "a text"),
}
