"""The revision of a database, and those that there are, without Alembic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnClause, Connection, Select, column, inspect, select, table

from ..errors import ConfigurationError

VERSION_TABLE = "tallied_alembic_version"
"""Where the revision is kept; a host's Alembic keeps its own elsewhere."""

FOLDER = Path(__file__).parent / "versions"


@dataclass(frozen=True)
class State:
    """Where a database stands. A revision is None where no migration has run."""

    current: str | None
    newest: str

    @property
    def is_newest(self) -> bool:
        return self.current == self.newest


def read_state_on(connection: Connection, schema: str | None = None) -> State:
    """Return the revision of a database and the newest one, read without a lock.

    :raises ConfigurationError: when a newer Tallied has migrated the database.
    """
    newest, revisions = known_revisions()
    current = None
    if inspect(connection).has_table(VERSION_TABLE, schema):
        current = connection.scalar(_select_revision(schema))
    if current is not None and current not in revisions:
        raise ConfigurationError(
            f"A newer Tallied has migrated the database to revision {current}, which this one"
            " does not know; upgrade Tallied."
        )
    return State(current, newest)


def is_behind(connection: Connection, schema: str | None = None) -> bool:
    """Return whether migrations of this Tallied have not been run, in two statements.

    A newer revision than this Tallied knows is none that is missing: while servers are replaced
    one by one, the old ones go on. Neither is the lack of any, where a host makes the tables by
    migrations of its own.
    """
    if not inspect(connection).has_table(VERSION_TABLE, schema):
        return False
    newest, revisions = known_revisions()
    stored = connection.scalars(_select_revision(schema))
    return bool(set(stored) & (revisions - {newest}))


def _select_revision(schema: str | None) -> Select[Any]:
    version: ColumnClause[str] = column("version_num")
    return select(version).select_from(table(VERSION_TABLE, schema=schema))


@cache
def known_revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision, and all: each file begins with its revision's name and number."""
    revisions = {"_".join(path.stem.split("_")[:2]) for path in FOLDER.glob("tallied_*.py")}
    return max(revisions), frozenset(revisions)
