"""The file that a development server keeps beside its database: the secret of its tokens.

To try things out, no secret is needed: the server creates one, and ``tallied token`` reads it.
The file also tells the other commands that the database was last served for development. A
production server removes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..database.urls import parse_url
from ..errors import ConfigurationError
from ..settings import SETTINGS, Settings


def file_of(settings: Settings) -> Path | None:
    """Return the file of the secret for a database; None for a database in memory.

    For SQLite, it is beside the database; for PostgreSQL, among the user's state files (XDG Base
    Directory Specification).
    """
    try:
        url = parse_url(settings.database)
    except ConfigurationError:
        return None
    if url.get_backend_name() == "sqlite":
        name = url.database or ":memory:"
        in_memory = name == ":memory:" or url.query.get("mode") == "memory"
        return None if in_memory or name.startswith("file:") else Path(f"{name}.development")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    # The same for every client: the host may be a socket's folder, given as a parameter.
    host, port = (url.query.get(name) for name in ("host", "port"))
    place = f"{host or url.host}:{port or url.port or 5432}/{url.database}"
    return Path(home, "tallied", f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.development")


def is_development(settings: Settings) -> bool:
    """Return whether the database was last served for development."""
    file = file_of(settings)
    return file is not None and file.is_file()


def with_secret(settings: Settings) -> Settings:
    """Return the settings, with a secret if they are for development and have none.

    The first call creates it, unless the server has a secret of its own.

    :raises ConfigurationError: if the secret cannot be stored.
    """
    file = file_of(settings)
    if settings.environment != "development" or settings.secret or file is None:
        return settings
    try:
        if not file.exists():
            _create(file, secrets.token_urlsafe(32))
        return replace(settings, secret=file.read_text("ascii"))
    except (OSError, UnicodeDecodeError, ConfigurationError) as error:
        raise _unusable(file) from error


def begin(settings: Settings) -> Settings:
    """Return the settings that a server starts with, and record its environment.

    :raises ConfigurationError: if the secret for development cannot be stored.
    """
    file = file_of(settings)
    if file is None:
        return settings
    if settings.environment != "development":
        with suppress(OSError):
            file.unlink()
        return settings
    has_own = bool(settings.secret)
    try:
        if file.is_file() and (file.stat().st_size == 0) is not has_own:
            file.unlink()
        if has_own:  # The file records only that there is a secret.
            _create(file, "")
    except OSError as error:
        raise _unusable(file) from error
    return with_secret(settings)


def _create(file: Path, content: str) -> None:
    """Write a file that only its owner can read, unless another process was first."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.name}.") as fresh:  # mode 0600
        fresh.write(content)
        fresh.flush()
        with suppress(FileExistsError):
            os.link(fresh.name, file)


def _unusable(file: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The secret for development cannot be kept in {file}; make that file readable and its"
        f" folder writable, or set {SETTINGS['secret']}."
    )
