"""What is refused: assignments to counters, and statements that cannot be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ColumnProperty, Mapper, ORMExecuteState
from sqlalchemy.orm.attributes import set_committed_value

from ..errors import CounterAssignmentError, UncountedStatementError
from .declare import Counter

if TYPE_CHECKING:
    from .engine import Counters


class _CounterProperty(ColumnProperty[Any]):
    """A mapped column that ``Session.merge`` does not copy.

    A detached parent carries its counters as they were when it was loaded; merging it
    is no assignment to them, and there is no event that tells the two apart.
    """

    __slots__ = ()
    inherit_cache = True

    def merge(self, *args: Any, **kwargs: Any) -> None:
        """Leave the counter of the destination as it is."""


def protect(mapper: Mapper[Any], counters: tuple[Counter, ...]) -> None:
    """Refuse assignments to `counters`, and let a new object start with them empty."""

    def on_init(obj: Any, args: Any, kwargs: Any) -> None:
        for counter in counters:
            set_committed_value(obj, counter.key, counter.empty)

    event.listen(mapper.class_, "init", on_init, propagate=True)
    for counter in counters:
        _refuse_assignment(counter)
        prop = mapper.attrs[counter.key]
        if type(prop) is ColumnProperty:
            prop.__class__ = _CounterProperty


def _refuse_assignment(counter: Counter) -> None:
    def on_set(obj: Any, value: Any, old: Any, initiator: Any) -> None:
        raise CounterAssignmentError(
            f"{counter} is kept by its counter and cannot be assigned: add, change or delete "
            f"{counter.source.class_.__name__} objects, or repair it with rebuild()."
        )

    event.listen(counter.target, "set", on_set, propagate=True)


def check_statement(engine: Counters, state: ORMExecuteState) -> None:
    """Refuse an INSERT, UPDATE or DELETE that would change counted rows or counters unseen.

    :raises UncountedStatementError: naming the table and the way to do it.
    """
    statement: Any = state.statement
    if not getattr(statement, "is_dml", False):
        return
    changed = statement.table
    verb = statement.__visit_name__.upper()
    for source in engine.sources.values():
        if changed in source.mapper.tables:
            raise UncountedStatementError(
                f"{verb} of {changed.name} by statement would change "
                f"{', '.join(map(str, source.counters))} without being counted: "
                f"add, change or delete {source.mapper.class_.__name__} objects in the session."
            )
    written = _written(state, statement)
    for mapper in engine.parents:
        for counter in engine.counters_of(mapper):
            stored = mapper.column_attrs[counter.key].columns[0]
            if changed in mapper.tables and written & {stored.name, counter.key}:
                raise UncountedStatementError(
                    f"{verb} of {changed.name} would assign {counter}, which is kept by its "
                    f"counter: leave it out, or repair it with rebuild()."
                )


def _written(state: ORMExecuteState, statement: Any) -> set[str]:
    """The names of the columns and attributes that an INSERT or UPDATE sets."""
    names: set[Any] = set(getattr(statement, "_values", None) or ())
    for pairs in getattr(statement, "_ordered_values", None) or ():
        names.add(pairs[0])
    for rows in getattr(statement, "_multi_values", None) or ():
        for row in rows:
            names.update(row if isinstance(row, dict) else statement.table.c.keys())
    parameters = state.parameters or ()
    for row in [parameters] if isinstance(parameters, dict) else parameters:
        names.update(row)
    return {name if isinstance(name, str) else inspect(name).key for name in names}
