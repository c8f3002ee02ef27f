"""Signals to ``tallied serve`` and its worker processes, and a master that is killed."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event

import httpx
import pytest
from support.server import TALLIED, Server
from support.waiting import wait_until

QUERY = {"query": "{ threads(first: 1) { totalCount } }"}
START = """mutation { createThread(input: { title: "Engines", comment: {
  authorName: "Ada", message: "one two three" } }) { thread { wordCount } userErrors { code } } }"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="/proc is missing, which tells of child processes"
)


def worker_pids(server: Server) -> set[int]:
    """Return the ids of the processes that serve for a master."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pids: set[int] = set()
    for child in children:
        with suppress(FileNotFoundError, ProcessLookupError):  # It may have ended meanwhile.
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                pids.add(int(child))
    return pids


def is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


@contextmanager
def asking(server: Server, *, keep_alive: bool) -> Iterator[list[object]]:
    """Ask all the time while the block is executed, and yield the statuses and errors so far."""
    answers: list[object] = []
    is_over = Event()
    limits = httpx.Limits(max_keepalive_connections=2 if keep_alive else 0)

    def ask() -> None:
        with httpx.Client(timeout=20, limits=limits) as client:
            while not is_over.is_set():
                try:
                    answer = client.post(f"{server.url}/graphql", json=QUERY)
                    answers.append((answer.status_code, "errors" in answer.json()))
                except httpx.HTTPError as error:
                    answers.append(error)
                time.sleep(0.01)  # The workers need the processor, too.

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(ask)
        try:
            yield answers
        finally:
            is_over.set()


COUNTING_FROZEN_OBJECTS = """
import atexit, gc, sys
from tallied.cli.app import main
if __name__ != "__mp_main__":
    atexit.register(lambda: print("frozen objects:", gc.get_freeze_count(), flush=True))
    main(sys.argv[1:])
"""


def test_loaded_objects_are_left_out_of_collections(tmp_path: Path) -> None:
    program = (sys.executable, "-c", COUNTING_FROZEN_OBJECTS)
    with Server(tmp_path, "sqlite:///forum.db", program=program) as server:
        assert server.stop() == 0
        (_, _, number) = server.printed.rpartition("frozen objects: ")
    assert int(number) > 50_000


def test_one_process_shuts_down_on_sighup_as_on_sigterm(tmp_path: Path) -> None:
    with Server(tmp_path, "sqlite:///forum.db") as server:
        assert server.stop(signal.SIGHUP) == 0
        assert server.printed.endswith("Tallied has stopped.\n")


@pytest.mark.slow
def test_nohup_keeps_process_alive_on_sighup(tmp_path: Path) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a new process inherits
    try:
        server = Server(tmp_path, "sqlite:///forum.db", program=(TALLIED,))
    finally:
        signal.signal(signal.SIGHUP, former)
    with server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert server.ask(QUERY["query"]) == {"threads": {"totalCount": 0}}
        assert server.stop() == 0


@pytest.mark.slow
def test_workers_are_replaced_on_sighup_with_no_request_lost(tmp_path: Path) -> None:
    """Takes as long as four worker processes take to start."""
    with Server(tmp_path, "sqlite:///forum.db", "--workers", "2") as server:
        before = worker_pids(server)
        with asking(server, keep_alive=False) as anew, asking(server, keep_alive=True) as stored:
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "All 2 worker processes have been restarted." in server.printed)
            count = len(stored)
            wait_until(lambda: len(stored) > count + 7)
        assert len(anew) > 7
        assert set(anew) == set(stored) == {(200, False)}
        assert len(worker_pids(server)) == 2
        assert not before & worker_pids(server)

        # A worker that is told to stop by itself is replaced, too.
        before = worker_pids(server)
        os.kill(min(before), signal.SIGHUP)
        wait_until(lambda: min(before) not in worker_pids(server))
        assert server.ask(QUERY["query"]) == {"threads": {"totalCount": 0}}
        assert server.stop() == 0
        assert "Traceback" not in server.printed


@pytest.mark.slow
def test_workers_end_with_their_master_and_free_port(tmp_path: Path) -> None:
    with Server(tmp_path, "sqlite:///forum.db", "--workers", "2") as server:
        workers = worker_pids(server)
        assert len(workers) == 2
        with closing(sqlite3.connect(tmp_path / "forum.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(1) as pool, httpx.Client(timeout=20) as client:
                url = f"{server.url}/graphql"
                assert client.post(url, json=QUERY).status_code == 200
                answer = pool.submit(client.post, url, json={"query": START})  # for the lock
                time.sleep(0.3)
                server.process.kill()
                server.process.wait()
                wait_until(lambda: is_free(server.port), 4)
                other.execute("ROLLBACK")
                created = answer.result().json()["data"]["createThread"]
        assert created == {"thread": {"wordCount": 3}, "userErrors": []}
        wait_until(lambda: not any(Path(f"/proc/{pid}").is_dir() for pid in workers), 10)
        assert "Traceback" not in server.printed
