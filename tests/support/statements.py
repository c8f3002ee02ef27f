"""The SQL statements of a block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from tallied.database.leases import OBSERVER


class Statements(list[str]):
    """SQL statements in the order of execution, without the transaction's own."""

    @property
    def verbs(self) -> list[str]:
        """The verb and the table of each: ``UPDATE tallied_thread``."""
        return [_verb_and_table(statement) for statement in self]


_PATTERNS = {
    "INSERT": r'INSERT (?:OR \w+ )?INTO "?(\w+)',
    "UPDATE": r'UPDATE "?(\w+)',
    "DELETE": r'DELETE FROM "?(\w+)',
    "SELECT": r'SELECT .*?\bFROM "?(\w+)',
}


def _verb_and_table(statement: str) -> str:
    text = statement.strip()
    if text.startswith("WITH"):  # what comes after its parts, which stand in parentheses
        text = re.split(r"\)\s+(?=UPDATE|INSERT|DELETE|SELECT)", text)[-1]
    verb = text.split(None, 1)[0]
    result = re.match(_PATTERNS[verb], text, re.DOTALL)
    assert result, statement
    return f"{verb} {result.group(1)}"


@contextmanager
def recorded(engine: Engine) -> Iterator[Statements]:
    """Record the statements of `engine`, and of engines that share its pool, in the block."""
    statements = Statements()

    def append(statement: str) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(statement)

    def record(
        conn: object, cursor: object, statement: str, parameters: object, *_: object
    ) -> tuple[str, object]:
        append(statement)
        return statement, parameters

    setattr(record, OBSERVER, append)
    # With retval, SQLAlchemy leaves the function as it is, so that its observer is found.
    event.listen(engine, "before_cursor_execute", record, retval=True)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", record)


class Budget:
    """A client of the API that records the statements of each request.

    :param record: begins to record, as the fixture `statements` does.
    """

    def __init__(self, client: Callable[..., Any], record: Callable[[], Any]) -> None:
        self._client = client
        self._record = record
        self.answer: Any = None

    async def __call__(self, query: str, **variables: Any) -> Statements:
        """Return the statements of a request that succeeds."""
        executed: Statements
        with self._record() as executed:
            self.answer = await self._client(query, **variables)
        return executed
