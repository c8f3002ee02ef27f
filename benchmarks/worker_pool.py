"""Processes that write at the same time, each on a connection of its own."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection as Pipe
from time import perf_counter
from typing import TypeAlias
from uuid import UUID

from .candidates import CANDIDATES
from .databases import blocking_engine
from .hosts import Host

Task: TypeAlias = tuple[str, list[UUID]]
"""The name of a contestant, and the thread of each insert."""

PATIENCE = 60.0
"""Seconds that a writer waits for the file of SQLite, which has no queue."""


class WorkerFailed(Exception):
    """A writer was refused what it wanted."""


class WorkerPool:
    """So many processes, which wait for work."""

    def __init__(self, pipes: Sequence[Pipe]) -> None:
        self.pipes = pipes

    def insert(self, tasks: Sequence[Task]) -> float:
        """Run all tasks at once, and return the seconds from the first start to the last end.

        :raises Failed: when one of them has failed.
        """
        for pipe, task in zip(self.pipes, tasks, strict=True):
            pipe.send(task)
        for pipe in self.pipes:
            pipe.recv()
        began = perf_counter()
        for pipe in self.pipes:
            pipe.send(None)
        answers = [pipe.recv() for pipe in self.pipes]
        seconds = perf_counter() - began
        if failures := [answer for answer in answers if answer]:
            raise WorkerFailed(failures[0])
        return seconds


@contextmanager
def worker_pool(url: str, writers: int) -> Iterator[WorkerPool]:
    """Run that many processes during the block."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(writers):
        parent_pipe, child_pipe = context.Pipe()
        process = context.Process(target=_write, args=(url, child_pipe), daemon=True)
        process.start()
        child_pipe.close()
        pipes.append(parent_pipe)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield WorkerPool(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _write(url: str, pipe: Pipe) -> None:
    engine = blocking_engine(url, patience=PATIENCE)
    hosts = {str(candidate): candidate.host(engine) for candidate in CANDIDATES}
    gc.freeze()
    pipe.send("ready")
    with suppress(EOFError, OSError):  # the end of the crew, or of the process that leads it
        while True:
            name, threads = pipe.recv()
            pipe.send("ready")
            pipe.recv()
            pipe.send(_insert(hosts[name], threads))
    engine.dispose()


def _insert(host: Host, threads: Sequence[UUID]) -> str:
    try:
        for thread in threads:
            host.add(thread)
    except Exception as error:
        return repr(error)
    return ""
