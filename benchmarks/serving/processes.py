"""A server in a process of its own: its cores, its processor time and its memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

START_TIME = 60.0
"""Seconds that a server may take to start."""

STOP_TIME = 60.0
"""Seconds that it may take to end."""

IDLE_TIME = 0.3
"""Seconds without processor time after which a server has no request under way."""

PERIOD = 0.05
"""Seconds between two looks at a server's memory."""


@contextmanager
def split_cores() -> Iterator[set[int]]:
    """Yield the core of servers, and keep this process and its later children off it.

    On a machine with one core, all share it.
    """
    cores = os.sched_getaffinity(0)
    first = {min(cores)}
    os.sched_setaffinity(0, cores - first or cores)
    try:
        yield first
    finally:
        os.sched_setaffinity(0, cores)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def resident_size(pid: int | str = "self") -> int:
    """Return the resident size of a process in bytes; 0 without Linux's ``/proc``."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_SIZE
    except OSError:
        return 0


class ServerProcess:
    """A server on a port of 127.0.0.1, which is stopped at the end of the ``with`` block.

    :param command: the arguments of Python, without the port's.
    :param folder: where it runs, and where its output is written.
    :param cores: where the process runs; by default, on all of them.
    """

    keeps_all = False
    """Whether all of its output is kept, and not its errors alone."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        cores: Collection[int] = (),
        environ: Mapping[str, str] = {},
    ) -> None:
        self.port = free_port()
        variables = {name: value for name, value in os.environ.items() if "TALLIED_" not in name}
        own = os.sched_getaffinity(0) if cores else ()
        if cores:
            os.sched_setaffinity(0, cores)
        try:
            with (folder / "output").open("a") as output:
                self.process = subprocess.Popen(
                    [sys.executable, *command, "--port", str(self.port)],
                    stdout=output if self.keeps_all else subprocess.DEVNULL,
                    stderr=output,
                    cwd=folder,
                    env={**variables, "XDG_STATE_HOME": str(folder), **environ},
                )
        finally:
            if cores:
                os.sched_setaffinity(0, own)

    def __enter__(self) -> ServerProcess:
        deadline = time.monotonic() + START_TIME
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it; kill it if it does not end by itself."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self) -> float:
        """Return the seconds of processor time, in all threads, since the start."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def wait_until_idle(self) -> None:
        """Wait until the requests are over that clients of an earlier load have left behind.

        They have places of the server's; so many clients as it has places would be turned away.
        """
        deadline = time.monotonic() + STOP_TIME
        before = -1.0
        while self.cpu() != before and time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(IDLE_TIME)

    def memory(self) -> int:
        """Return the resident size in bytes."""
        return resident_size(self.process.pid)


class MemoryPeak:
    """The highest resident size of a server during the ``with`` block, in bytes."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self.size = server.memory()

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PERIOD):
            self.size = max(self.size, self._server.memory())
