"""Select the rows of a mapped class from the tables that they are stored in, and no others.

``select(Employee.id)`` renders what a host has set up for loading: with
``polymorphic_load="inline"`` or ``with_polymorphic="*"`` outer joins to the tables of all
subclasses, with ``ConcreteBase`` a union of tables. PostgreSQL locks neither ("FOR UPDATE
cannot be applied to the nullable side of an outer join"), and a union holds rows that are not
counted. So the engine selects from :attr:`~sqlalchemy.orm.Mapper.persist_selectable`: the
tables that make up a row of the class, joined by their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.visitors import replacement_traverse

Key: TypeAlias = tuple[Any, ...]
"""A primary key, in the order of the mapper's primary key columns."""

RowValues: TypeAlias = Mapping[str, Any]
"""The values of a row, by the names of the attributes."""


def columns_of(mapper: Mapper[Any], names: Iterable[str]) -> list[Any]:
    """Return the stored columns behind the attributes `names`."""
    return [column_of(mapper, name) for name in names]


def select_rows(mapper: Mapper[Any], *columns: Any) -> Select[Any]:
    """Select `columns` of the rows that are of the class of `mapper`.

    :param columns: as :func:`columns_of` returns them; an attribute of the class would bring
        its loading joins along.
    """
    statement = select(*columns).select_from(mapper.persist_selectable)
    return statement.where(*kind_criteria(mapper))


def kind_criteria(mapper: Mapper[Any]) -> list[Any]:
    """Return the condition that tells a single-table subclass from its siblings, if it is one."""
    criterion = mapper._single_table_criterion
    return [] if criterion is None else [with_stored_columns(mapper, criterion)]


def with_stored_columns(mapper: Mapper[Any], clause: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return `clause` with the stored columns in the place of the attributes of the class."""

    def replace(element: Any, **_: Any) -> Any:
        if element.__visit_name__ != "column":
            return None
        return column_of(mapper, mapper.get_property_by_column(element).key)

    return replacement_traverse(clause, {}, replace)


def own_key(mapper: Mapper[Any]) -> list[Any]:
    """Return the columns of the primary key in the mapper's own table, in the mapper's order.

    They differ from ``mapper.primary_key`` in a subclass with a table of its own.
    """
    table: Any = mapper.local_table
    columns: list[Any] = []
    for column in mapper.primary_key:
        equivalent = next(
            (own for own in table.primary_key if own is column or own.references(column)), None
        )
        if equivalent is None:  # more than one step up
            equivalent = list(table.primary_key)[len(columns)]
        columns.append(equivalent)
    return columns


def primary_key(mapper: Mapper[Any]) -> list[Any]:
    """Return the key's attributes, in the order of the mapper."""
    names = (mapper.get_property_by_column(column).key for column in mapper.primary_key)
    return [getattr(mapper.class_, name) for name in names]


@lru_cache(maxsize=256)
def key_names(mapper: Mapper[Any]) -> tuple[str, ...]:
    """Return the attributes of the primary key, in the order of the mapper."""
    return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)


def counts_as(mapper: Mapper[Any], declared: Mapper[Any]) -> bool:
    """Return whether a row of `mapper` is a row of `declared` too, by inheritance."""
    step: Mapper[Any] | None = mapper
    while step is not None and step is not declared:
        step = None if step.concrete else step.inherits
    return step is not None


def column_of(mapper: Mapper[Any], key: str) -> Any:
    """Return the table's column behind a mapped attribute."""
    return mapper.column_attrs[key].columns[0]
