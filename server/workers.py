"""Several server processes on one port, under a master that starts and replaces them."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from uvicorn.supervisors.multiprocess import Multiprocess, Process

from .http_protocol import Config

START_TIMEOUT = 60.0
"""Seconds that a worker process may take to start."""

logger = logging.getLogger("tallied")


def stop_on_hangup() -> None:
    """Let SIGHUP end this process as SIGTERM does, unless it is ignored, as under ``nohup``."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def freeze_loaded_objects() -> None:
    """Leave all objects that are loaded out of the garbage collections to come.

    A full collection looks through them, for 0.1 s and more on a busy machine, and the
    event loop stands still.
    """
    gc.collect()
    gc.freeze()


class WorkerConfig(Config):
    """The configuration of a worker process, which ends with its master.

    A master that is killed cannot stop its workers, which would hold the port. A pipe that only
    the master could write into ends with it, however it ends, on every system; Linux's
    PR_SET_PDEATHSIG would also fire when the thread ends that has started the worker.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reader, self._writer = Pipe(duplex=False)

    def __getstate__(self) -> dict[str, Any]:
        """Do not send the writing end to a worker."""
        return {name: value for name, value in vars(self).items() if name != "_writer"}

    def load(self) -> None:
        """Load the application, in the worker."""
        stop_on_hangup()
        Thread(target=_stop_at_end, args=[self._reader], daemon=True).start()
        super().load()
        freeze_loaded_objects()


def _stop_at_end(reader: Connection) -> None:
    """Stop this process, as SIGTERM does, once no process can write into the pipe."""
    try:
        reader.recv_bytes()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _has_ended(process: Process) -> bool:
    return not process.process.is_alive()


class Workers(Multiprocess):
    """The worker processes.

    :param announce: called once, when the last one is ready.
    """

    def __init__(
        self, config: WorkerConfig, listener: socket.socket, announce: Callable[[], None]
    ) -> None:
        super().__init__(config, [listener])
        self._announce = announce
        self._is_ready = False
        self._is_to_restart = False

    def serve(self) -> bool:
        """Serve until SIGINT or SIGTERM, and return whether all workers could start."""
        self.run()
        return self._is_ready

    def init_processes(self) -> None:
        """Start all workers, and wait until they are ready."""
        super().init_processes()
        self._is_ready = all(self._wait_until_ready(process) for process in self.processes)
        if self._is_ready:
            self._announce()
        else:
            self.should_exit.set()

    def handle_hup(self) -> None:
        """Note a SIGHUP, which may arrive during a restart."""
        self._is_to_restart = True

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers, and all of them after a SIGHUP."""
        super().keep_subprocess_alive()
        if self._is_to_restart:
            self._is_to_restart = False
            self.restart_all()

    def restart_all(self) -> None:
        """Replace the workers one by one: each new one serves before its predecessor stops.

        uvicorn's own gives a worker 5 seconds to start, and does not notice a SIGTERM meanwhile.
        """
        for place, old in enumerate(list(self.processes)):
            new = Process(self.config, self.sockets)
            new.start()
            if not self._wait_until_ready(new):
                new.kill()
                new.join()
                if not self.should_exit.is_set():
                    logger.error(
                        "A new worker process did not start, so the restart that SIGHUP asked for"
                        " has ended; the workers that have not been replaced serve on."
                    )
                return
            self.processes[place] = new
            old.terminate()
            if not self._wait_for(partial(_has_ended, old)):
                self.processes.append(old)  # so that all are waited for at once
                return
        logger.info("All %d worker processes have been restarted.", len(self.processes))

    def _wait_until_ready(self, process: Process) -> bool:
        is_decided = self._wait_for(
            lambda: _has_ended(process) or process.is_ready(timeout=1), START_TIMEOUT
        )
        return is_decided and not _has_ended(process)

    def _wait_for(self, is_done: Callable[[], bool], timeout: float = float("inf")) -> bool:
        """Wait, heeding signals, and return whether it is done, before the time and a SIGTERM."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if is_done():
                return True
            self.handle_signals()
            if self.should_exit.wait(0.05):
                return False
        return False
