"""Selections: the columns of a row that are read, and those of the rows to which it refers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, inspect, select

from ..models import Comment
from ..models.comment import is_listed

Path = tuple[str, ...]
"""A column, after the relations that lead to it, such as ``("author", "name")``."""

ColumnOf = Callable[[str], Any]
"""A function that returns the column of that name of a table, an alias or a subquery."""


def foreign_key(relation: str) -> str:
    """Return the name of the column that refers to the related row."""
    return f"{relation}_id"


def related_model(model: type[Any], relation: str) -> type[Any]:
    """Return the mapped class of the related rows."""
    related: type[Any] = inspect(model).relationships[relation].mapper.class_
    return related


@dataclass(frozen=True)
class Selection:
    """The columns of a row, and those of related rows, by relation."""

    columns: tuple[str, ...]
    related: Mapping[str, Selection] = field(default_factory=dict)

    @classmethod
    def from_paths(cls, paths: Sequence[Path]) -> Selection:
        """Return the selection of these columns."""
        related: dict[str, list[Path]] = {}
        for relation, *path in paths:
            if path:
                related.setdefault(relation, []).append(tuple(path))
        own = tuple(path[0] for path in paths if len(path) == 1)
        return cls(own, {name: cls.from_paths(others) for name, others in related.items()})

    def paths(self) -> list[Path]:
        """Return the columns in the order in which a statement selects them."""
        paths: list[Path] = [(name,) for name in self.columns]
        for relation, selection in self.related.items():
            paths += [(relation, *path) for path in selection.paths()]
        return paths

    def own_columns(self) -> list[str]:
        """Return the columns of the row itself that a statement needs."""
        return list(dict.fromkeys([*self.columns, *map(foreign_key, self.related)]))

    def join(
        self, model: type[Any], source: FromClause, column_of: ColumnOf
    ) -> tuple[FromClause, list[Any]]:
        """Return a FROM clause with the related rows, and the selected columns, as :meth:`paths`.

        :param source: a FROM clause with the rows themselves.
        :param column_of: returns a column of the rows themselves.
        """
        columns = [column_of(name) for name in self.columns]
        for relation, selection in self.related.items():
            related = table_of(related_model(model, relation)).alias()
            is_related = related.c.id == column_of(foreign_key(relation))
            conditions = existence_conditions(related_model(model, relation), related.c)
            source = source.outerjoin(related, and_(is_related, *conditions))
            source, others = selection.join(
                related_model(model, relation), source, related.c.__getitem__
            )
            columns += others
        return source, columns


def table_of(model: type[Any]) -> Any:
    """Return the table of a mapped class.

    Core's columns compile quicker than the ORM's attributes.
    """
    return inspect(model).local_table


def select_rows(
    model: type[Any],
    selection: Selection,
    *conditions: ColumnElement[bool],
    with_hidden: bool = False,
) -> Select[Any]:
    """Return the query of the rows that meet the conditions.

    :param with_hidden: whether rows are among them that do not exist for readers.
    """
    table = table_of(model)
    source, columns = selection.join(model, table, table.c.__getitem__)
    statement = select(*columns).select_from(source)
    existence = [] if with_hidden else existence_conditions(model)
    return statement.where(*conditions, *existence)


def existence_conditions(model: type[Any], columns: Any = None) -> list[ColumnElement[bool]]:
    """Return the conditions without which a row does not exist for readers.

    :param columns: those of the model's table, or of an alias of it.
    """
    if model is not Comment:
        return []
    return [is_listed(table_of(model).c if columns is None else columns)]
