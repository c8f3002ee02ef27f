"""The command line in processes of its own, forked from one that has imported it.

The imports take most of the time that a command needs to start. ``cli/test_serve.py`` and the
scripts start the installed program.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from subprocess import TimeoutExpired

from tallied.cli.app import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tallied.asgi", "tallied.cli.serve"])


class Fork:
    """A process that runs ``tallied``, with the methods of a ``subprocess.Popen``.

    :param output: the file that gets the standard output and the errors.
    """

    def __init__(
        self, arguments: Sequence[str], output: Path, folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._arguments = arguments
        self._process = CONTEXT.Process(
            target=run_main, args=(tuple(arguments), output, folder, dict(environ))
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise TimeoutExpired(self._arguments, timeout or 0)
        return code

    def send_signal(self, number: Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(Signals.SIGKILL)


def run_main(
    arguments: tuple[str, ...], output: Path, folder: Path, environ: dict[str, str]
) -> None:
    """Become the leader of a session as a process started by a shell, and run the command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    with output.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.dup2(sys.stdin.fileno(), 0)  # which uvicorn opens in its worker processes
    sys.stdin = os.fdopen(0)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.argv = ["tallied", *arguments]
    main(arguments)
