"""Errors in the log: without the values of users, and an outage in one line.

SQLAlchemy's message has the parameters of the statement, unless its engine hides them, and those of
drivers quote values: ``Key (email)=(…) already exists``, ``Failing row contains (…)``, ``invalid
input syntax for type integer: "…"``. What is left here names the error, its SQLSTATE, tables,
columns and constraints, and the statement with its placeholders.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping

from graphql import GraphQLError
from sqlalchemy.exc import SQLAlchemyError, StatementError

logger = logging.getLogger("tallied")

MAX_ERROR_LENGTH = 4000
"""The most characters of an error and its traceback."""

MAX_STATEMENT_LENGTH = 1000
"""The most characters of a statement in an error."""

OMISSION = "the message is left out, since it may quote a value"

OUTAGE_SECONDS = 10.0
"""The minimum of seconds between two lines about a database that does not respond."""

_DRIVERS = {"asyncpg", "psycopg", "psycopg2", "aiosqlite", "sqlite3"}

_QUOTING_CLASSES = ("22", "P0")
"""The classes of SQLSTATE whose messages quote values: data exceptions, and PL/pgSQL's RAISE."""

_QUOTATION = re.compile(r"\[parameters: |\n *DETAIL: |Original exception was: ")
"""Where a message begins to quote: that of SQLAlchemy's PendingRollbackError, or one that a host
has made of a database's."""


def log_error(
    log: logging.Logger,
    message: str,
    *arguments: object,
    error: BaseException,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Log an unexpected error with its traceback, and without the values of users.

    The messages of database errors are changed in place, so that whatever formats the record, such
    as a host's own handlers, has nothing to leak.

    :param fields: further attributes of the record.
    """
    redact(error)
    log.error(message, *arguments, exc_info=error, extra=fields)


def redact(error: BaseException) -> None:
    """Remove the values of users from the messages of an error, its causes and its parts."""
    for member, is_below_driver in list(_walk(error)):
        if isinstance(member, StatementError):
            _redact_statement(member)
        elif _is_of_driver(member):
            _set_message(member, _describe(member))
        elif is_below_driver and not isinstance(member, SQLAlchemyError | OSError):
            # What a type has found wrong with a value, such as "invalid UUID 'x'".
            _set_message(member, OMISSION)
        else:
            _cut_quotations(member)


def format_error(error: BaseException) -> str:
    """Return an error and its traceback, without the middle if it is long."""
    redact(error)
    text = "".join(traceback.format_exception(error)).rstrip()
    if len(text) <= MAX_ERROR_LENGTH:
        return text
    head, tail = text[: MAX_ERROR_LENGTH // 4], text[-MAX_ERROR_LENGTH * 3 // 4 :]
    omitted = len(text) - len(head) - len(tail)
    return f"{head}\n… {omitted} characters left out …\n{tail}"


class OutageLog:
    """Write lines about a database that does not respond, at a limited rate.

    :param seconds: between two lines.
    :param clock: returns seconds that never go back.
    """

    def __init__(
        self, seconds: float = OUTAGE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = float("-inf")
        self._omitted = 0

    def write(self, error: BaseException) -> None:
        """Write the line, or count the error into the next one."""
        now = self._clock()
        if now < self._next:
            self._omitted += 1
            return
        redact(error)
        omitted, self._omitted = self._omitted, 0
        self._next = now + self._seconds
        suffix = f"; {omitted} more since the line before" if omitted else ""
        logger.error("The database cannot be used (%s)%s.", _first_line(error), suffix)


_outages = OutageLog()


def log_outage(error: BaseException) -> None:
    """Log an error of a connection to the database: at most one line every 10 seconds a process.

    The errors in between are counted, and the next line has their number.
    """
    _outages.write(error)


def _walk(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """Yield all errors that a traceback prints, and whether each comes from a driver's error."""
    pending, met = [(error, False)], set()
    while pending:
        member, is_below = pending.pop()
        if id(member) in met:
            continue
        met.add(id(member))
        yield member, is_below
        is_below = is_below or isinstance(member, StatementError) or _is_of_driver(member)
        parts = (member.__context__, *getattr(member, "exceptions", ()))
        pending += [(part, False) for part in parts if isinstance(part, BaseException)]
        causes = (member.__cause__, getattr(member, "orig", None))
        pending += [(cause, is_below) for cause in causes if isinstance(cause, BaseException)]


def _is_of_driver(error: BaseException) -> bool:
    module = type(error).__module__
    return module.partition(".")[0] in _DRIVERS or module.startswith("sqlalchemy.dialects.")


def _redact_statement(error: StatementError) -> None:
    error.hide_parameters = True
    if error.statement and len(error.statement) > MAX_STATEMENT_LENGTH:
        error.statement = f"{error.statement[:MAX_STATEMENT_LENGTH]}…"
    cause = error.orig
    if cause is not None and not isinstance(cause, SQLAlchemyError):
        message = _describe(cause) if _is_of_driver(cause) else OMISSION
        error.args = (f"({_name(cause)}) {message}",)


def _cut_quotations(error: BaseException) -> None:
    """Remove what another error's message quotes of a database or of a document."""
    if isinstance(error, GraphQLError):
        error.nodes = error.source = None  # It prints the lines of the document.
    elif len(error.args) == 1 and isinstance(error.args[0], str):
        message = _QUOTATION.split(error.args[0])[0]
        if message != error.args[0]:
            error.args = (f"{message}…",)


def _describe(error: BaseException) -> str:
    """Return the message of a driver's error without values."""
    driver_error = getattr(error, "orig", None) or error
    sqlstate = getattr(driver_error, "sqlstate", None)
    state = f"[SQLSTATE {sqlstate}]" if sqlstate else ""
    # asyncpg's DataError is a ValueError: it finds a parameter to be of another type.
    quotes = isinstance(driver_error, ValueError) or type(driver_error).__name__ == "DataError"
    if quotes or str(sqlstate or "").startswith(_QUOTING_CLASSES):
        return f"{OMISSION} {state}".rstrip()
    message = _first_line(error, with_name=False).removesuffix(state).rstrip()
    return f"{message} {state}".rstrip()


def _set_message(error: BaseException, message: str) -> None:
    error.args = (message,)
    # asyncpg prints them behind the message.
    for name in ("detail", "hint"):
        if isinstance(getattr(error, name, None), str):
            setattr(error, name, None)


def _first_line(error: BaseException, with_name: bool = True) -> str:
    message = str(error.args[0]) if error.args else ""
    if isinstance(error, OSError):
        message = str(error)
    line = message.strip().partition("\n")[0]
    return f"{_name(error)}: {line}".removesuffix(": ") if with_name else line


def _name(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
