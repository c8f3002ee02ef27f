"""Orders, and the cursors that encode a position in one.

An order is a sort key, with the primary key to break ties: no two rows have the same position, and
a page can start after any of them. A cursor encodes a position with the name of its order, and it
stays valid after its row is deleted.
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
"""The values of a counter's column, :data:`~tallied.models.base.CounterInteger`."""


class Position(NamedTuple):
    """A position in an order: the sort key and the primary key of a row."""

    key: Any
    id: UUID


class SortKey(NamedTuple):
    """A sort key: its expression in SQL, and its value for a row in memory."""

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

    def position_of(self, row: Mapping[str, Any]) -> Position:
        """Return the position of a row that has all its columns."""
        return Position(self.value(row), row["id"])

    def encode(self, position: Position) -> str:
        """Return the cursor of a position, which is opaque to clients."""
        # asyncpg's keys are of a UUID type of its own, which orjson cannot encode.
        parts = [self._label, position.key, str(position.id)]
        text = base64.urlsafe_b64encode(orjson.dumps(parts))
        return text.decode().rstrip("=")

    def encode_parts(self, key: Any, id: UUID) -> str:
        """Return the cursor of the position with that sort key and primary key."""
        return self.encode(Position(key, id))

    def decode(self, cursor: str, field: str) -> Position:
        """Return the position that a cursor encodes.

        :raises BadUserInput: naming `field`, for a value that is not a cursor of this order.
        """
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            label, key, id = orjson.loads(base64.urlsafe_b64decode(padded))
            position = Position(self._key(key), UUID(id))
        except (ValueError, TypeError, AttributeError):
            position, label = None, None
        # Encoding it again rejects every other spelling of the same position.
        if position is None or label != self._label or self.encode(position) != cursor:
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
