"""The SQL statements of a block, counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event


class Statements(list[str]):
    """SQL statements in the order of execution, without the transaction's own."""

    @property
    def verbs(self) -> list[str]:
        """Each as its verb and the table it is about: ``UPDATE tallied_thread``."""
        return [f"{_verb(each)} {_table(each)}" for each in self]


def _verb(statement: str) -> str:
    found = re.search(r"^\s*(SELECT|INSERT|UPDATE|DELETE)", statement, re.MULTILINE)
    if statement.startswith("WITH"):
        found = re.search(r"(INSERT|UPDATE|DELETE) (?!SKIP)", statement)
    assert found, statement
    return found.group(1)


def _table(statement: str) -> str:
    pattern = rf"{_verb(statement)}\b(?!\s+OF)(?:[^()]*?\bFROM|\s+INTO)?\s+(\w+)"
    start = statement.find("UPDATE tallied") if statement.startswith("WITH") else 0
    found = re.search(pattern, statement[start:], re.DOTALL)
    assert found, statement
    return found.group(1)


@contextmanager
def recorded(engine: Engine) -> Iterator[Statements]:
    """Record what `engine`, and every engine that shares its pool, executes in the block."""
    statements = Statements()

    def record(conn: object, cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", record)
