"""Compute the derived columns of INSERT and UPDATE statements, or refuse the statement.

A value is computed where the statement or its parameters have the value of its source. Where only
the database knows that value, the statement is refused, and so is one that sets the derived column
alone. In an INSERT without the derived column, the column's default computes it
(:mod:`.derivation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import BindParameter, Null, bindparam, literal
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.orm.exc import UnmappedColumnError

from ...errors import UncountedStatementError
from ..declarations.derived import Derived
from ..declarations.object_state import is_expression
from ..declarations.special_values import are_same
from ..registry.counter_registry import CounterRegistry
from ..sql.dml import (
    changed_table,
    changes_rows,
    column_names,
    is_list,
    mapper_of,
    names_alias,
    replace_values,
    set_values,
    unwrap,
)

Row = Mapping[Any, Any]
"""Values by what names their column: a string, a Column, or a mapped attribute."""

MISSING = object()
"""Stands for a value that is not set."""
UNKNOWN = object()
"""Stands for a value that only the database knows."""


def fill_in(registry: CounterRegistry, state: ORMExecuteState) -> bool:
    """Compute the derived columns of a statement, in its values or its parameters.

    :returns: whether the parameters were changed, so that the statement must be invoked anew.
    :raises UncountedStatementError: for what cannot be computed.
    """
    if not registry.derived:
        return False
    statement = unwrap(state.statement)
    if not changes_rows(statement) or statement.__visit_name__ == "delete":
        return False
    mapper = mapper_of(statement)
    tables = {changed_table(statement), *(mapper.tables if mapper is not None else ())}
    if tables.isdisjoint(registry.derived_tables):
        return False
    state.statement = statement
    before = state.parameters
    for derived in registry.derived:
        if derived.column.table in tables:
            filling = _Filling(derived, state, mapper)
            if names_alias(statement):
                filling.refuse_if_set()
            elif statement.__visit_name__ == "insert":
                filling.check_insert()
            else:
                filling.fill_update()
    return state.parameters is not before


class _Filling:
    """One derived column in one statement."""

    def __init__(
        self, derived: Derived, state: ORMExecuteState, mapper: Mapper[Any] | None
    ) -> None:
        self.derived = derived
        self.state = state
        statement: Any = state.statement
        self.statement = statement
        self.mapper = mapper
        self.values: Row = set_values(statement)
        parameters: Any = state.parameters or {}
        self.is_list = is_list(parameters)
        self.rows: list[Row] = list(parameters) if self.is_list else [parameters]
        self.source = _Names(mapper or derived.mapper, derived.source_column)
        self.target = _Names(mapper or derived.mapper, derived.column)
        # The ORM takes the names of attributes in a list, and else those of columns.
        if mapper is None or not (self.is_list or self.statement.is_insert):
            self.source.key, self.target.key = derived.source_column.key, derived.column.key

    # INSERT

    def check_insert(self) -> None:
        """Refuse values that cannot be computed, or are not those that are computed."""
        if self.statement._select_names:
            raise self._refusal(
                "from a SELECT has no values to compute it from",
                "read the rows, and execute the INSERT with a list of them",
            )
        for source, target in self._inserted_values():
            if source is MISSING:
                value, is_known = self.derived.default()
                self._check(value if is_known else UNKNOWN, target)
            else:
                self._check(source, target)
        self._fill_upsert()

    def _inserted_values(self) -> Iterator[tuple[Any, Any]]:
        columns = self.statement.table.c
        for rows in self.statement._multi_values:
            for row in rows:
                values = row if isinstance(row, Mapping) else dict(zip(columns, row, strict=False))
                yield _value_of(self.source.find(values)), _value_of(self.target.find(values))
        if not self.statement._multi_values:
            yield from map(self._pair, self.rows)

    def _fill_upsert(self) -> None:
        clause = getattr(self.statement, "_post_values_clause", None)
        values = dict(getattr(clause, "update_values_to_set", None) or ())
        source, target = self.source.find(values), self.target.find(values)
        if source is MISSING and target is MISSING:
            return
        computed: Any
        excluded = getattr(self.statement, "excluded", {})
        if source is excluded.get(self.derived.source_column.key):
            computed = excluded[self.derived.column.key]
            if target is not MISSING and target is not computed:
                raise self._other_value()
        else:
            self._check(_value_of(source), _value_of(target))
            computed = literal(self.derived.computed(_value_of(source)), self.derived.column.type)
        if target is MISSING:
            clause = clause._clone()  # type: ignore[union-attr]
            clause.update_values_to_set = {**values, self.derived.column: computed}
            changed = self.statement._generate()
            changed._post_values_clause = clause
            self._replace(changed)

    # UPDATE

    def fill_update(self) -> None:
        """Set the derived column to what it is computed to, in the values or in each row."""
        self._refuse_composed()
        results = []
        for source, target in map(self._pair, self.rows):
            if source is not MISSING or target is not MISSING:
                self._check(source, target)
            is_left = source is MISSING or target is not MISSING
            results.append(MISSING if is_left else self.derived.computed(source))
        if all(result is MISSING for result in results):
            return
        if self.source.find(self.values) is MISSING:
            self._fill_rows(self.target.key, results)
        else:
            self._fill_values(results)

    def _fill_values(self, results: list[Any]) -> None:
        column, value = self.derived.column, results[0]
        if any(result != value for result in results):
            name = f"derived_{column.key}"
            self._fill_rows(name, results)
            filled: Any = bindparam(name, type_=column.type)
        else:
            filled = literal(value, column.type)
        self._replace(replace_values(self.statement, {**self.values, column: filled}))

    def _fill_rows(self, name: str, results: list[Any]) -> None:
        filled = [
            row if result is MISSING else {**row, name: result}
            for row, result in zip(self.rows, results, strict=True)
        ]
        parameters: Any = filled if self.is_list else filled[0]
        self.state.parameters = parameters

    def _refuse_composed(self) -> None:
        """Refuse parameters for composites, hybrids and synonyms, whose columns are not seen."""
        if self.mapper is None or not self.is_list:
            return
        for name in {name for row in self.rows for name in row}:
            if name in self.mapper.all_orm_descriptors and name not in self.mapper.column_attrs:
                problem = f"sets {name}, which is not a column"
                raise self._refusal(problem, "name the columns instead")

    # Both

    def refuse_if_set(self) -> None:
        """Refuse to set the source or the target of a table that is named by an alias."""
        if any(value is not MISSING for row in self.rows for value in self._pair(row)):
            raise self._refusal("names its table by an alias", "name the class itself")

    def _pair(self, row: Row) -> tuple[Any, Any]:
        """Return what the statement sets source and target to with the parameters `row`."""
        source, target = (self._value(names, row) for names in (self.source, self.target))
        return source, target

    def _value(self, names: _Names, row: Row) -> Any:
        value = names.find(self.values)
        if value is MISSING:
            value = row.get(names.key, MISSING)
        elif isinstance(value, BindParameter) and not value.unique:
            value = row.get(value.key, value)
        return _value_of(value)

    def _check(self, source: Any, target: Any) -> None:
        """Refuse a source that is not known, and a target that is not what it is computed to.

        :raises UncountedStatementError: saying what to do.
        """
        if source is MISSING:
            raise self._other_value()
        if source is UNKNOWN:
            raise self._refusal(
                f"gives {self.derived.source_name} no value that Python knows",
                f"give the value, or set {self.derived.source_name} of the objects",
            )
        if target is MISSING:
            return
        if target is UNKNOWN or not are_same(target, self.derived.computed(source)):
            raise self._other_value()

    def _replace(self, statement: Any) -> None:
        self.statement = self.state.statement = statement

    def _other_value(self) -> Exception:
        return self._refusal(
            "sets it to another value, or without that",
            f"leave it out, and set {self.derived.source_name}",
        )

    def _refusal(self, why: str, remedy: str) -> Exception:
        verb = self.statement.__visit_name__.upper()
        name = self.derived.mapper.class_.__name__
        return UncountedStatementError(
            f"{self.derived} is computed from {self.derived.source_name}, and this {verb} of "
            f"{name} {why}: {remedy}."
        )


class _Names:
    """The names that a statement may use for a column."""

    def __init__(self, mapper: Mapper[Any], column: Any) -> None:
        # Not by the attribute's name: a sibling in the same table may have another column by it.
        try:
            key: str = mapper.get_property_by_column(column).key
        except UnmappedColumnError:
            key = column.key
        self.key = key
        """Its name in parameters."""
        synonyms = {name for name, prop in mapper.synonyms.items() if prop.name == key}
        self.all = {key, column.key, column.name, *synonyms}
        """Its names in values."""

    def find(self, values: Row) -> Any:
        """Return the value for the column in the values of a statement, as it was given."""
        for name, value in values.items():
            if not self.all.isdisjoint(column_names(name)):
                return value
        return MISSING


def _value_of(value: Any) -> Any:
    if isinstance(value, BindParameter):
        return UNKNOWN if value.required else value.effective_value
    if isinstance(value, Null):
        return None
    return UNKNOWN if is_expression(value) else value
