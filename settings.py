"""The settings, read once.

A host passes a :class:`Settings` of its own; the server on its own reads the
environment with :meth:`Settings.from_environ`, one ``TALLIED_*`` variable for each
field. A value that cannot be used raises
:class:`~tallied.errors.ConfigurationError`, which names the setting and what is
allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, get_args

from .errors import ConfigurationError

Environment: TypeAlias = Literal["development", "production"]
Guests: TypeAlias = Literal["read", "write", "moderate"]
LogFormat: TypeAlias = Literal["text", "json"]

MESSAGE_LENGTHS = range(1, 100_001)
"""How many characters a comment may be allowed to have."""

ANY_ORIGIN = "*"
"""What stands for every origin in the setting ``origins``."""

ANY_HOST = "*"
"""The item of the setting ``allowed_hosts`` that stands for every name."""

SECRET_SIZE = 32
"""The fewest bytes of a secret: as many as HS256 makes."""


@dataclass(frozen=True)
class Settings:
    """What can be set, with the defaults."""

    database: str = "sqlite+aiosqlite:///tallied.db"
    """The database's URL, as SQLAlchemy writes it; SQLite or PostgreSQL."""

    database_schema: str = ""
    """The schema of a PostgreSQL database that Tallied's tables are in: up to 63 letters, digits
    and ``_``; by default, the one that the connections look into."""

    database_wait: int = 0
    """The seconds for which the server and the commands wait, as they start, for a PostgreSQL that
    does not answer yet, 0 (not at all) to 3600."""
    pool_size: int = 12
    """How many connections to the database a server process has at most, 2 to 1000."""

    host: str = "127.0.0.1"
    """The address that the server listens on."""

    port: int = 8000
    """The port that the server listens on, 1 to 65535."""

    workers: int = 1
    """How many server processes share the port, 1 to 64."""

    page_size: int = 100
    """The most rows that one page of a connection may ask for, 1 to 1000."""

    body_size: int = 1_048_576
    """The most bytes that the body of a request may have, 1 KiB to 1 GiB."""

    header_size: int = 32_768
    """The most bytes that the line and the headers of a request may have, 1 KiB to 1 MiB."""

    header_time: int = 10
    """The seconds that a client may take to send a request's headers, 1 to 3600."""

    body_time: int = 20
    """The seconds that a client may take to send a request's body, 1 to 3600."""

    concurrent_requests: int = 100
    """How many GraphQL requests a server process executes at once, 1 to 10000."""

    concurrent_sockets: int = 500
    """How many WebSockets a server process holds open at once, 1 to 100000."""

    sockets_per_address: int = 250
    """How many of them one client address may have, 1 to 100000; an IPv6 network of 64 bits is one
    address."""

    connections_per_address: int = 250
    """How many connections a server process holds open for HTTP at once with one address that is
    no trusted proxy's, 1 to 100000."""

    socket_operations: int = 50
    """The most operations that one WebSocket may have under way at once, 1 to 1000."""

    origins: str = ""
    """The origins whose pages may use the API, beside the server's own, such as
    ``https://forum.example``; parted by commas, or ``*`` for any. Inside a host's application it
    holds for WebSockets, and what pages may do over HTTP is up to the host's own middleware."""

    allowed_hosts: str = ""
    """The names by which the server may be addressed (the ``Host`` header), such as
    ``forum.example``; separated by commas. ``*.forum.example`` is any name below it, and ``*`` any
    name at all. By default, see :class:`~tallied.transport.allowed_hosts.HostGuard`."""

    execution_time: int = 10
    """The seconds that one GraphQL request may be executed for, 1 to 3600."""

    cache_time: int = 0
    """The seconds for which anyone may keep an anonymous answer by GET without asking, 0 to
    31536000; with 0, answers are kept, and asked about each time."""

    document_size: int = 100_000
    """The most characters that a GraphQL document may have, 1000 to 10000000."""

    persisted_documents: str = ""
    """The file of the documents that clients may name by an id, if there is one: a JSON object
    of documents by their ids, or a manifest as Apollo writes it."""

    only_persisted: bool = False
    """Whether nothing is executed but the documents of that file."""

    automatic_documents: int = 1_000_000
    """How many characters of automatically persisted documents are kept, 0 (none) to
    1000000000; the least lately used make room."""

    document_tokens: int = 5000
    """The most lexical tokens that a GraphQL document may have, 100 to 1000000."""

    document_fields: int = 500
    """The most fields that a document may have, its fragments spread out, 50 to 100000."""

    document_depth: int = 15
    """How many fields deep a document may be nested, 5 to 100."""

    document_aliases: int = 30
    """The most aliases that a document may have, 0 to 100000."""

    document_root_fields: int = 20
    """How often an operation may have the same root field, under aliases, 1 to 10000."""

    document_fragments: int = 50
    """The most fragments that a document may define, 0 to 10000."""

    document_directives: int = 50
    """The most directives that a document may have, 0 to 10000."""

    document_operations: int = 20
    """The most operations that a document may have, 1 to 10000."""

    introspection_depth: int = 15
    """How many fields deep an introspection may be nested, 5 to 100."""

    operation_cost: int = 20_000
    """The most nodes that an operation may reach, 100 to 10000000."""

    answer_size: int = 10_485_760
    """The most bytes that an answer may have, 64 KiB to 1 GiB."""

    transaction_attempts: int = 30
    """How often a unit of work is run at most, while the database asks for that, 1 to 100."""

    playground: bool = True
    """Whether a browser that opens ``/graphql`` is shown the playground."""

    introspection: bool = True
    """Whether clients may ask for the schema: by introspection, and as a file."""

    environment: Environment = "production"
    """What the server is for: ``development``, or ``production``, where ``tallied check`` and
    the start warn of what is only for trying things out."""

    log_format: LogFormat = "text"
    """What ``tallied serve`` logs: ``text``, lines for people; or ``json``, an object a line."""

    guests: Guests = "read"
    """What those may do who have not signed in: ``read``; ``write`` threads and comments, too; or
    ``moderate``, which is everything, for trying things out."""

    message_length: int = 10_000
    """The most characters that a comment may have, 1 to 100000."""

    secret: str = field(default="", repr=False)
    """What the tokens of viewers are signed with: 32 random bytes or more. Without it, no
    token is accepted, and everybody is a guest; but a server on its own makes one in
    development."""

    previous_secret: str = field(default="", repr=False)
    """The secret before this one, whose tokens are accepted until they expire."""

    def __post_init__(self) -> None:
        _check_secrets(self.secret, self.previous_secret)
        _check_origins(self.origins)
        _check_hosts(self.allowed_hosts)
        if self.database_schema and not re.fullmatch(
            "[A-Za-z_][A-Za-z0-9_]{0,62}", self.database_schema
        ):
            raise ConfigurationError(
                f"{named('database_schema')} must be up to 63 letters, digits and _,"
                f" not {self.database_schema!r}."
            )
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{named(name)} must be {' or '.join(allowed)}, not {getattr(self, name)!r}."
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(
                    f"{named(name)} must be a whole number from {low} to {high}, not {value!r}."
                )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the ``TALLIED_*`` variables of `environ`.

        :raises ConfigurationError: for a value that cannot be used.
        """
        values: dict[str, str | int | bool] = {}
        for setting in fields(cls):
            name, text = setting.name, environ.get(_variable(setting.name), "").strip()
            if not text:
                continue
            if name in _RANGES:
                values[name] = _whole(name, text)
            else:
                values[name] = _switch(name, text) if setting.type == "bool" else text
        return cls(**values)  # type: ignore[arg-type]


_RANGES = {
    "database_wait": (0, 3600),
    "pool_size": (2, 1000),
    "port": (1, 65535),
    "workers": (1, 64),
    "page_size": (1, 1000),
    "body_size": (1024, 2**30),
    "header_size": (1024, 2**20),
    "header_time": (1, 3600),
    "body_time": (1, 3600),
    "concurrent_requests": (1, 10_000),
    "concurrent_sockets": (1, 100_000),
    "sockets_per_address": (1, 100_000),
    "connections_per_address": (1, 100_000),
    "socket_operations": (1, 1000),
    "execution_time": (1, 3600),
    "cache_time": (0, 31_536_000),
    "document_size": (1000, 10_000_000),
    "automatic_documents": (0, 1_000_000_000),
    "document_tokens": (100, 1_000_000),
    "document_fields": (50, 100_000),
    "document_depth": (5, 100),
    "document_aliases": (0, 100_000),
    "document_root_fields": (1, 10_000),
    "document_fragments": (0, 10_000),
    "document_directives": (0, 10_000),
    "document_operations": (1, 10_000),
    "introspection_depth": (5, 100),
    "operation_cost": (100, 10_000_000),
    "answer_size": (65_536, 2**30),
    "transaction_attempts": (1, 100),
    "message_length": (MESSAGE_LENGTHS[0], MESSAGE_LENGTHS[-1]),
}

_CHOICES = {
    "environment": get_args(Environment),
    "guests": get_args(Guests),
    "log_format": get_args(LogFormat),
}


_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


def _variable(name: str) -> str:
    return f"TALLIED_{name.upper()}"


def named(name: str) -> str:
    """A setting as those know it who set a variable, and as those who write ``Settings(...)``."""
    return f"{_variable(name)} (Settings.{name})"


def assigned(name: str, value: str | bool) -> str:
    """How to give a setting that value, in both ways."""
    text = str(value).lower() if isinstance(value, bool) else value
    return f"Settings({name}={value!r}) or {_variable(name)}={text}"


def _check_origins(origins: str) -> None:
    """Refuse what no browser names as the origin of a page (RFC 6454, section 7)."""
    names = listed(origins)
    if ANY_ORIGIN in names and len(names) > 1:
        raise ConfigurationError(
            f"{named('origins')} must be either {ANY_ORIGIN}, which is any origin, or a list of"
            f" origins; not {origins!r}."
        )
    for origin in names:
        if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(
                f"{named('origins')} must be origins like https://forum.example, in lower case"
                f" and parted by commas, without a path or the scheme's own port; not {origin!r}."
            )


_ORIGIN = re.compile(
    r"(?!http://.*:80$)(?!https://.*:443$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
"""As browsers send it: in lower case, and without the port that the scheme has anyway."""


def _check_hosts(hosts: str) -> None:
    """Refuse what no ``Host`` header names (RFC 9110, section 7.2)."""
    for host in listed(hosts):
        if host != ANY_HOST and not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{named('allowed_hosts')} must be names like forum.example, *.forum.example or"
                f" [::1], separated by commas and without a scheme, a port or a path, or"
                f" {ANY_HOST}, which is any name; not {host!r}."
            )


_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")


def listed(text: str) -> list[str]:
    """The items of a setting that is a list, parted by commas."""
    return [item for item in map(str.strip, text.split(",")) if item]


def _check_secrets(secret: str, previous: str) -> None:
    """Refuse what can be guessed, and never show it."""
    for name, value in (("secret", secret), ("previous_secret", previous)):
        if value and not is_strong(value):
            raise ConfigurationError(
                f"{named(name)} must be a text of at least {SECRET_SIZE} random bytes;"
                " take what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints."
            )
    if previous and not secret:
        raise ConfigurationError(
            f"{named('previous_secret')} is set and {named('secret')} is not; set both, or neither."
        )


def is_strong(secret: str) -> bool:
    """Whether `secret` is long and varied enough to sign with (RFC 7518, section 3.2).

    A random text of the least size, in hex digits too, passes all but certainly; a word
    or a short pattern, repeated, does not. Neither does a key of another algorithm: its
    public half is no secret.
    """
    if "-----BEGIN" in secret or secret.startswith(("{", "ssh-", "ecdsa-")):
        return False
    try:
        return len(secret.encode()) >= SECRET_SIZE and len(set(secret)) >= 8
    except UnicodeEncodeError:  # bytes of the environment that are no text
        return False


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ConfigurationError(f"{_variable(name)} must be true or false, not {text!r}.")
    return _SWITCHES[text.lower()]


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        low, high = _RANGES[name]
        raise ConfigurationError(
            f"{_variable(name)} must be a whole number from {low} to {high}, not {text!r}."
        )
    return int(text)
