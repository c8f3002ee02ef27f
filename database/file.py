"""The file of an SQLite database: readable by its owner only, and never replaced.

An open connection goes on with the file that it has opened, whatever happens to the name: what
it commits is lost with a file that was removed, and the write-ahead log that it leaves beside a
file that was put in the place spoils that one (sqlite.org/howtocorrupt.html, sections 2.4 and 4).
So the names are compared with what they stood for at the start.

Only by ``stat``: a process that opens and closes the file by other means than SQLite loses all of
SQLite's locks on it (the same page, section 2.2).
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode, urlsplit
from weakref import WeakSet

from sqlalchemy import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from ..errors import Unavailable

logger = logging.getLogger("tallied")

Identity: TypeAlias = tuple[int, int] | None
"""The device and the inode; None where there is no file."""

REPLACED = (
    "The database's file was removed or replaced while the server ran, so nothing is written any"
    " more; restart the server."
)


UNREACHABLE = "The database's file cannot be reached at present; send the same request again later."


class DatabaseFile:
    """The file of one database, and the connections that are open to it.

    :param path: where it is, absolute; None until a connection says so (:meth:`add`).
    :param query: the further parameters of its URI (sqlite.org/uri.html).
    """

    def __init__(self, path: str | None = None, query: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._query = query or {}
        self._identity: Identity = None
        self._companions: dict[str, Identity] = {}
        """SQLite's write-ahead log and its index, which stay while a connection is open."""
        self._connections: WeakSet[object] = WeakSet()
        self._is_lost = False
        self._checked = -math.inf
        self.when_lost: Callable[[], object] = lambda: None
        """Called once, when a check first fails."""

    @property
    def uri(self) -> str:
        """Return the URI that opens the file and never makes one."""
        assert self.path is not None
        return f"{Path(self.path).as_uri()}?{urlencode(self._query, quote_via=quote)}"

    @property
    def is_there(self) -> bool:
        """Return whether the path stands for a file."""
        return self.path is not None and os.path.isfile(self.path)

    def prepare(self) -> None:
        """Make the file where the first connection is to make it, or check that it is the same.

        :raises Unavailable: as :meth:`check` does.
        """
        if self._identity is not None:
            self.check()
        elif self.path is not None and self._query["mode"] == "rw":
            create(self.path)

    def add(self, connection: DBAPIConnection, path: str | None = None) -> None:
        """Register an opened connection; the first one identifies the file.

        Not before: where a layer of an overlay file system is written to, the file's inode
        changes.

        :param path: of the file, where it is not known yet.
        """
        self.path = self.path or path
        if self.path is None:
            return
        if self._identity is None:
            self._identity = identify(self.path)
        if not self._connections:
            # SQLite removes both with the last connection. It lays them beside the file itself,
            # wherever a link to it is.
            real = os.path.realpath(self.path)
            self._companions = {f"{real}{end}": None for end in ("-wal", "-shm")}
        self._connections.add(connection.driver_connection)
        with suppress(Unavailable):  # The next check says it again, and has nothing to close.
            self.check()

    def __contains__(self, connection: DBAPIConnection) -> bool:
        """Return whether a connection is registered."""
        return connection.driver_connection in self._connections

    def remove(self, connection: DBAPIConnection, record: object = None) -> None:
        """Remove a connection that is being closed."""
        self._connections.discard(connection.driver_connection)

    def check(self, *, max_age: float = 0.0) -> None:
        """Check that the names stand for the files that were opened, in some microseconds.

        Once they do not, they never do again: what was shown or written meanwhile is in doubt,
        even where the old file is put back.

        :param max_age: seconds for which the result of a former check stands.
        :raises Unavailable: where one was removed or replaced, or cannot be looked at.
        """
        now = time.monotonic()
        if not self._is_lost and now - self._checked < max_age:
            return
        try:
            is_lost = not (self._is_lost or self._is_same())
        except OSError as error:  # such as a folder that may not be looked into for a while
            raise Unavailable(UNREACHABLE) from error
        if is_lost:
            logger.error("the database's file was removed or replaced: %s", self.path)
            self._is_lost = True
            self.when_lost()
        if self._is_lost:
            raise Unavailable(REPLACED)
        self._checked = now

    @property
    def has_own_log(self) -> bool:
        """Return whether the write-ahead log exists and has not been replaced."""
        own = all(identify(path) in (identity, None) for path, identity in self._companions.items())
        return own and bool(self._connections)

    def remove_log(self) -> None:
        """Remove the write-ahead log and its index, unless they belong to another file."""
        for path, own in self._companions.items():
            if own is not None and identify(path) == own:
                with suppress(OSError):  # It may not be removed; it is empty, too.
                    os.unlink(path)

    def _is_same(self) -> bool:
        if self.path is None or self._identity is None:
            return True
        if identify(self.path) != self._identity:
            return False
        if self._connections:
            for path, identity in self._companions.items():
                current = identify(path)
                if identity is None:  # SQLite makes them when it first reads or writes.
                    self._companions[path] = current
                elif identity != current:
                    return False
        return True


def file_of(url: URL) -> DatabaseFile | None:
    """Return the file of an SQLite URL; None for a database in memory.

    A relative path is read now, and stands when the process changes its directory.
    """
    (name,), options = url.get_dialect()().create_connect_args(url)
    if not options.get("uri"):
        return None if name == ":memory:" else DatabaseFile(name, {"mode": "rw"})
    parts = urlsplit(name)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if path in ("", ":memory:") or query.get("mode") == "memory" or query.get("vfs") == "memdb":
        return None
    if query.get("mode") in (None, "rwc"):
        query["mode"] = "rw"
    return DatabaseFile(os.path.abspath(path), query)


def create(path: str) -> None:
    """Make an empty file that only its owner can read; one that is there stays as it is.

    SQLite gives the files beside it the same mode. What keeps it from being made, SQLite says.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def identify(path: str) -> Identity:
    """Return which file a path stands for.

    :raises OSError: where that cannot be said.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
