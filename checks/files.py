"""Checks of the file of an SQLite database: its integrity and its permissions."""

from __future__ import annotations

import os

from sqlalchemy.exc import DBAPIError

from ..database import Database, is_damaged
from ..errors import Busy, Unavailable
from ..settings import Settings
from .finding import Finding

QUICK_SIZE = 256 * 2**20
"""Bytes of a file that is read as a whole at each start: 0.4 s, or 3 s from a slow disk."""

_OTHERS = 0o077
"""The permissions of all but the owner."""


async def check_file(database: Database, settings: Settings, *, start: bool) -> list[Finding]:
    """Return the faults of the file; for another database, none.

    :param start: leave a large file unread; SQLite cannot end the reading early.
    """
    if database.file is None:
        return []
    try:
        async with database.read() as connection:
            path = database.file.path
            if path is None:
                return []
            if start and os.path.getsize(path) > QUICK_SIZE:
                return _check_mode(path, settings)
            # The structure of every table; whether the indexes agree takes ten times as long.
            result = await connection.exec_driver_sql("PRAGMA quick_check(1)")
            reason = str(result.scalar_one())
    except Unavailable as unavailable:
        error = unavailable.__cause__
        if not (isinstance(error, DBAPIError) and is_damaged(error)):
            return []  # The checks of the tables report why it cannot be read.
        return [_damage_finding(str(getattr(error.orig, "__cause__", None) or error.orig))]
    except (Busy, DBAPIError, OSError):
        return []
    return _check_mode(path, settings) if reason == "ok" else [_damage_finding(reason)]


def _damage_finding(reason: str) -> Finding:
    return Finding(
        "tallied.E025",
        f"The database's file is damaged ({' '.join(reason.split())}).",
        "Stop every server on it, keep a copy of it and of its -wal file, and restore a backup; or"
        " save what can be read, by sqlite3's .recover.",
    )


def _check_mode(path: str, settings: Settings) -> list[Finding]:
    mode = os.stat(path).st_mode & 0o777
    if settings.environment != "production" or not mode & _OTHERS:
        return []
    return [
        Finding(
            "tallied.W015",
            f"Other users of this machine may open the database's file (its mode is {mode:04o}).",
            "Run chmod 0600 on it; Tallied creates a file with that mode.",
        )
    ]
