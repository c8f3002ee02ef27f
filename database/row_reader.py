"""Readers of rows: what executes compiled statements, one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import Select
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from ..concurrency.scheduler import yield_if_due
from .statement import ROW_SLICE, CompiledStatement, Rows, StatementCache

Observer: TypeAlias = Callable[[str], None]
"""What is called with the text of each statement before it is executed."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class RowReader(ABC):
    """Reads rows; each statement sees what is committed when it starts."""

    def __init__(self, dialect: Dialect, statements: StatementCache) -> None:
        self.dialect = dialect
        self._cache = statements
        self.observers: Sequence[Observer] = ()

    async def fetch(
        self, statement: CompiledStatement, parameters: Mapping[str, Any] = _NONE
    ) -> Rows:
        """Return the rows of a compiled statement, as sequences of values."""
        text, arguments = statement.bind(parameters)
        for observe in self.observers:
            observe(text)
        return await statement.process(await self._execute(text, arguments))

    async def read(self, statement: Select[Any]) -> list[dict[str, Any]]:
        """Return the rows of a select, by the names of its columns.

        The select is compiled once for all that differ from it by their values only.
        """
        compiled, values = self._cache.compile(statement, self.dialect)
        rows, columns = await self.fetch(compiled, values), compiled.columns
        records: list[dict[str, Any]] = []
        for start in range(0, len(rows), ROW_SLICE):
            if start:
                await yield_if_due()
            part = rows[start : start + ROW_SLICE]
            records += [dict(zip(columns, row, strict=True)) for row in part]
        return records

    @abstractmethod
    async def _execute(self, text: str, arguments: list[Any]) -> Rows:
        """Return the driver's rows."""


class EngineReader(RowReader):
    """Reads rows by SQLAlchemy's engine, with all its events.

    :param connection: in AUTOCOMMIT.
    """

    def __init__(self, connection: AsyncConnection, statements: StatementCache) -> None:
        super().__init__(connection.dialect, statements)
        self._connection = connection

    async def _execute(self, text: str, arguments: list[Any]) -> Rows:
        return (await self._connection.exec_driver_sql(text, tuple(arguments))).all()
