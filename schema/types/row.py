"""The base of the types that stand for a row of the database."""

from __future__ import annotations

from typing import Any, Self

from ...resolvers.pagination.arguments import Record
from ..ids import encode_id


class Row:
    """An object with the columns of a row that its client has requested, and no others.

    It is no type of the schema itself.
    """

    record: Record

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return an object of this type with the columns of `record`."""
        row = cls.__new__(cls)
        row.__dict__.update(record, record=record)
        if "id" in record:
            row.__dict__["id"] = encode_id(cls.__name__, record["id"])
        return row

    def value(self, column: str) -> Any:
        """Return the value of a column.

        :raises Exception: the error by which the column could not be read after a change.
        """
        return column_value(self.record, column)


def column_value(record: Record, column: str) -> Any:
    """Return the value of a column, as :meth:`Row.value` does."""
    value = record[column]
    if isinstance(value, Exception):
        raise value
    return value
