"""The settings, read once.

A host passes a :class:`Settings` of its own; the server on its own reads the
environment with :meth:`Settings.from_environ`, one ``TALLIED_*`` variable for each
field. A value that cannot be used raises
:class:`~tallied.errors.ConfigurationError`, which names the variable and what is
allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from .errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """What can be set, with the defaults."""

    database: str = "sqlite+aiosqlite:///tallied.db"
    """The database's URL, as SQLAlchemy writes it; SQLite or PostgreSQL."""

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

    document_tokens: int = 5000
    """The most lexical tokens that a GraphQL document may have, 100 to 1000000."""

    transaction_attempts: int = 10
    """How often a unit of work is tried when the database asks for a retry, 1 to 100."""

    playground: bool = True
    """Whether a browser that opens ``/graphql`` is shown the playground."""

    introspection: bool = True
    """Whether clients may ask for the schema: by introspection, and as a file."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(
                    f"{_variable(name)} must be a whole number from {low} to {high}, not {value!r}."
                )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the ``TALLIED_*`` variables of `environ`.

        :raises ConfigurationError: for a value that cannot be used.
        """
        values: dict[str, str | int | bool] = {}
        for field in fields(cls):
            text = environ.get(_variable(field.name), "").strip()
            if not text:
                continue
            if field.name in _RANGES:
                values[field.name] = _whole(field.name, text)
            else:
                values[field.name] = _switch(field.name, text) if field.type == "bool" else text
        return cls(**values)  # type: ignore[arg-type]


_RANGES = {
    "port": (1, 65535),
    "workers": (1, 64),
    "page_size": (1, 1000),
    "body_size": (1024, 2**30),
    "document_tokens": (100, 1_000_000),
    "transaction_attempts": (1, 100),
}


_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


def _variable(name: str) -> str:
    return f"TALLIED_{name.upper()}"


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ConfigurationError(f"{_variable(name)} must be true or false, not {text!r}.")
    return _SWITCHES[text.lower()]


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        low, high = _RANGES[name]
        raise ConfigurationError(
            f"{_variable(name)} must be a whole number from {low} to {high}, not {text!r}."
        )
    return int(text)
