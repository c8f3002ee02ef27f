"""What can be set, and the secret that signs the sessions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "var"
"""Where things are kept by default; no part of the repository."""

SECRET_LENGTH = 32


class ConfigError(Exception):
    """A setting that cannot be used; the message names it."""


@dataclass(frozen=True)
class Config:
    """What can be set."""

    folder: Path
    """Where the database and what is secret are, unless they are given."""

    database: str
    """The database's URL: ``sqlite+aiosqlite:///FILE`` or ``postgresql+asyncpg://...``."""

    secret: str = field(repr=False)
    """What the session cookies are signed with."""

    https: bool = False
    """Whether browsers send the session cookie over HTTPS alone, as they should in public."""

    def __post_init__(self) -> None:
        if len(self.secret) < SECRET_LENGTH:
            raise ConfigError(
                f"MAGAZINE_SECRET must have at least {SECRET_LENGTH} characters; leave it out to"
                " have one made."
            )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Config:
        """Read ``MAGAZINE_FOLDER``, ``MAGAZINE_DATABASE``, ``MAGAZINE_SECRET``, ``MAGAZINE_HTTPS``.

        :raises ConfigError: for a value that cannot be used.
        """
        https = environ.get("MAGAZINE_HTTPS", "").lower() or "false"
        if https not in ("true", "false"):
            raise ConfigError(f"MAGAZINE_HTTPS must be true or false, not {https!r}.")
        folder = Path(environ.get("MAGAZINE_FOLDER") or FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            folder,
            environ.get("MAGAZINE_DATABASE") or f"sqlite+aiosqlite:///{folder / 'magazine.db'}",
            environ.get("MAGAZINE_SECRET") or read_or_create(folder / "secret"),
            https=https == "true",
        )


def read_or_create(path: Path) -> str:
    """Return a random text that is created on first use and readable by its owner only."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(SECRET_LENGTH))
    except FileExistsError:
        pass
    return path.read_text("utf-8").strip()
