"""Database URLs: as SQLAlchemy writes them, and as hosts hand them out.

Hosts give PostgreSQL's addresses as libpq reads them (PostgreSQL documentation, section
34.1.1): ``postgres://USER:PASSWORD@HOST/DATABASE?sslmode=require``. asyncpg has other
names for some of the parameters, and refuses those that it does not know.
"""

from __future__ import annotations

import inspect

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from .errors import ConfigurationError

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
REMEDY = "use sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE."

_IGNORED = frozenset({"channel_binding", "connect_timeout", "application_name", "pgbouncer"})
"""What hosts append, and asyncpg has no parameter for; none of it changes what is stored."""

_KNOWN = {"prepared_statement_cache_size", *inspect.signature(asyncpg.connect).parameters}


def parse_url(text: str) -> URL:
    """The SQLAlchemy URL of `text`, with the asynchronous driver filled in.

    For PostgreSQL, libpq's ``sslmode`` becomes asyncpg's ``ssl``.

    :raises ConfigurationError: for what is no URL of SQLite or PostgreSQL.
    """
    if not isinstance(text, str):
        hint = "; make it with create_async_engine" if isinstance(text, Engine) else ""
        raise ConfigurationError(
            "The database must be given as a URL, an AsyncEngine or a Database, not as"
            f" {type(text).__name__}{hint}."
        )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"The database URL cannot be read; {REMEDY}") from error
    driver = DRIVERS.get(url.get_backend_name())
    if driver is None or url.drivername not in (driver, url.get_backend_name()):
        raise ConfigurationError(
            f"The database URL names {url.drivername!r}, which Tallied cannot use; {REMEDY}"
        )
    url = url.set(drivername=driver)
    return _for_asyncpg(url) if url.get_backend_name() == "postgresql" else url


def check_url(url: URL) -> URL:
    """The URL of an engine that Tallied can use.

    :raises ConfigurationError: for another database, or another driver.
    """
    if url.drivername not in DRIVERS.values():
        raise ConfigurationError(
            f"The engine is one for {url.drivername!r}, which Tallied cannot use; {REMEDY}"
        )
    return url


def _for_asyncpg(url: URL) -> URL:
    query = {name: value for name, value in url.query.items() if name not in _IGNORED}
    mode = query.pop("sslmode", None)
    if mode is not None:
        if mode not in SSL_MODES:
            raise ConfigurationError(
                f"The database URL's sslmode must be one of {', '.join(SSL_MODES)}, not {mode!r}."
            )
        query.setdefault("ssl", mode)
    for name in query:
        if name not in _KNOWN:
            raise ConfigurationError(
                f"The database URL has the parameter {name!r}, which asyncpg does not know; "
                f"leave it out."
            )
    return url.set(query=query)
