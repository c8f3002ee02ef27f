"""Compiled statements: the driver's text of a select, and where its parameters go.

SQLAlchemy compiles a statement once and keeps the result, but each execution still looks it up,
makes a context and a cursor, and wraps the rows. What is kept here needs none of that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

from sqlalchemy import BindParameter, Select
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import iterate

from ..concurrency.scheduler import yield_if_due
from ..counters.sql.driver import Processor, column_processors, default_values
from ..models.base import add_zone, lacks_zone

Rows: TypeAlias = Sequence[Sequence[Any]]

MAX_TEXTS = 64
"""How many texts of one statement are kept: one for each number of values in its lists."""

MAX_STATEMENTS = 500
"""How many shapes of statements are kept."""

MAX_LATEST = 64
"""How many selects are found by themselves, without their shapes; the latest ones."""

ROW_SLICE = 50
"""How many rows are processed before other tasks may run."""

THREAD_TIME, MAX_THREAD_TIME = 0.02, 1.0
"""Seconds for which SQLite's thread executes what the event loop could not: at first, at most."""

_PATTERNS = frozenset(
    {
        operators.contains_op,
        operators.endswith_op,
        operators.icontains_op,
        operators.iendswith_op,
        operators.ilike_op,
        operators.istartswith_op,
        operators.like_op,
        operators.startswith_op,
    }
)


class _Text(NamedTuple):
    """A statement as the driver has it."""

    sql: str
    order: list[tuple[str, Processor | None, bool]]
    """The names of the parameters in the order of the driver, with what converts them, and whether
    all values of a list are there."""

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        arguments: list[Any] = []
        for name, process, is_list in self.order:
            value = values[name]
            if is_list:
                arguments += value if process is None else map(process, value)
            else:
                arguments.append(value if process is None else process(value))
        return arguments


class CompiledStatement:
    """A select that is compiled once; it has no state of a request.

    :param dialect: of an engine that has been connected, since that decides about literals.
    :param schema: the schema of tables that have none.
    :raises NotImplementedError: for parameters that are written into the text with each execution.
    """

    __slots__ = (
        "_binds",
        "_compiled",
        "_defaults",
        "_lists",
        "_processors",
        "_text",
        "_texts",
        "columns",
        "depends_on_values",
        "has_processors",
        "thread_time",
        "thread_until",
    )

    def __init__(self, statement: Select[Any], dialect: Dialect, schema: str | None = None) -> None:
        options: dict[str, Any] = {}
        if schema is not None:
            options = {"schema_translate_map": {None: schema}, "render_schema_translate": True}
        compiled: Any = statement.compile(dialect=dialect, **options)
        if compiled.literal_execute_params:
            raise NotImplementedError("A parameter with literal_execute cannot be compiled.")
        self._compiled = compiled
        self._binds: Mapping[BindParameter[Any], str] = compiled.bind_names
        self._defaults = default_values(compiled)
        self._lists = sorted(compiled.bind_names[bind] for bind in compiled.post_compile_params)
        self._texts: OrderedDict[tuple[int, ...], _Text] = OrderedDict()
        self._text: _Text | None = None if self._lists else self._render({})
        self.columns: tuple[str, ...] = tuple(entry.keyname for entry in compiled._result_columns)
        """The names of the columns."""
        self.depends_on_values = any(
            getattr(element, "operator", None) in _PATTERNS for element in iterate(statement)
        )
        """Whether the best plan depends on the values: on how common a pattern is."""
        self.thread_time = 0.0
        self.thread_until = 0.0
        """Until when SQLite's thread executes it, by :func:`time.perf_counter`."""
        self._processors = column_processors(compiled, dialect)
        self.has_processors = bool(self._processors)
        """Whether :meth:`process` may change rows."""

    def leave_to_thread(self) -> None:
        """Leave it to SQLite's thread for a time, which grows with each call in a row.

        The machine may have been busy with something else, once.
        """
        self.thread_time = min(max(2 * self.thread_time, THREAD_TIME), MAX_THREAD_TIME)
        self.thread_until = perf_counter() + self.thread_time

    def bind(self, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Return the driver's text and arguments, with the lists of IN expanded."""
        text = self._text
        values = {**self._defaults, **parameters} if self._defaults else parameters
        if text is not None:
            return text.sql, text.arguments(values)
        sizes = tuple(len(values[name]) for name in self._lists)
        text = self._texts.get(sizes)
        if text is None:
            text = self._texts[sizes] = self._render({name: values[name] for name in self._lists})
            if len(self._texts) > MAX_TEXTS:
                self._texts.popitem(last=False)
        return text.sql, text.arguments(values)

    def drop_values(self, keys: Sequence[str]) -> list[str | None]:
        """Forget the values of the statement, which are then given with each execution.

        The constants that SQLAlchemy adds stay, such as the OFFSET of SQLite.

        :param keys: the keys of its bind parameters, in the order of its cache key.
        :returns: their names, None for those that the text has not.
        """
        names = {
            clone.key: name
            for bind, name in self._binds.items()
            for clone in bind._cloned_set
            if clone.key in keys
        }
        for name in names.values():
            self._defaults.pop(name, None)
        return [names.get(key) for key in keys]

    def keep_stored(self, places: Collection[int]) -> None:
        """Leave the values of some columns as the driver returns them.

        :param places: the places of the columns; from the end if they are negative.
        """
        kept = {place % len(self.columns) for place in places}
        self._processors = [processor for processor in self._processors if processor[0] not in kept]
        self.has_processors = bool(self._processors)

    def _render(self, lists: Mapping[str, Collection[Any]]) -> _Text:
        required = {name: None for bind, name in self._binds.items() if bind.required}
        state = self._compiled.construct_expanded_state({**required, **lists})
        processors = {**self._compiled._bind_processors, **state.processors}
        expansion = state.parameter_expansion
        list_of = {element: name for name in expansion for element in expansion[name]}
        order: list[tuple[str, Processor | None, bool]] = []
        for name in state.positiontup:
            if name not in list_of:
                order.append((name, processors.get(name), False))
            elif name == expansion[list_of[name]][0]:
                order.append((list_of[name], processors.get(name), True))
        return _Text(state.statement, order)

    async def process(self, rows: Rows) -> Rows:
        """Return the driver's rows with the values of SQLAlchemy's types."""
        processors = [
            (index, process)
            for index, process in self._processors
            if process is not add_zone or any(map(lacks_zone, map(itemgetter(index), rows)))
        ]
        if not processors:
            return rows
        result: list[tuple[Any, ...]] = []
        for start in range(0, len(rows), ROW_SLICE):
            for row in rows[start : start + ROW_SLICE]:
                values = list(row)
                for index, process in processors:
                    values[index] = process(values[index])
                result.append(tuple(values))
            await yield_if_due()
        return result


class StatementCache:
    """Compiled statements by the shape of a select: the same one with other values in it.

    :param schema: the schema of tables that have none.
    """

    def __init__(self, schema: str | None) -> None:
        self._schema = schema
        self._entries: OrderedDict[Any, tuple[CompiledStatement, list[str | None]]] = OrderedDict()
        self._latest: OrderedDict[int, _SameStatement] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def compile(
        self, statement: Select[Any], dialect: Dialect
    ) -> tuple[CompiledStatement, dict[str, Any]]:
        """Return the compiled statement of that shape, and the values of this one."""
        same = self._latest.get(id(statement))
        if same is not None and same.reference() is statement:
            return same.compiled, same.values()
        shape = statement._generate_cache_key()
        if shape is None:
            return CompiledStatement(statement, dialect, self._schema), {}
        entry = self._entries.get(shape.key)
        if entry is None:
            compiled = CompiledStatement(statement, dialect, self._schema)
            names = compiled.drop_values([bind.key for bind in shape.bindparams])
            entry = self._entries[shape.key] = compiled, names
            if len(self._entries) > MAX_STATEMENTS:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(shape.key)
        compiled, names = entry
        named = [
            (name, bind)
            for name, bind in zip(names, shape.bindparams, strict=True)
            if name is not None and not bind.required
        ]
        key, latest = id(statement), self._latest
        # Its values go with it.
        reference = ref(statement, lambda _: latest.pop(key, None))
        same = latest[key] = _SameStatement(reference, compiled, named)
        if len(self._latest) > MAX_LATEST:
            self._latest.popitem(last=False)
        return compiled, same.values()


class _SameStatement(NamedTuple):
    """A select that is executed again as the same object, with what compiling it has found.

    To look it up by its shape takes longer than the rest of its execution.
    """

    reference: ref[Select[Any]]
    compiled: CompiledStatement
    named: list[tuple[str, BindParameter[Any]]]
    """Its bind parameters that have a value, by their names in the text."""

    def values(self) -> dict[str, Any]:
        """Return the values of the parameters."""
        return {name: bind.effective_value for name, bind in self.named}
