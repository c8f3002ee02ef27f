"""Values that stay as the driver returns them, where a response only has their text.

An object of Python for each key and time costs more than all else that a row needs. SQLite has
keys as hexadecimal digits and times as text without a zone; asyncpg has objects of both, of which
an infinite time has no zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Uuid

from ..database import Database
from ..models.base import UTCDateTime
from ..resolvers.selections import Path, related_model, table_of

NAMES = {"parse_time": datetime.fromisoformat, "to_utc": partial(datetime.astimezone, tz=UTC)}
"""The functions that the generated code of a time uses.

Their results have no zone where they are in UTC, and orjson adds it."""

_MARK = re.compile("<(v[0-9]+_[0-9]+)>")


def is_key(model: type[Any], path: Path) -> bool:
    """Return whether a column has keys."""
    return isinstance(_type_of(model, path), Uuid)


def is_time(model: type[Any], path: Path) -> bool:
    """Return whether a column has times."""
    return isinstance(_type_of(model, path), UTCDateTime)


def _type_of(model: type[Any], path: Path) -> Any:
    *relations, name = path
    for relation in relations:
        model = related_model(model, relation)
    return table_of(model).c[name].type


def mark(variable: str) -> str:
    """Return the expression of a time until it is decided how the variable has it.

    No other part of the generated code has such brackets.
    """
    return f"<{variable}>"


def replace_marks(expression: str, database: Database, objects: frozenset[str]) -> str:
    """Return an expression with that of each time.

    :param objects: the variables that have objects.
    """

    def replace(match: re.Match[str]) -> str:
        variable = match[1]
        if variable in objects or not database.is_sqlite:
            return variable
        parsed = f"time if (time := parse_time({variable})).tzinfo is None else to_utc(time)"
        return f"(None if {variable} is None else {parsed})"

    return _MARK.sub(replace, expression)
