"""What an error of the database means: to be tried again, too busy, an outage, or a fault.

Errors are told apart by their SQLSTATE (PostgreSQL documentation, appendix A), by its class
where all of a class mean the same; by SQLite's names (sqlite.org/rescode.html); and by where
they were raised: whatever fails while a connection is opened is an outage. An error that is
none of these, such as 25P02, which follows from another error, is a fault in the code that
executed the statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from traceback import walk_tb

from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import Pool

from ..errors import Busy, OutcomeUnknown, Unavailable
from ..logs.errors import log_outage
from .drivers import asyncpg

BUSY = "The database is busy with other changes; send the same request again."
SLOW = "The database stopped a statement that took too long; send the same request again."
LOST = "The database cannot be reached at present; send the same request again later."
READ_ONLY = "The database may only be read at present; send the same request again later."
FULL = "The database has no room for more at present; send the same request again later."
FAILING = "The database cannot read or write its files; send the same request again later."
UNKNOWN = (
    "The database was lost while the change was committed: it may or may not have been made; look"
    " before you send it again."
)


class Repeat(Enum):
    """When a unit of work that has failed is run again."""

    NEVER = "never"
    ONCE = "once, on another connection"
    CONFLICT = "as often as it may be"
    OUTAGE = "until the patience has ended"


@dataclass(frozen=True)
class Failure:
    """What an error of the database means.

    :param error: what is raised in its place in the end.
    :param message: the sentence of that.
    """

    error: type[Busy | Unavailable]
    message: str
    repeat: Repeat = Repeat.NEVER

    def as_error(self) -> Busy | Unavailable:
        """Return what to raise."""
        return self.error(self.message)


CONFLICT = Failure(Busy, BUSY, Repeat.CONFLICT)
OUTAGE = Failure(Unavailable, LOST, Repeat.OUTAGE)
NO_CONNECTION = Failure(Busy, BUSY)
NO_ROOM = Failure(Unavailable, FULL)
BROKEN = Failure(Unavailable, FAILING)
# A connection keeps being read-only, where it was opened while the database was.
READ_ONLY_NOW = Failure(Unavailable, READ_ONLY, Repeat.ONCE)

_BY_SQLSTATE = {
    "08": OUTAGE,  # connection exceptions
    "25006": READ_ONLY_NOW,  # read_only_sql_transaction
    "25P03": OUTAGE,  # idle_in_transaction_session_timeout
    "25P04": OUTAGE,  # transaction_timeout
    "40": CONFLICT,  # serialization failures, deadlocks
    "42501": Failure(Unavailable, READ_ONLY),  # insufficient_privilege, as of a reading role
    "53": NO_ROOM,  # insufficient resources: disk_full, out_of_memory
    "53300": NO_CONNECTION,  # too_many_connections
    "55P03": Failure(Busy, BUSY),  # lock_not_available
    "57": OUTAGE,  # operator intervention: a server that stops, or starts
    "57014": Failure(Busy, SLOW),  # query_canceled, as by statement_timeout
    "58": BROKEN,  # system errors, such as io_error
}
"""By a whole SQLSTATE, or by the class that is its first two characters."""

_BY_SQLITE_NAME = {
    "SQLITE_BUSY": CONFLICT,
    "SQLITE_CANTOPEN": BROKEN,
    "SQLITE_CORRUPT": BROKEN,
    "SQLITE_FULL": NO_ROOM,
    "SQLITE_IOERR": BROKEN,
    "SQLITE_NOMEM": NO_ROOM,
    "SQLITE_NOTADB": BROKEN,
    "SQLITE_PROTOCOL": CONFLICT,
    "SQLITE_READONLY": READ_ONLY_NOW,
}
"""By a primary result code; extended ones have it at their beginning."""


_OF_DRIVERS = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)
"""What asyncpg raises besides where it opens a connection; a TimeoutError is an OSError."""


def classify(error: BaseException) -> Failure | None:
    """Return what an error means; None for one that is not a failure of the database."""
    if isinstance(error, PoolTimeoutError):
        return NO_CONNECTION
    if isinstance(error, PendingRollbackError):
        # The connection was lost before, and the code that got that error went on.
        return OUTAGE if error.code == "8s2b" else None
    if isinstance(error, DBAPIError):
        failure = _by_sqlstate(error) or _by_sqlite_name(error)
        if failure is not None or not (error.connection_invalidated or _is_of_opening(error)):
            return failure
        return OUTAGE
    if isinstance(error, _OF_DRIVERS) and _is_of_opening(error):  # SQLAlchemy 2.0 does not wrap it.
        return _by_sqlstate(error) or OUTAGE
    return None


def translate(failure: Failure, error: Exception) -> Busy | Unavailable:
    """Return what to raise for `error` in the end, which is logged if it is an outage."""
    raised = failure.as_error()
    if isinstance(raised, Unavailable):
        log_outage(error)
    return raised


def asks_for_retry(error: DBAPIError) -> bool:
    """Return whether the unit as a whole may succeed when it is run again at once."""
    failure = classify(error)
    return failure is not None and failure.repeat is Repeat.CONFLICT


def is_outcome_unknown(error: BaseException) -> bool:
    """Return whether a commit that ended with `error` may have been made.

    The server has told of any other error that there was no commit. asyncpg raises
    an InterfaceError where a connection was closed before the COMMIT could be sent.
    """
    if not isinstance(error, DBAPIError) or error.statement is not None:
        return False
    if _sqlite_name(error).startswith("SQLITE_IOERR"):
        return True
    cause = driver_error(error)
    return (
        error.connection_invalidated
        and not isinstance(cause, asyncpg.InterfaceError)
        and not _is_of_opening(error)
    )


def unknown_outcome() -> OutcomeUnknown:
    """Return what to raise for a commit that may or may not have been made."""
    return OutcomeUnknown(UNKNOWN)


def _by_sqlstate(error: BaseException) -> Failure | None:
    """Return what the error's SQLSTATE means, or that of what has caused it."""
    cause: BaseException | None = driver_error(error)
    failure = None
    while cause is not None:
        state = getattr(cause, "sqlstate", None) or ""
        # The cause of a lost connection, if there is one, says more than the loss.
        failure = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2]) or failure
        cause = cause.__cause__
    return failure


def _by_sqlite_name(error: DBAPIError) -> Failure | None:
    if not isinstance(error, OperationalError) and not is_damaged(error):
        return None
    primary = "_".join(_sqlite_name(error).split("_")[:2])
    return _BY_SQLITE_NAME.get(primary)


def is_damaged(error: DBAPIError) -> bool:
    """Return whether SQLite's file is damaged or no database: Python tells it by a wider class."""
    return _sqlite_name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def is_read_only(error: DBAPIError) -> bool:
    """Return whether a change was refused since the database, or its role, may only read."""
    failure = classify(error)
    return failure is not None and failure.message == READ_ONLY


def is_disk_full(error: BaseException) -> bool:
    """Return whether there is no space left: PostgreSQL's disk_full, and SQLITE_FULL.

    :param error: the driver's or the dialect's own.
    """
    return getattr(error, "sqlstate", None) == "53100" or _sqlite_name(error) == "SQLITE_FULL"


def _sqlite_name(error: BaseException) -> str:
    causes = (error, getattr(error, "orig", None), error.__cause__, driver_error(error))
    names = (getattr(cause, "sqlite_errorname", None) for cause in causes)
    return next((str(name) for name in names if name), "")


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error, which SQLAlchemy and its dialect wrap, or `error` itself."""
    original = getattr(error, "orig", None)
    if original is None:
        return error
    cause: BaseException = original.__cause__ or original
    return cause


def _is_of_opening(error: BaseException) -> bool:
    """Return whether it was raised while a pool opened a connection.

    The drivers raise ConnectionError, TimeoutError and others of Python's then, and so may a
    hook for a reason of its own.
    """
    pool = Pool.__module__
    return any(f.f_globals.get("__name__") == pool for f, _ in walk_tb(error.__traceback__))
