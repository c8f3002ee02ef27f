"""The sentences for a database that cannot be used: its address, the reason and the remedy.

None of them contains a password.
"""

from __future__ import annotations

import ssl

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from ..errors import Busy, ConfigurationError, Unavailable
from .failures import driver_error

CONNECT_TIMEOUT = 10.0
"""Seconds that PostgreSQL has to accept a connection."""

_REMEDIES = {
    "sqlite": "check that it is an SQLite file in a folder that is there and may be written to, or"
    " restore a backup of it",
    "postgresql": "check that it runs, and the URL's user, password, host, port and database",
}


def unreachable_error(error: Exception, url: URL) -> ConfigurationError:
    """Return the error for a database that cannot be used."""
    return ConfigurationError(
        f"The database at {display_url(url)} does not answer ({describe_reason(error, url)});"
        f" {_REMEDIES[url.get_backend_name()]}."
    )


def failed_error(error: Exception, url: URL) -> ConfigurationError:
    """Return the error for a database that has failed while it was used."""
    return ConfigurationError(
        f"The database at {display_url(url)} has failed: {describe_reason(error, url)}."
    )


def explain(error: Exception, url: URL) -> ConfigurationError:
    """Return the error of the two above that describes `error`."""
    return (failed_error if has_refused_statement(error) else unreachable_error)(error, url)


def has_refused_statement(reported: BaseException) -> bool:
    """Return whether the database is there and has refused a statement."""
    error = database_error(reported)
    return (
        isinstance(error, DBAPIError)
        and error.statement is not None
        and not error.connection_invalidated
    )


def display_url(url: URL) -> str:
    """Return the URL without the parts that may be secret."""
    query = {key: url.query[key] for key in ("host", "port") if key in url.query}
    return url.set(query=query).render_as_string(hide_password=True)


def database_error(error: BaseException) -> BaseException:
    """Return the database's own error if `error` was raised in its place."""
    return error.__cause__ or error if isinstance(error, Busy | Unavailable) else error


def describe_reason(error: BaseException, url: URL) -> str:
    cause = driver_error(database_error(error))
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:.0f} seconds"
    reason = (" ".join(str(cause).split()) or type(cause).__name__).rstrip(".")
    for secret in (url.password, url.query.get("password")):
        if secret:
            reason = reason.replace(str(secret), "***")
    return reason


def may_be_starting(error: Exception) -> bool:
    """Return whether the database may be starting, and its address is not at fault.

    A refused connection, a name that is not resolved, and PostgreSQL's class 08 and 57P01 to
    57P03, as while it starts (Appendix A).
    """
    cause = driver_error(database_error(error))
    if isinstance(cause, OSError):  # TimeoutError is one, too
        return not isinstance(cause, ssl.SSLError | PermissionError)
    state = str(getattr(cause, "sqlstate", None) or "")
    return state.startswith("08") or state in ("57P01", "57P02", "57P03")
