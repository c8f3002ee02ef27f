"""What an error of the database means: to be tried again, too busy, or a fault."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

BUSY = "The database is busy with other changes; send the same request again."


def asks_for_retry(error: DBAPIError) -> bool:
    """Whether the unit as a whole may succeed when it is run again.

    PostgreSQL: serialization_failure and deadlock_detected (Appendix A, class 40).
    SQLite: SQLITE_BUSY and its extended codes.
    """
    if getattr(error.orig, "sqlstate", None) in ("40001", "40P01"):
        return True
    cause = getattr(error.orig, "__cause__", None) or error.orig
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(cause, "sqlite_errorname", "")
    return isinstance(error, OperationalError) and str(name).startswith("SQLITE_BUSY")


def is_damaged(error: DBAPIError) -> bool:
    """Return whether SQLite's file is damaged, or is no database."""
    cause = getattr(error.orig, "__cause__", None) or error.orig
    name = str(getattr(cause, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def is_refused_a_lock(error: DBAPIError) -> bool:
    """Return whether a lock or a connection was refused.

    PostgreSQL: lock_not_available and too_many_connections.
    """
    return getattr(error.orig, "sqlstate", None) in ("55P03", "53300")
