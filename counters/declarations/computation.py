"""How the value of one column is computed from another column of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import InstanceState, InstrumentedAttribute, Mapper


@dataclass(frozen=True, eq=False)
class Computation:
    """A column, the column that it is computed from, and the function between them."""

    target: InstrumentedAttribute[Any]
    of: InstrumentedAttribute[Any]
    compute: Callable[[Any], Any]
    previews: list[Callable[[InstanceState[Any], Any, Any, Any], Any]] = field(
        default_factory=list, init=False, repr=False
    )
    """The listeners to assignments of `target` that show them in parents."""

    def __str__(self) -> str:
        return f"{self.target.class_.__name__}.{self.target.key}"

    @property
    def source_name(self) -> str:
        """The name of the column that it is computed from, such as ``Comment.message``."""
        return f"{self.of.class_.__name__}.{self.of.key}"

    @property
    def mapper(self) -> Mapper[Any]:
        """The mapper of the class that has both columns."""
        mapper: Mapper[Any] = self.target.class_.__mapper__
        return mapper

    @cached_property
    def column(self) -> Column[Any]:
        """The table's column that is computed."""
        return _column_of(self.target)

    @cached_property
    def source_column(self) -> Column[Any]:
        """The table's column that it is computed from."""
        return _column_of(self.of)

    def computed(self, value: Any) -> Any:
        """Return the value of `target` for a value of `of`.

        None for None where `of` cannot be NULL: then the database refuses the row.
        """
        if value is None and not self.source_column.nullable:
            return None
        return self.compute(value)

    def default(self) -> tuple[Any, bool]:
        """Return the value of `of` in a row whose INSERT leaves it out, and whether it is known."""
        default: Any = self.source_column.default
        if default is None:
            return None, self.source_column.server_default is None
        return (default.arg, True) if default.is_scalar else (None, False)


def _column_of(attribute: InstrumentedAttribute[Any]) -> Column[Any]:
    column: Column[Any] = attribute.property.columns[0]
    return column
