"""The statements of a level, compiled once for each of its shapes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, String, Uuid, and_, bindparam

from ..database import Database
from ..database.statement import CompiledStatement
from ..resolvers.lists import is_among_ids
from ..resolvers.pagination.arguments import Window
from ..resolvers.pagination.cursors import Order, Position
from ..resolvers.selections import table_of
from .errors import Guard

MAX_SHAPES = 32
"""How many statements are kept for one level; the last used ones."""


class BoundStatement(NamedTuple):
    """A compiled statement with the parameters of a request."""

    statement: CompiledStatement
    parameters: dict[str, Any]


class Shapes:
    """The statements of one level by what changes their text.

    :param database: for whose driver they are compiled.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements: OrderedDict[Any, tuple[CompiledStatement, Sequence[str | None]]] = (
            OrderedDict()
        )

    def bind(
        self,
        shape: Any,
        conditions: Sequence[ColumnElement[bool]],
        build: Callable[[], Select[Any]],
        parameters: dict[str, Any],
        stored: Callable[[], Collection[int]] = tuple,
        viewer_values: Mapping[str, Any] = MappingProxyType({}),
    ) -> BoundStatement:
        """Return the statement of that shape, compiled if it is the first.

        :param conditions: the conditions in the statement whose values are those of the request;
            their structure is a part of the shape.
        :param build: returns the select.
        :param parameters: the values of its own bind parameters.
        :param stored: returns the places of the columns whose values stay as the driver returns
            them.
        :param viewer_values: the values of the parameters of the policy's condition.
        :raises Guard: for a condition that SQLAlchemy cannot cache, or that has a parameter with a
            name of the statement's own.
        """
        key = None
        if conditions:
            key = all_of(conditions)._generate_cache_key()
            if key is None:
                raise Guard("condition")
            shape = (shape, key.key)
        entry = self._statements.get(shape)
        if entry is None:
            keys = [bind.key for bind in key.bindparams] if key else []
            if not parameters.keys().isdisjoint(keys):
                raise Guard("condition")
            statement = self._database.compile(build())
            statement.keep_stored(stored())
            entry = self._statements[shape] = statement, statement.drop_values(keys)
            if len(self._statements) > MAX_SHAPES:
                self._statements.popitem(last=False)
        else:
            self._statements.move_to_end(shape)
        statement, names = entry
        if key:
            for name, bind in zip(names, key.bindparams, strict=True):
                if name is not None:
                    is_viewers = bind.key in viewer_values
                    parameters[name] = (
                        viewer_values[bind.key] if is_viewers else bind.effective_value
                    )
        return BoundStatement(statement, parameters)


def parametrize(window: Window) -> Window:
    """Return a window of the same shape with bind parameters in the place of its values."""
    order = window.order
    return window._replace(
        size=bindparam("limit", type_=Integer()),  # type: ignore[arg-type]
        after=_position(order, "after") if window.after else None,
        before=_position(order, "before") if window.before else None,
    )


def fix_conditions(
    window: Window, searched: Sequence[ColumnElement[bool]], others: Sequence[ColumnElement[bool]]
) -> Window:
    """Return a window whose conditions are these elements, with the names of their values.

    :param searched: those of :meth:`.Window.search_conditions`.
    """
    return window._replace(filter=None, search=all_of(searched), read_condition=all_of(others))


def _position(order: Order, name: str) -> Position:
    key: Any = order.expression(table_of(order.entity).c)
    return Position(
        bindparam(f"{name}_key", type_=key.type),
        bindparam(f"{name}_id", type_=Uuid()),  # type: ignore[arg-type]
    )


def window_parameters(window: Window, *, has_extra: bool) -> dict[str, Any]:
    """Return the values of the bind parameters of :func:`parametrize`.

    :param has_extra: whether the row is read that shows whether there are more.
    """
    parameters: dict[str, Any] = {"limit": window.limit() if has_extra else window.size}
    for name, position in (("after", window.after), ("before", window.before)):
        if position:
            parameters[f"{name}_key"], parameters[f"{name}_id"] = position
    return parameters


def window_shape(window: Window) -> tuple[Any, ...]:
    """Return what of a window changes the text of its statement, but for its conditions."""
    order = window.order
    return (
        order.name,
        order.descending,
        window.backward,
        bool(window.after),
        bool(window.before),
        window.top_level_only,
        window.is_search,
        window.with_hidden,
    )


def is_among(database: Database, column: Any, *, is_stored: bool = False) -> Any:
    """Return the condition that a column has one of the values of the parameter ``ids``.

    :param is_stored: whether they are as SQLite has them.
    """
    stored_as = String() if is_stored else Uuid()
    return is_among_ids(column, is_sqlite=database.is_sqlite, stored_as=stored_as)


def all_of(conditions: Sequence[ColumnElement[bool]]) -> Any:
    """Return the condition that all of these are met, or None for none."""
    return and_(*conditions) if len(conditions) > 1 else next(iter(conditions), None)
