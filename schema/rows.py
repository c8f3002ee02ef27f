"""The base of the types that stand for a row of the database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import strawberry

from ..execution.context import Context
from ..resolvers.pagination.arguments import Record
from ..resolvers.selections import existence_conditions, foreign_key, related_model
from .ids import encode_id

NO_ROWS: Mapping[str, Record] = MappingProxyType({})


class Row:
    """An object with the columns of a row that its client has requested, and no others.

    It is not a type of the schema itself.
    """

    model: ClassVar[type[Any]]
    """The mapped class of the rows."""

    record: strawberry.Private[Record]
    related: strawberry.Private[Mapping[str, Record]]
    """The columns that are known of related rows, by relation."""

    @classmethod
    def from_record(cls, record: Record, related: Mapping[str, Record] = NO_ROWS) -> Self:
        """Return an object of this type with the columns of `record`."""
        row = cls.__new__(cls)
        row.__dict__.update(record, record=record, related=related)
        if "id" in record:
            row.__dict__["id"] = encode_id(cls.__name__, record["id"])
        return row

    def value(self, column: str) -> Any:
        """Return the value of a column.

        :raises Exception: the error by which the column could not be read after a change.
        """
        return column_value(self.record, column)

    def refers(self, relation: str) -> bool:
        """Return whether there is a related row."""
        return self.value(foreign_key(relation)) is not None

    async def load_related(
        self, context: Context, relation: str, columns: frozenset[str]
    ) -> Record | None:
        """Return columns of a related row, in one statement with those of the row's siblings."""
        record = self.related.get(relation)
        if record is not None and columns <= record.keys():
            return record
        id, model = self.value(foreign_key(relation)), related_model(self.model, relation)
        if id is None:
            return None
        if columns <= {"id"} and not existence_conditions(model):
            return {"id": id}
        return await context.load_row(model, id, columns)


def column_value(record: Record, column: str) -> Any:
    """Return the value of a column, as :meth:`Row.value` does."""
    value = record[column]
    if isinstance(value, Exception):
        raise value
    return value
