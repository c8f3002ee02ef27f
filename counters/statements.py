"""INSERT, UPDATE and DELETE by statement, counted: ``session.execute(delete(Comment)…)``.

Each costs a fixed number of further statements, however many rows it changes:

- an INSERT is asked to return what it has inserted;
- an UPDATE or DELETE finds and locks its rows first, is narrowed to just those, and
  they are read again after it. So it does not matter what the statement computes, nor
  what another transaction has committed meanwhile.

What cannot be counted so is refused, with the way to do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, inspect, select
from sqlalchemy.orm import Mapper, ORMExecuteState

from ..errors import UncountedStatementError
from .declare import Key
from .rows import MOST_PARAMETERS, as_images, in_keys, primary_key, read
from .settle import Settlement
from .source import Source

if TYPE_CHECKING:
    from .engine import Counters

BY_ROW = "add, change or delete {} objects in the session instead."


def execute(engine: Counters, state: ORMExecuteState) -> Any:
    """Execute a statement that changes counted rows; None if it does not.

    :raises UncountedStatementError: for what cannot be counted.
    """
    statement: Any = state.statement
    if not getattr(statement, "is_dml", False):
        return None
    table = next((each for each in engine.tables if each == statement.table), None)
    if table is None:
        return None
    mapper = engine.tables[table]
    _refuse_assigned_counters(engine, state, mapper)
    return Statement(engine, state, mapper, table).execute()


class Statement:
    """One INSERT, UPDATE or DELETE of a table that something is counted by."""

    def __init__(
        self, engine: Counters, state: ORMExecuteState, mapper: Mapper[Any], table: Table
    ) -> None:
        ledger = engine.ledger(state.session)
        assert ledger is not None
        self.engine = engine
        self.state = state
        self.mapper = mapper
        self.statement: Any = state.statement
        self.verb: str = self.statement.__visit_name__.upper()
        self.sources = [s for s in engine.sources.values() if table in s.mapper.tables]
        self.settlement = Settlement(engine, ledger, state.session)

    def execute(self) -> Any:
        """Run it and count it; None where it changes nothing that is counted."""
        if self.verb == "INSERT":
            return self._insert() if self.sources else None
        if self.verb == "UPDATE":
            names = written(self.state)
            self._check_key(names)
            tracked = {name for source in self.sources for name in source.names}
            if not names & _with_columns(self.mapper, tracked) and not self._has_onupdate(tracked):
                return None
        elif not self.sources and not self.engine.cascades.reaches_from(self.mapper.tables):
            return None
        return self._change()

    def _has_onupdate(self, tracked: set[str]) -> bool:
        columns = (c for s in self.sources for c in s.mapper.local_table.columns)
        return any(c.onupdate is not None and c.key in tracked for c in columns)

    def refuse(self, why: str) -> UncountedStatementError:
        """The error that says what cannot be counted, and what to do."""
        name = self.mapper.class_.__name__
        return UncountedStatementError(
            f"{self.verb} of {name} by statement {why} and cannot be counted: {BY_ROW.format(name)}"
        )

    def _check_inheritance(self) -> None:
        if any(len(source.mapper.tables) > 1 or source.mapper.inherits for source in self.sources):
            raise self.refuse("goes to one table of several that a row is made of")

    def _check_key(self, names: set[str]) -> None:
        key = {attribute.key for attribute in primary_key(self.mapper)}
        if names & _with_columns(self.mapper, key) and not isinstance(self.state.parameters, list):
            raise self.refuse("changes primary keys")

    # INSERT

    def _insert(self) -> Any:
        self._check_inheritance()
        clause = getattr(self.statement, "_post_values_clause", None)
        if clause is not None and "update" in clause.__visit_name__:
            raise self.refuse("updates rows on conflict")
        asked = len(self.statement.exported_columns) if self.statement._returning else 0
        (source,) = self.sources
        key = list(source.mapper.primary_key)
        columns = [source.mapper.column_attrs[name].columns[0] for name in source.names]
        result = self.state.invoke_statement(statement=self.statement.returning(*key, *columns))
        frozen = result.freeze()
        rows = frozen().all()
        own = [tuple(row)[-len(key) - len(columns) :] for row in rows]
        for image in as_images(own, len(key), source.names).values():
            self.settlement.count(source, None, image)
        self.settlement.finish()
        if not asked:
            return result
        width = len(rows[0]) if rows else len(list(frozen().keys()))
        return frozen().columns(*range(width - len(key) - len(columns)))

    # UPDATE and DELETE

    def _change(self) -> Any:
        self._check_inheritance()
        by_key = isinstance(self.state.parameters, list)
        keys = self._keys_of_parameters() if by_key else self._find()
        for source in self.sources:
            connection = self.settlement.connection(source.mapper)
            for key, image in self._images(source, connection, keys).items():
                self.settlement.read_later(source, key, image)
        if self.verb == "DELETE":
            self._reach(keys)
        statement = self.statement
        if not by_key:
            statement = statement.where(in_keys(primary_key(self.mapper), keys))
        result = self.state.invoke_statement(statement=statement)
        if self.statement._returning:
            result = result.freeze()()  # read now: what follows uses the same connection
        self.settlement.finish()
        return result

    def _images(self, source: Source, connection: Any, keys: list[Key]) -> Any:
        deleting = self.verb == "DELETE"
        return read(connection, source.mapper, source.names, keys, lock=True, deleting=deleting)

    def _find(self) -> list[Key]:
        """The keys of the rows that the statement is about, locked."""
        key = primary_key(self.mapper)
        query = select(*key).order_by(*key)
        if self.statement.whereclause is not None:
            query = query.where(self.statement.whereclause)
        query = query.with_for_update(of=self.mapper.class_, key_share=self.verb == "UPDATE")
        parameters = self.state.parameters or {}
        connection = self.settlement.connection(self.mapper)
        found = [tuple(row) for row in connection.execute(query, parameters)]
        if len(found) * len(key) > MOST_PARAMETERS:
            raise UncountedStatementError(
                f"{self.verb} of {self.mapper.class_.__name__} by statement changes "
                f"{len(found):,} rows; narrow it to {MOST_PARAMETERS // len(key):,} at a time."
            )
        return list(dict.fromkeys(found))

    def _keys_of_parameters(self) -> list[Key]:
        names = [attribute.key for attribute in primary_key(self.mapper)]
        rows: Any = self.state.parameters
        try:
            return [tuple(row[name] for name in names) for row in rows]
        except KeyError as error:
            raise self.refuse("with a list of parameters names no primary keys") from error

    def _reach(self, keys: list[Key]) -> None:
        cascades = self.engine.cascades
        if cascades.reaches_from(self.mapper.tables):
            gone = {(self.mapper.local_table, key) for key in keys}
            cascades.reach(self.settlement, self.mapper, keys, gone)
        for parent in self.engine.parents:
            if self.mapper.isa(parent):
                self.settlement.dead.update((parent, key) for key in keys)


def written(state: ORMExecuteState) -> set[str]:
    """The names of the columns and attributes that an INSERT or UPDATE sets."""
    statement: Any = state.statement
    names: set[Any] = set(getattr(statement, "_values", None) or ())
    for pairs in getattr(statement, "_ordered_values", None) or ():
        names.add(pairs[0])
    for rows in getattr(statement, "_multi_values", None) or ():
        for row in rows:
            names.update(row if isinstance(row, dict) else statement.table.c.keys())
    parameters: Any = state.parameters or ()
    for row in [parameters] if isinstance(parameters, dict) else parameters:
        names.update(row)
    if getattr(statement, "select", None) is not None:
        names.update(statement._select_names or ())
    return {name if isinstance(name, str) else inspect(name).key for name in names}


def _with_columns(mapper: Mapper[Any], names: set[str]) -> set[str]:
    """`names` of attributes, and those of their columns."""
    return names | {
        mapper.column_attrs[n].columns[0].name for n in names if n in mapper.column_attrs
    }


def _refuse_assigned_counters(
    engine: Counters, state: ORMExecuteState, mapper: Mapper[Any]
) -> None:
    for parent in engine.parents:
        if not mapper.isa(parent):
            continue
        for counter in engine.counters_of(parent):
            if written(state) & _with_columns(parent, {counter.key}):
                verb = state.statement.__visit_name__.upper()
                raise UncountedStatementError(
                    f"{verb} of {mapper.class_.__name__} would assign {counter}, which is kept "
                    f"by its counter: leave it out, or repair it with rebuild()."
                )
