"""Count INSERT, UPDATE and DELETE statements, such as ``session.execute(delete(Comment)…)``.

Each takes a fixed number of further statements, however many rows it changes:

- an INSERT returns the inserted rows;
- for an UPDATE or DELETE the rows are locked and read first, the statement is narrowed to these
  rows, and they are read again after it. So any expression in the statement can be counted, and
  concurrent commits do not matter.

Other statements are refused with a remedy (:mod:`.unsupported_dml`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, null
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapper, ORMExecuteState

from ...errors import UncountedStatementError
from ..declarations.mapped_rows import Key, column_of, columns_of, primary_key, select_rows
from ..registry.counter_registry import CounterRegistry
from ..session.binds import bound_to_write
from ..session.state import get_session_state
from ..sql.dml import (
    assigned_values,
    changed_table,
    changes_rows,
    is_list,
    mapper_of,
    names_of,
    replace_values,
    set_values,
    unwrap,
    written_names,
)
from ..sql.rows import MAX_PARAMETERS, in_keys, read, rows_by_key
from ..sql.tree_locks import SelfReference, lock_matching_tree
from .cascades import reach
from .numbers import is_unnumbered
from .pending_changes import PendingChanges
from .self_references import lock_rows_by_key, locks_trees
from .unsupported_dml import check_assigned_counters, check_form, check_inner, refusal


def execute(registry: CounterRegistry, state: ORMExecuteState) -> Any:
    """Execute a statement that changes counted rows; None if it does not.

    :raises UncountedStatementError: for what cannot be counted.
    """
    statement = unwrap(state.statement)
    table: Any = changed_table(statement) if changes_rows(statement) else None
    if table not in registry.tables:
        check_inner(registry, state)
        return None
    if get_session_state(registry, state.session) is None:  # an extension of the engine does it
        return None
    state.statement = statement
    mapper = mapper_of(statement) or registry.tables[table]
    check_form(registry, state, table, mapper)
    if mapper is None:
        return None
    check_assigned_counters(registry, state, mapper)
    # Now, since between reading the rows and changing them it would change what was read.
    if state.execution_options.get("autoflush", True):
        state.session._autoflush()
    with state.session.no_autoflush:
        return Statement(registry, state, mapper).execute()


class Inserted:
    """The result of an INSERT without its own RETURNING: the number of rows, and their keys."""

    returns_rows = False
    is_insert = True

    def __init__(self, keys: list[Any]) -> None:
        self.rowcount = len(keys)
        self.inserted_primary_key_rows = keys
        self.inserted_primary_key = keys[0] if len(keys) == 1 else None

    def close(self) -> None:
        """Do nothing: no cursor is open."""


class Statement:
    """One INSERT, UPDATE or DELETE of a table that something is counted by."""

    def __init__(
        self, registry: CounterRegistry, state: ORMExecuteState, mapper: Mapper[Any]
    ) -> None:
        session_state = get_session_state(registry, state.session)
        assert session_state is not None
        self.registry = registry
        self.state = state
        self.mapper = mapper
        self.statement: Any = state.statement
        self.verb: str = self.statement.__visit_name__.upper()
        self.table = changed_table(self.statement)
        self.sources = registry.sources_in(mapper.tables)
        self.session_state = session_state
        self.outer = session_state.statement
        self.pending_changes = self.outer or PendingChanges(registry, session_state, state.session)
        self.pending_changes.is_shared = self.outer is not None

    def execute(self) -> Any:
        """Run it and count it; None where it changes nothing that is counted."""
        if self.verb == "INSERT":
            return self._insert() if self.sources else None
        if self.verb == "UPDATE":
            if not self._touches(written_names(self.state)):
                return None
        else:
            self._lock_children_first()
            if not self.sources and not self.registry.cascades.reaches_from(self.mapper.tables):
                return None
        return self._change()

    def _touches(self, names: set[str]) -> bool:
        key = names_of(self.mapper, (attribute.key for attribute in primary_key(self.mapper)))
        if names & key and not is_list(self.state.parameters):
            raise refusal(self.state, self.mapper, "changes primary keys")
        tracked = {name for source in self.sources for name in source.names}
        for source in self.sources:
            discriminator = source.mapper.polymorphic_on
            if discriminator is not None and names & {discriminator.name, discriminator.key}:
                raise refusal(self.state, self.mapper, "changes what class its rows are of")
        return bool(names & names_of(self.mapper, tracked)) or any(s.implicit for s in self.sources)

    def _check_inheritance(self) -> None:
        related = [self.mapper, *(source.mapper for source in self.sources)]
        if self.sources and any(len(m.tables) > 1 or m.inherits for m in related):
            why = "goes to one table of several that a row is made of"
            raise refusal(self.state, self.mapper, why)

    # INSERT

    def _insert(self) -> Any:
        self._check_inheritance()
        has_returning = bool(self.statement._returning)
        (source,) = self.sources
        key = list(source.mapper.primary_key)
        columns = [column_of(source.mapper, name) for name in source.names]
        result = self._invoke(self.statement.returning(*key, *columns))
        frozen = result.freeze()
        rows = frozen().all()
        number = len(key) + len(columns)
        inserted = [tuple(row)[-number:] for row in rows]
        for key_, values in rows_by_key(inserted, len(key), source.names).items():
            if is_unnumbered(source, None, values):
                self.pending_changes.numbers.add(source, key_, None, values)
            else:
                self.pending_changes.count(source, None, values)
        self._write_pending_changes()
        if not has_returning:
            return Inserted([row[: len(key)] for row in inserted])
        width = len(rows[0]) if rows else len(list(frozen().keys()))
        return frozen().columns(*range(width - number))

    # UPDATE and DELETE

    def _change(self) -> Any:
        self._check_inheritance()
        by_key = is_list(self.state.parameters)
        keys = self._lock_rows_by_key() if by_key else self._lock_matching_rows()
        if self.verb == "DELETE":
            self._reach(keys)
        if self.verb == "UPDATE":
            self._clear_numbers()
        statement = self.statement
        if not by_key:
            statement = statement.where(in_keys(primary_key(self.mapper), keys))
        result = self._invoke(statement)
        if self._has_deleted(result, len(keys)):
            self._mark_parents_deleted(keys)
        if self.statement._returning:
            result = result.freeze()()  # read now: what follows uses the same connection
        self._write_pending_changes()
        return result

    def _clear_numbers(self) -> None:
        """Clear the numbers of the rows that an UPDATE moves, which may be taken elsewhere.

        What has not moved gets its number back.
        """
        numbers = [number for source in self.sources for number in source.numbers]
        written = written_names(self.state) if numbers else set()
        for number in numbers:
            if not written & names_of(number.source, number.foreign_key):
                continue
            parameters: Any = self.state.parameters
            column = column_of(number.source, number.of.key)
            if is_list(parameters):
                self.state.parameters = [{**row, number.of.key: None} for row in parameters]
            elif values := set_values(self.statement):
                self.statement = replace_values(self.statement, {**values, column: null()})
            else:
                self.state.parameters = {**parameters, column.key: None}

    def _invoke(self, statement: Any) -> Any:
        """Execute `statement`, and take part in what its listeners execute in its place.

        They may do so by statements that are counted themselves, of rows that are noted here: all
        is settled together, so that nothing is counted twice.
        """
        self.session_state.statement = self.pending_changes
        try:
            with bound_to_write(self.state.session, self.mapper):  # and so where rows are locked
                return self.state.invoke_statement(
                    statement=statement, bind_arguments={"mapper": self.mapper}
                )
        except Exception:
            if self.pending_changes.is_shared:
                with suppress(DBAPIError):  # PostgreSQL has no more to say in a failed transaction
                    self._write_pending_changes()
            raise
        finally:
            self.session_state.statement = self.outer

    def _write_pending_changes(self) -> None:
        if self.outer is None:
            self.pending_changes.write_pending_changes()

    def _has_deleted(self, result: Any, number: int) -> bool:
        """Return whether the database says that it has deleted `number` rows of the table.

        Triggers and loader criteria may keep some, and a listener may have executed another
        statement instead.
        """
        context: Any = getattr(result, "context", None)
        return (
            getattr(context, "isdelete", False)
            and result.rowcount == number
            and changed_table(unwrap(context.invoked_statement)) == self.table
        )

    def _mark_parents_deleted(self, keys: list[Key]) -> None:
        for parent in self.registry.parents:
            if self.table in parent.tables:
                self.pending_changes.deleted_parents.update((parent, key) for key in keys)

    def _lock_matching_rows(self) -> list[Key]:
        """Lock the rows that the statement is about, and note what they hold; their keys."""
        key = self.mapper.primary_key
        tracked = [
            key_ for source in self.sources for key_ in columns_of(source.mapper, source.names)
        ]
        query = select_rows(self.mapper, *key, *tracked).order_by(*key)
        if self.statement.whereclause is not None:
            query = query.where(self.statement.whereclause)
        query = query.with_for_update(of=self.mapper.tables, key_share=self.verb == "UPDATE")
        connection = self.pending_changes.connection(self.mapper)
        parameters: Any = self.state.parameters or {}
        self._lock_trees(connection, parameters)
        rows_ = {tuple(row[: len(key)]): row for row in connection.execute(query, parameters)}
        if len(rows_) * len(key) > MAX_PARAMETERS:
            raise UncountedStatementError(
                f"{self.verb} of {self.mapper.class_.__name__} by statement changes "
                f"{len(rows_):,} rows; narrow it to {MAX_PARAMETERS // len(key):,} at a time."
            )
        start = len(key)
        for source in self.sources:
            names, stop = source.names, start + len(source.names)
            for key_, row in rows_.items():
                values = dict(zip(names, row[start:stop], strict=True))
                self.pending_changes.read_later(source, key_, values)
            start = stop
        return list(rows_)

    def _lock_trees(self, connection: Connection, parameters: Any) -> None:
        """Lock the rows that the statement is about together with those that they count for."""
        written = written_names(self.state) if self.verb == "UPDATE" else set()
        for source in self.sources:
            references = [
                reference
                for reference in source.self_references
                if self.verb == "DELETE" or written & names_of(source.mapper, reference.names)
            ]
            if references and locks_trees(connection, source):
                where = self.statement.whereclause
                lock_matching_tree(
                    connection,
                    source.mapper,
                    references,
                    [] if where is None else [where],
                    deleting=self.verb == "DELETE",
                    joined=self._new_parents(references),
                    parameters=parameters,
                )

    def _new_parents(self, references: Sequence[SelfReference]) -> list[Key]:
        """Return the keys of rows of the same table that an UPDATE names as values."""
        values = assigned_values(self.statement)
        keys = (
            tuple(values.get(name) for name in reference.foreign_key) for reference in references
        )
        return [key for key in keys if None not in key]

    def _lock_children_first(self) -> None:
        """Lock what counts for the rows that a DELETE is about, ahead of these."""
        lock_order = self.registry.deletion_lock_order
        if lock_order.is_needed_for(self.mapper):
            query = select_rows(self.mapper, *self.mapper.primary_key)
            if self.statement.whereclause is not None:
                query = query.where(self.statement.whereclause)
            connection = self.pending_changes.connection(self.mapper)
            lock_order.lock(connection, self.mapper, query, self.state.parameters)

    def _lock_rows_by_key(self) -> list[Key]:
        """Lock the rows that a list of parameters names by key, and record their values."""
        keys = self._keys_of_parameters()
        for source in self.sources:
            connection = self.pending_changes.connection(source.mapper)
            if locks_trees(connection, source):
                rows = lock_rows_by_key(connection, source, keys, self.state.parameters)
            else:
                rows = read(connection, source.mapper, source.names, keys, lock=True)
            for key, row in rows.items():
                self.pending_changes.read_later(source, key, row)
        return keys

    def _keys_of_parameters(self) -> list[Key]:
        names = [attribute.key for attribute in primary_key(self.mapper)]
        rows: Any = self.state.parameters
        if any(name not in row for row in rows for name in names):
            why = "with a list of parameters names no primary keys"
            raise refusal(self.state, self.mapper, why)
        return [tuple(row[name] for name in names) for row in rows]

    def _reach(self, keys: list[Key]) -> None:
        if self.registry.cascades.reaches_from(self.mapper.tables):
            counted = {(self.mapper.local_table, key) for key in keys}
            reach(self.pending_changes, self.mapper, keys, counted)
