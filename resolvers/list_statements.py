"""Statements with a list of values, of which a few texts are enough for lists of any length.

Each text is compiled once, and PostgreSQL prepares it once for each connection. So a list is filled
up to a power of two with its last value, which changes no condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from ..counters.sql.driver import DriverStatement
from ..models import Base
from .rows import fetch_rows


def fill_up(values: Sequence[Any]) -> list[Any]:
    """Return a list that has a power of two as its length, for the values of another one."""
    size = 1 << (len(values) - 1).bit_length()
    return [*values, *repeat(values[-1], size - len(values))]


class ListStatement:
    """A select with a list of values, which locks the rows that it returns.

    :param build: returns it for the parameters of the values.
    :param type_: the type of the values.
    """

    def __init__(
        self, build: Callable[[list[BindParameter[Any]]], Select[Any]], type_: TypeEngine[Any]
    ) -> None:
        self._build = build
        self._type = type_
        self._statements: dict[int, DriverStatement] = {}

    async def fetch(
        self, session: AsyncSession, entity: type[Base], values: Sequence[Any]
    ) -> Sequence[Sequence[Any]]:
        """Return the rows for some values, of which there is at least one.

        :param entity: the class whose rows are locked.
        """
        filled = fill_up(values)
        statement = self._statements.get(len(filled))
        if statement is None:
            names = (f"value_{number}" for number in range(len(filled)))
            parameters = [bindparam(name, type_=self._type) for name in names]
            statement = self._statements[len(filled)] = DriverStatement(self._build(parameters))
        named = {f"value_{number}": value for number, value in enumerate(filled)}
        return await fetch_rows(session, entity, statement, named)
