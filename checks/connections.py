"""Checks of the database's features and of the sessions that the counters need."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ..counters import Counters
from ..counters.registry.session_classes import Installable
from ..models.counters import counters
from .finding import Finding

OLDEST_SQLITE = (3, 35, 0)
"""The first SQLite that has RETURNING (its release notes of 2021-03-12)."""


def check_connection(connection: Connection) -> Iterator[Finding]:
    """Check features that SQLite may lack and PostgreSQL always has."""
    if connection.dialect.name != "sqlite":
        return
    version, enforces = connection.exec_driver_sql(
        "SELECT sqlite_version(), foreign_keys FROM pragma_foreign_keys()"
    ).one()
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        yield Finding(
            "tallied.E017",
            f"SQLite {version} has no RETURNING, by which counters are read back.",
            f"Use a Python that has SQLite {oldest} or newer (sqlite3.sqlite_version).",
        )
    if not enforces:
        yield Finding(
            "tallied.E016",
            "SQLite does not enforce foreign keys, so that comments outlive their threads.",
            "Execute PRAGMA foreign_keys = ON on every new connection, outside of a transaction,"
            ' by a listener for the engine\'s "connect" event.',
        )
    # A database in memory has its own kind of journal, and nobody who could wait.
    if connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() not in ("wal", "memory"):
        yield Finding(
            "tallied.W014",
            "SQLite's journal is not a write-ahead log: readers wait for writers, or fail since the"
            " database is locked.",
            'Execute PRAGMA journal_mode = WAL, by a listener for the engine\'s "connect" event;'
            " the file keeps it.",
        )


def check_idle_transactions(connection: Connection) -> Iterator[Finding]:
    """Find a host's PostgreSQL engine without a limit on idle transactions."""
    if connection.dialect.name != "postgresql":
        return
    timeout = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
    if timeout == "0":
        yield Finding(
            "tallied.W019",
            "If a client of the host's engine vanishes, PostgreSQL keeps its transaction and its"
            " locks until TCP gives up, which can take hours.",
            "Set idle_in_transaction_session_timeout for the role, the database or the engine,"
            ' by connect_args={"server_settings": {"idle_in_transaction_session_timeout": "30s"}}.',
        )


def check_sessions(sessions: Installable) -> tuple[Counters, list[Finding]]:
    """Return the counters that are in use in `sessions`, and the faults of that."""
    engine = counters.installed_on(sessions)
    if engine is not None:
        return engine, []
    name = getattr(sessions, "__name__", type(sessions).__name__)
    finding = Finding(
        "tallied.E020",
        f"The counters are not installed on {name}: what its sessions write is not counted.",
        "Call tallied.models.counters.counters.install() with it, or with an extension of them.",
    )
    return counters, [finding]
