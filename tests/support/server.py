"""A real server, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from .forks import Fork

TALLIED = Path(sys.executable).with_name("tallied")
TIMEOUT = 90.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``tallied serve`` on a free port; entered once it says that it serves.

    :param guests: what the environment lets guests do; None where it does not say.
    :param program: the command before ``serve``; by default, the command line is forked.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *arguments: str,
        port: int | None = None,
        guests: str | None = "moderate",
        program: Sequence[str | Path] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._out = folder / f"server-{self.port}-{time.monotonic_ns()}.log"
        environ = {"TALLIED_ENVIRONMENT": "development", **os.environ, "PYTHONUNBUFFERED": "1"}
        environ["XDG_STATE_HOME"] = str(folder)  # where the secret for a PostgreSQL is kept
        if guests:
            environ["TALLIED_GUESTS"] = guests
        options = ("serve", "--port", str(self.port), "--database", database, *arguments)
        self.process: subprocess.Popen[bytes] | Fork
        if program is None:
            self.process = Fork(options, self._out, folder, environ)
            return
        with self._out.open("w") as out:
            self.process = subprocess.Popen(
                [*program, *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environ,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        """All that the server has said so far."""
        return self._out.read_text("utf-8") if self._out.exists() else ""

    def wait(self, pattern: str | None = None) -> re.Match[str]:
        """Wait until the server says something, by default that it serves."""
        pattern = pattern or f"Tallied is serving {re.escape(self.url)}[ .]"
        deadline = time.monotonic() + TIMEOUT
        while not (match := re.search(pattern, self.printed, re.MULTILINE)):
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.02)
        return match

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        """End it at once, with its worker processes, which would outlive it."""
        with suppress(ProcessLookupError):  # it may have refused to start
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT)

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the data of one request on a connection of its own."""
        answer = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=TIMEOUT
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def __enter__(self) -> Server:
        try:
            self.wait()
            return self
        except BaseException:
            self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
