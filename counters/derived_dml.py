"""INSERT and UPDATE by statement of a table with derived columns: computed, or refused.

A value is computed where the statement or its parameters name the value that it is computed
from. Where only the database knows that value, the statement is refused, and so is one that
sets the derived column alone. An INSERT that leaves a derived column out needs nothing here:
the column's default computes it (:mod:`.derivation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Null, bindparam, literal
from sqlalchemy.orm import Mapper, ORMExecuteState
from sqlalchemy.util import immutabledict

from ..errors import UncountedStatementError
from .derivation import default_value
from .derived import Derived
from .preview import is_expression
from .refusals import is_list, spellings

if TYPE_CHECKING:
    from .engine import Counters

Row = Mapping[Any, Any]
"""Values by what names their column: a string, a Column, or a mapped attribute."""

MISSING = object()
"""Stands for a value that is not set."""
UNKNOWN = object()
"""Stands for a value that only the database knows."""


def fill_in(engine: Counters, state: ORMExecuteState) -> bool:
    """Compute the derived columns of a statement, in its values or its parameters.

    :returns: whether the parameters were changed, so that the statement must be invoked anew.
    :raises UncountedStatementError: for what cannot be computed.
    """
    statement: Any = state.statement
    if not engine.derived or not getattr(statement, "is_dml", False):
        return False
    table = getattr(statement, "table", None)
    if table is None or statement.__visit_name__ == "delete":
        return False
    plain = getattr(table, "element", table)
    mapper = state.bind_mapper
    tables = {plain, *(mapper.tables if mapper is not None else ())}
    before = state.parameters
    for derived in engine.derived:
        if derived.column.table in tables:
            filling = _Filling(derived, state, mapper)
            if plain is not table:
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
        self.statement: Any = state.statement
        self.mapper = mapper
        self.sources = _names(derived, derived.of.key, derived.source_column)
        self.targets = _names(derived, derived.target.key, derived.column)
        self.values: Row = self.statement._values or {}
        parameters: Any = state.parameters or {}
        self.is_list = is_list(parameters)
        self.rows: list[Row] = list(parameters) if self.is_list else [parameters]

    # INSERT

    def check_insert(self) -> None:
        """Refuse values that cannot be computed, or are not those that are computed."""
        if self.statement._select_names:
            raise self._refusal(
                "from a SELECT has no values to compute it from",
                "read the rows, and execute the INSERT with a list of them",
            )
        for row in self._inserted():
            source, target = self._get(row, self.sources), self._get(row, self.targets)
            if source is MISSING:
                value, is_known = default_value(self.derived)
                source = value if is_known else UNKNOWN
            self._check(source, target)
        self._fill_upsert()

    def _inserted(self) -> Iterator[Row]:
        columns = self.statement.table.c
        for rows in self.statement._multi_values:
            for row in rows:
                yield row if isinstance(row, Mapping) else dict(zip(columns, row, strict=False))
        if not self.statement._multi_values:
            for row in self.rows:
                yield {**self._bound(row), **row} if self.values else row

    def _bound(self, row: Row) -> Row:
        return {name: _bound(value, row) for name, value in self.values.items()}

    # Upserts

    def _fill_upsert(self) -> None:
        clause = getattr(self.statement, "_post_values_clause", None)
        values = dict(getattr(clause, "update_values_to_set", None) or ())
        source, target = self._get(values, self.sources), self._get(values, self.targets)
        if source is MISSING and target is MISSING:
            return
        computed: Any
        if self._is_excluded(values, self.sources, self.derived.source_column.key):
            computed = self.statement.excluded[self.derived.column.key]
            is_right = self._is_excluded(values, self.targets, self.derived.column.key)
            if target is not MISSING and not is_right:
                raise self._other_value()
        else:
            self._check(source, target)
            computed = literal(self.derived.computed(source), self.derived.column.type)
        if target is MISSING:
            clause = clause._clone()  # type: ignore[union-attr]
            clause.update_values_to_set = {**values, self.derived.column: computed}
            self.statement = self.statement._generate()
            self.statement._post_values_clause = clause
            self.state.statement = self.statement

    def _is_excluded(self, values: Row, names: set[str], key: str) -> bool:
        """Return whether an upsert sets a column to what the INSERT would have given it."""
        column = next((value for name, value in values.items() if spellings(name) & names), None)
        excluded = getattr(self.statement, "excluded", None)
        return excluded is not None and column is excluded[key]

    # UPDATE

    def fill_update(self) -> None:
        """Set the derived column to what it is computed to, in the values or in each row."""
        self._refuse_composed()
        in_values = self._get(self.values, self.sources) is not MISSING
        rows = [{**row, **self._bound(row)} for row in self.rows] if self.values else self.rows
        results = []
        for row in rows:
            source, target = self._get(row, self.sources), self._get(row, self.targets)
            if source is not MISSING or target is not MISSING:
                self._check(source, target)
            is_left = source is MISSING or target is not MISSING
            results.append(MISSING if is_left else self.derived.computed(source))
        if in_values:
            self._fill_values(results)
        elif any(result is not MISSING for result in results):
            self._fill_rows(self._key_in_rows(), results)

    def _fill_values(self, results: list[Any]) -> None:
        if MISSING in results:
            return
        column, first = self.derived.column, results[0]
        value: Any = literal(first, column.type)
        if any(result is not first and result != first for result in results):
            name = f"derived_{column.key}"
            value = bindparam(name, type_=column.type)
            self._fill_rows(name, results)
        # Not by values(), which refuses to add to ordered_values().
        self.statement = self.statement._generate()
        self.statement._values = immutabledict({**self.values, column: value})
        self.state.statement = self.statement

    def _fill_rows(self, name: str, results: list[Any]) -> None:
        filled = [
            row if result is MISSING else {**row, name: result}
            for row, result in zip(self.rows, results, strict=True)
        ]
        parameters: Any = filled if self.is_list else filled[0]
        self.state.parameters = parameters

    def _key_in_rows(self) -> str:
        """Return the name of the column in parameters: the ORM takes its attribute's in a list."""
        by_attribute = self.mapper is not None and self.is_list
        return self.derived.target.key if by_attribute else self.derived.column.key

    def _refuse_composed(self) -> None:
        """Refuse parameters for composites and hybrids, which stand for columns unseen here."""
        descriptors = {} if self.mapper is None else self.mapper.all_orm_descriptors
        plain = {} if self.mapper is None else {**self.mapper.column_attrs, **self.mapper.synonyms}
        for name in {name for row in self.rows for name in row}:
            if name in descriptors and name not in plain:
                raise self._refusal(f"sets {name}, which is no column", "name the columns instead")

    # Both

    def refuse_if_set(self) -> None:
        """Refuse to set the source or the target of a table that is named by an alias."""
        for row in (*self._inserted(), self.values):
            if any(self._get(row, n) is not MISSING for n in (self.sources, self.targets)):
                raise self._refusal("names its table by an alias", "name the class itself")

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
        if target is UNKNOWN or (target is not MISSING and target != self.derived.computed(source)):
            raise self._other_value()

    def _get(self, row: Row, names: set[str]) -> Any:
        """Return the value that `row` gives the column of these names."""
        for name, value in row.items():
            if (name in names) if isinstance(name, str) else spellings(name) & names:
                return _known(value)
        return MISSING

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


def _names(derived: Derived, key: str, column: Any) -> set[str]:
    """Return every name that a statement may give a column: its attribute's, synonyms, its own."""
    synonyms = {name for name, prop in derived.mapper.synonyms.items() if prop.name == key}
    return {key, column.key, column.name, *synonyms}


def _bound(value: Any, row: Row) -> Any:
    """Return a value of a statement, with that of its named parameter where it is one."""
    is_named = isinstance(value, BindParameter) and not value.unique
    return row[value.key] if is_named and value.key in row else value


def _known(value: Any) -> Any:
    if isinstance(value, BindParameter):
        return UNKNOWN if value.required else value.effective_value
    if isinstance(value, Null):
        return None
    return UNKNOWN if is_expression(value) else value
