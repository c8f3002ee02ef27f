"""Debian's PgBouncer, in front of the PostgreSQL of a test run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from .server import free_port

TIMEOUT = 10.0

CONFIGURATION = """
[databases]
* = host={folder} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
logfile =
"""


def find_pgbouncer() -> str:
    """Return the command of PgBouncer; skip the test where there is none."""
    command = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if command is None:
        pytest.skip("this machine has no PgBouncer; on Debian, apt install pgbouncer")
    return command


@contextmanager
def pgbouncer(server: URL, mode: str, size: int = 3) -> Iterator[int]:
    """Run PgBouncer until the block ends; its port.

    :param server: the URL of the tests' PostgreSQL, which listens on a Unix socket.
    :param mode: what is pooled, ``transaction`` or ``session``.
    :param size: how many connections to the server each database has.
    """
    command, port = find_pgbouncer(), free_port()
    folder = Path(str(server.query["host"]))
    owner = folder.stat()  # who may reach the socket, and is not root, as whom PgBouncer never runs
    configuration = CONFIGURATION.format(
        folder=folder, user=server.username, port=port, mode=mode, size=size
    )
    with tempfile.TemporaryDirectory(prefix="tallied-pgbouncer-") as place:
        path = Path(place) / "pgbouncer.ini"
        path.write_text(configuration)
        for created in (path, path.parent):
            os.chown(created, owner.st_uid, owner.st_gid)
        with (path.parent / "log").open("w") as log:
            process = subprocess.Popen(
                [command, path], user=owner.st_uid, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait(process, port, path.parent / "log")
            yield port
        finally:
            process.kill()
            process.wait(TIMEOUT)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def through(url: str, port: int, **query: str) -> str:
    """Return the URL of the same database behind a pooler.

    :param query: parameters of the URL.
    """
    parsed = make_url(url)
    changed = URL.create(
        parsed.drivername,
        username=parsed.username,
        host="127.0.0.1",
        port=port,
        database=parsed.database,
        query=query if "sslmode" in query else {"ssl": "disable", **query},
    )
    return changed.render_as_string(hide_password=False)
