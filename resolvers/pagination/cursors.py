"""Orders, and the cursors that mark a place in one.

An order is a sort key with the primary key to break ties, so no two rows stand at the
same place and a page can start right after any of them. A cursor is such a place,
written down with the name of its order: it stays good when its row is gone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement

from ...errors import BadUserInput
from ...models.base import UTCDateTime

_INTEGERS = range(-(2**63), 2**63)
"""What a counter's column holds, :data:`~tallied.models.base.CounterInteger`."""


class Position(NamedTuple):
    """A place in an order: the sort key and the primary key of a row."""

    key: Any
    id: UUID


class SortKey(NamedTuple):
    """What rows are sorted by, twice: in SQL, and of a row that is in memory."""

    expression: Callable[[Any], ColumnElement[Any]]
    value: Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Order:
    """A total order of a table's rows.

    :param entity: the mapped class.
    :param name: the sort key's name, which also goes into the cursors.
    :param expression: the sort key of the class, or of an alias of it; never null.
    :param value: the sort key of a row that has all its columns.
    :param descending: whether the largest comes first.
    """

    entity: type[Any]
    name: str
    expression: Callable[[Any], ColumnElement[Any]]
    value: Callable[[Mapping[str, Any]], Any]
    descending: bool = False

    def place(self, row: Mapping[str, Any]) -> Position:
        """Where a row stands that has all its columns."""
        return Position(self.value(row), row["id"])

    def cursor(self, position: Position) -> str:
        """The cursor of a row; opaque to clients."""
        # asyncpg's keys are of a UUID type of its own, which orjson does not know.
        place = [self._label, position.key, str(position.id)]
        text = base64.urlsafe_b64encode(orjson.dumps(place))
        return text.decode().rstrip("=")

    def position(self, cursor: str, field: str) -> Position:
        """What :meth:`cursor` made a cursor from.

        :raises BadUserInput: naming `field`, for what is no cursor of this order.
        """
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            label, key, id = orjson.loads(base64.urlsafe_b64decode(padded))
            position = Position(self._key(key), UUID(id))
        except (ValueError, TypeError, AttributeError):
            position, label = None, None
        # Writing it down again catches every spelling that is nearly right.
        if position is None or label != self._label or self.cursor(position) != cursor:
            raise BadUserInput(
                f"{field} is not a cursor of this order; take one from a page with the same "
                f"orderBy, or leave it out.",
                field=field,
            )
        return position

    @property
    def _label(self) -> str:
        direction = "DESC" if self.descending else "ASC"
        return f"{self.entity.__name__}.{self.name}.{direction}"

    def _key(self, value: Any) -> datetime | int:
        if isinstance(self.expression(self.entity).type, UTCDateTime):
            moment = datetime.fromisoformat(value)
            if moment.utcoffset() != timedelta(0):
                raise ValueError(value)
            return moment
        if type(value) is not int or value not in _INTEGERS:
            raise ValueError(value)
        return value
