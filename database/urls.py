"""Database URLs: as SQLAlchemy writes them, and as hosts hand them out.

Hosts give PostgreSQL's addresses as libpq reads them (PostgreSQL documentation, section
34.1.1): ``postgres://USER:PASSWORD@HOST/DATABASE?sslmode=require``. asyncpg has other
names for some of the parameters, and refuses those that it does not know.
"""

from __future__ import annotations

import re
import shlex
import ssl
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import ConfigurationError
from ..extras import require

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_SYNCHRONOUS = frozenset({"sqlite+pysqlite", "postgresql+psycopg"})
"""The drivers of a host's synchronous sessions, in whose URLs Tallied uses its own."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
REMEDY = "use sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE."

_IGNORED = frozenset({"channel_binding", "connect_timeout", "application_name"})
"""What hosts append, and asyncpg has no parameter for; none of it changes what is stored."""

_NUMBERS: dict[str, type[int] | type[float]] = {
    "command_timeout": float,
    "max_cacheable_statement_size": int,
    "max_cached_statement_lifetime": int,
    "prepared_statement_cache_size": int,
    "statement_cache_size": int,
    "timeout": float,
}
"""asyncpg's parameters that are numbers, and SQLAlchemy's; in a URL all are texts."""

_TEXTS = frozenset(
    {"host", "port", "user", "password", "passfile", "database", "ssl", "target_session_attrs"}
    | {"krbsrvname", "gsslib", "service", "servicefile"}
)
"""asyncpg's parameters that are texts, and go to it as they are."""

_CERTIFICATES = ("sslrootcert", "sslcert", "sslkey")
"""libpq's files for TLS, which asyncpg takes as an ``SSLContext``."""

POOLER = "pgbouncer"
"""Prisma's parameter, which says whether a pooler lends its sessions for a transaction each."""

_FILE = re.compile(r"[\w./ -]+\.(?:db|sqlite|sqlite3)")
"""A path of an SQLite file; a DSN or a URL, which may have a password, is none."""

_SETTING = re.compile(r"(?:-c|--)?([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
"""One setting of libpq's ``options``, such as ``-csearch_path=public``."""


def parse_url(text: str) -> URL:
    """Return the SQLAlchemy URL of `text`, with the asynchronous driver filled in.

    For PostgreSQL, libpq's ``sslmode`` becomes asyncpg's ``ssl``.

    :raises ConfigurationError: for any other URL than one of SQLite or PostgreSQL with its driver.
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
        if _FILE.fullmatch(text):
            raise ConfigurationError(
                f"{text!r} is not a URL; for an SQLite file, use sqlite+aiosqlite:///{text}."
            ) from error
        raise ConfigurationError(f"The database URL cannot be read; {REMEDY}") from error
    if "@" in (url.host or ""):  # of which any part may be the password's, so none is shown
        raise ConfigurationError("The database URL has an @ in its password; write it as %40.")
    driver = DRIVERS.get(url.get_backend_name())
    names = {driver, url.get_backend_name(), *_SYNCHRONOUS}
    if driver is None or url.drivername not in names:
        raise ConfigurationError(
            f"The database URL names {url.drivername!r}, which Tallied cannot use; {REMEDY}"
        )
    require(driver.partition("+")[0], "The database URL")
    url = url.set(drivername=driver)
    return _for_asyncpg(url) if url.get_backend_name() == "postgresql" else url


def shell_argument(text: str) -> str | None:
    """Return a URL as people type it in a shell; None if it may have a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return None
    is_open = url.get_backend_name() == "sqlite" and url.password is None
    return shlex.quote(text) if is_open else None


def check_url(url: URL) -> URL:
    """Return the URL of an engine if Tallied can use it.

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
    url = url.set(query=query)
    split_url(url)  # or the driver would report the fault at the first connection
    return url


def split_url(url: URL) -> tuple[URL, dict[str, Any]]:
    """Split a URL of :func:`parse_url` into one for the engine, and the driver's own arguments.

    :raises ConfigurationError: for a parameter that cannot be used.
    """
    if url.get_backend_name() != "postgresql":
        return url, {}
    texts: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for name, value in url.query.items():
        if name in _TEXTS:
            texts[name] = value
        elif name in _NUMBERS:
            arguments[name] = _number(name, value)
        elif name == "options":
            arguments["server_settings"] = _server_settings(str(value))
        elif name not in (POOLER, *_CERTIFICATES):
            raise ConfigurationError(
                f"The database URL has the parameter {name!r}, which cannot be used with asyncpg; "
                f"leave it out."
            )
    is_pooled(url)
    if context := _ssl_context(url.query):
        arguments["ssl"] = context
        texts.pop("ssl", None)
    return url.set(query=texts), arguments


def is_pooled(url: URL) -> bool | None:
    """Return whether the URL says that transactions are pooled; None where it says nothing.

    :raises ConfigurationError: where it says something else than true or false.
    """
    value = url.query.get(POOLER)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise ConfigurationError(
            f"The database URL's {POOLER} must be true or false, not {value!r}."
        )
    return value == "true"


def _number(name: str, value: Any) -> float:
    kind = _NUMBERS[name]
    number: float
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < float("inf"):
        raise ConfigurationError(
            f"The database URL's {name} must be a {'whole ' if kind is int else ''}number from 0"
            f" on, not {value!r}."
        )
    return number


def _server_settings(options: str) -> dict[str, str]:
    try:
        words = re.sub(r"(^|\s)-c\s+", r"\1-c", options)
        settings = [_SETTING.fullmatch(word) for word in shlex.split(words)]
    except ValueError:
        settings = [None]
    if None in settings:
        raise ConfigurationError(
            f"The database URL's options must be settings like -csearch_path=public, not"
            f" {options!r}."
        )
    return {match[1]: match[2] for match in settings if match}


def _ssl_context(query: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return how the server's certificate is verified, as libpq does where a root is given."""
    files = {name: str(query[name]) for name in _CERTIFICATES if name in query}
    mode = query.get("ssl")
    if not files or mode not in ("require", "verify-ca", "verify-full"):
        return None  # which libpq neither encrypts for certain nor verifies
    root = files.get("sslrootcert")
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
        context.check_hostname = mode == "verify-full"
        if root is None and mode == "require":
            context.verify_mode = ssl.CERT_NONE
        if "sslcert" in files:
            context.load_cert_chain(files["sslcert"], files.get("sslkey"))
    except (OSError, ssl.SSLError) as error:
        names = " and ".join(files)
        raise ConfigurationError(
            f"The database URL's {names} cannot be used ({error.strerror or 'no certificate'});"
            f" name files in PEM format."
        ) from error
    return context
