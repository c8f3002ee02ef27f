"""Statements that are compiled once and executed by the driver, within a transaction of SQLAlchemy.

SQLAlchemy's own way looks the compiled statement up, makes a context, a cursor and a result, and
with aiosqlite goes to the driver's thread four times. Its errors, its transaction and its
connection are used here as well. A connection with listeners that see statements or cursors, with
echo, or with translated schemas executes by SQLAlchemy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select, Update
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.util import await_only

Row = Sequence[Any]

Processor: TypeAlias = Callable[[Any], Any]

DRIVERS = frozenset({"aiosqlite", "asyncpg", "psycopg", "pysqlite"})
"""The drivers that are known to need nothing beside a text and its parameters."""

_TEXTS = "_tallied_texts"
_MISSING: Any = object()


class DriverStatement:
    """A statement with named parameters, compiled once for each dialect."""

    def __init__(self, statement: Select[Any] | Update) -> None:
        self.statement: Any = statement

    def fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return the rows, with the values of SQLAlchemy's types."""
        compiled = self._of_dialect(connection.dialect) if is_plain(connection) else None
        if compiled is None:
            return connection.execute(self.statement, parameters).all()
        rows = execute(connection, compiled.text, compiled.arguments(parameters))
        return compiled.convert(rows)

    def _of_dialect(self, dialect: Dialect) -> _Compiled | None:
        # On the dialect, since what is compiled refers to it: both end with the engine.
        texts: _Texts | None = vars(dialect).get(_TEXTS)
        if texts is None:
            texts = vars(dialect)[_TEXTS] = WeakKeyDictionary()
        compiled: _Compiled | None = texts.get(self, _MISSING)
        if compiled is _MISSING:
            compiled = texts[self] = _compile(self.statement, dialect)
        return compiled


class _Compiled:
    """The driver's text of a statement, and the conversions of its parameters and columns."""

    def __init__(self, compiled: Any, dialect: Dialect) -> None:
        self.text: str = compiled.string
        names = compiled.positiontup if compiled.positional else list(compiled.bind_names.values())
        self._is_positional = bool(compiled.positional)
        self._binds = [(name, compiled._bind_processors.get(name)) for name in names]
        self._defaults = default_values(compiled)
        self._processors = column_processors(compiled, dialect)

    def arguments(self, parameters: Mapping[str, Any]) -> Any:
        values = {**self._defaults, **parameters} if self._defaults else parameters
        if self._is_positional:
            return tuple([values[n] if p is None else p(values[n]) for n, p in self._binds])
        return {n: values[n] if p is None else p(values[n]) for n, p in self._binds}

    def convert(self, rows: Sequence[Row]) -> Sequence[Row]:
        if not self._processors:
            return rows
        converted = []
        for row in rows:
            values = list(row)
            for index, process in self._processors:
                values[index] = process(values[index])
            converted.append(values)
        return converted


def default_values(compiled: Any) -> dict[str, Any]:
    """Return the values that the parameters of a compiled statement have by default, by name."""
    return {
        name: bind.effective_value
        for bind, name in compiled.bind_names.items()
        if not bind.required
    }


def column_processors(compiled: Any, dialect: Dialect) -> list[tuple[int, Processor]]:
    """Return the places of the columns whose values are converted, with what converts them."""
    return [
        (index, process)
        for index, entry in enumerate(compiled._result_columns)
        if (process := entry.type.dialect_impl(dialect).result_processor(dialect, None))
    ]


_Texts: TypeAlias = WeakKeyDictionary[DriverStatement, _Compiled | None]


def _compile(statement: Select[Any] | Update, dialect: Dialect) -> _Compiled | None:
    compiled: Any = statement.compile(dialect=dialect)
    if compiled.literal_execute_params or compiled.post_compile_params:
        return None
    try:
        return _Compiled(compiled, dialect)
    except (TypeError, InvalidRequestError):
        return None  # PostgreSQL's numbers are converted by what a cursor tells of the column.


def is_plain(connection: Connection) -> bool:
    """Return whether nobody but the driver has to do with a statement of a transaction."""
    if is_observed(connection) or not connection.in_transaction():
        return False
    return not connection.get_execution_options().get("schema_translate_map")


def is_observed(connection: Connection) -> bool:
    """Return whether anybody but a driver that is known has to do with texts on `connection`."""
    dialect: Any = connection.dialect
    if dialect.driver not in DRIVERS or connection._echo:
        return True
    if dialect._has_events and (
        dialect.dispatch.do_execute or dialect.dispatch.do_execute_no_params
    ):
        return True
    # The engine's where it can be: those of a connection are joined anew for each.
    target: Any = connection if connection._has_events else connection.engine
    if not target._has_events:
        return False
    listeners = target.dispatch
    return bool(
        listeners.before_cursor_execute
        or listeners.after_cursor_execute
        or listeners.before_execute
        or listeners.after_execute
    )


def execute(connection: Connection, text: str, arguments: Any = ()) -> Sequence[Row]:
    """Return the driver's rows of a text, on a connection that is not :func:`is_observed`.

    :raises DBAPIError: as SQLAlchemy does, also about a connection that was lost.
    """
    failure = _Failure(connection.dialect)
    try:
        adapted: Any = connection.connection.dbapi_connection
        if connection.dialect.driver == "aiosqlite":
            return _execute_in_thread(adapted, text, arguments)
        cursor = failure.cursor = adapted.cursor()
        if connection.dialect.driver == "asyncpg":
            cursor._invalidate_schema_cache_asof = connection.dialect._invalidate_schema_cache_asof  # type: ignore[attr-defined]
        cursor.execute(text, arguments)
        rows: Sequence[Row] = cursor.fetchall()
        cursor.close()
        return rows
    except BaseException as error:
        context: Any = failure
        connection._handle_dbapi_exception(error, text, arguments, failure.cursor, context)
        raise AssertionError from error  # The line before has raised.


def _execute_in_thread(adapted: Any, text: str, arguments: Any) -> Sequence[Row]:
    # SQLAlchemy 2.0 has no such lock for this driver, whose thread runs one statement at a time.
    mutex = getattr(adapted, "_execute_mutex", None) or nullcontext()

    async def work() -> Any:
        async with mutex:
            return await adapted.driver_connection.execute_fetchall(text, arguments)

    try:
        rows: Sequence[Row] = await_only(work())
    except Exception as error:
        adapted._handle_exception(error)
        raise
    return rows


class _Failure:
    """The part of an execution context that SQLAlchemy and its listeners read after an error."""

    executemany = False

    def __init__(self, dialect: Any) -> None:
        self.dialect = dialect
        self.cursor: Any = None

    def handle_dbapi_exception(self, error: BaseException) -> None:
        """Let the dialect forget the statements of a schema that has changed."""
        self.dialect.execution_ctx_cls.handle_dbapi_exception(self, error)
