"""Select the rows of a mapped class from the tables that they are stored in, and no others.

``select(Employee.id)`` renders what a host has set up for loading: with
``polymorphic_load="inline"`` or ``with_polymorphic="*"`` outer joins to the tables of all
subclasses, with ``ConcreteBase`` a union of tables. PostgreSQL locks neither ("FOR UPDATE
cannot be applied to the nullable side of an outer join"), and a union holds rows that are not
counted. So the engine selects from :attr:`~sqlalchemy.orm.Mapper.persist_selectable`: the
tables that make up a row of the class, joined by their keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.visitors import replacement_traverse


def key_columns(mapper: Mapper[Any]) -> list[Any]:
    """Return the columns of the primary key, in the order of the mapper."""
    return list(mapper.primary_key)


def columns_of(mapper: Mapper[Any], names: Iterable[str]) -> list[Any]:
    """Return the stored columns behind the attributes `names`."""
    return [mapper.column_attrs[name].columns[0] for name in names]


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
        return columns_of(mapper, [mapper.get_property_by_column(element).key])[0]

    return replacement_traverse(clause, {}, replace)
