"""Readers of rows: what executes selects and compiled statements, one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection, Select
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from ..concurrency.scheduler import yield_if_due
from .statement import ROW_SLICE, CompiledStatement, Rows

T = TypeVar("T")

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


class RowReader(ABC):
    """Reads rows, by one statement at a time; each sees what is committed when it starts."""

    dialect: Dialect

    @abstractmethod
    async def fetch(
        self, statement: CompiledStatement, parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        """Return the rows of a compiled statement, as sequences of values."""

    @abstractmethod
    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        """Return the rows of a select, as sequences of values.

        :param parameters: the values of its bind parameters that have none.
        """

    @abstractmethod
    async def read(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> list[Mapping[str, Any]]:
        """Return the rows of a select, by the names of its columns, as :meth:`select` does."""


class EngineReader(RowReader):
    """Reads rows by SQLAlchemy, with all events of its engine.

    :param connection: in AUTOCOMMIT, or in a transaction of a host's; or the host's session, whose
        engine may be a synchronous one (:mod:`~tallied.database.synchronous`).
    """

    def __init__(self, connection: AsyncConnection | AsyncSession) -> None:
        if isinstance(connection, AsyncSession):
            self.dialect = connection.get_bind().dialect
        else:
            self.dialect = connection.dialect
        self._connection = connection

    async def fetch(
        self, statement: CompiledStatement, parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        text, arguments = statement.bind(parameters)
        result = await self._run(lambda it: it.exec_driver_sql(text, tuple(arguments)).all())
        return await statement.process(result)

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        values = dict(parameters)
        return await self._run(lambda connection: connection.execute(statement, values).all())

    async def read(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> list[Mapping[str, Any]]:

        def execute(connection: Connection) -> tuple[Sequence[str], Rows]:
            result = connection.execute(statement, dict(parameters))
            return tuple(result.keys()), result.all()

        return await as_records(*await self._run(execute))

    async def _run(self, work: Callable[[Connection], T]) -> T:
        if isinstance(self._connection, AsyncSession):
            return await self._connection.run_sync(lambda session: work(session.connection()))
        return await self._connection.run_sync(work)


async def as_records(columns: Sequence[str], rows: Rows) -> list[Mapping[str, Any]]:
    """Return the rows by the names of their columns, and let other tasks run in between."""
    records: list[Mapping[str, Any]] = []
    for start in range(0, len(rows), ROW_SLICE):
        part = rows[start : start + ROW_SLICE]
        records += [dict(zip(columns, row, strict=True)) for row in part]
        if len(part) == ROW_SLICE:
            await yield_if_due()
    return records
