"""A real server whose SQLite file is replaced by a backup while it writes."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import httpx
from support.load import start_writers
from support.server import TIMEOUT, Server

CREATE = 'mutation { createThread(input: {title: "Doomed"}) { thread { id } } }'
READ = "{ threads(first: 3) { totalCount } }"
UNAVAILABLE = ["UNAVAILABLE"]


def stored_messages(path: Path) -> set[str]:
    """Return the messages in a file that is sound."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT message FROM tallied_comment").fetchall()
        counts = connection.execute("SELECT comment_count FROM tallied_thread").fetchall()
    connection.close()
    assert counts == [(len(rows),)]
    return {message for (message,) in rows}


def back_up(path: Path) -> Path:
    """Copy the file, as it is done while a server runs."""
    backup = path.with_name("backup.db")
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    return backup


def codes_of(server: Server, query: str) -> list[str]:
    answer = httpx.post(f"{server.url}/graphql", json={"query": query}, timeout=TIMEOUT).json()
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


def test_backup_put_in_place_is_not_spoilt(tmp_path: Path) -> None:
    """It takes two seconds, since a server has to start."""
    path = tmp_path / "forum.db"
    with Server(tmp_path, f"sqlite:///{path}") as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(f"{path}-wal").stat().st_mode) == 0o600
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        writers = start_writers(server.port, thread_id, writers=6, comments=60)
        while min(len(writer.acknowledged) for writer in writers) < 10:
            time.sleep(0.01)
        backup = back_up(path)
        in_backup = stored_messages(backup)
        old = path.with_name("old.db")
        old.hardlink_to(path)
        backup.replace(path)
        for writer in writers:
            writer.join(TIMEOUT)
        refused = [errors[0]["extensions"]["code"] for w in writers for errors in w.errors]
        # One may have been committed when the file turned out to be another.
        assert set(refused) - {"OUTCOME_UNKNOWN"} == set(UNAVAILABLE)
        assert codes_of(server, CREATE) == UNAVAILABLE
        assert codes_of(server, READ) == UNAVAILABLE
        assert httpx.get(f"{server.url}/health").status_code == 503
        server.process.kill()
    acknowledged = {message for w in writers for message in w.acknowledged.values()}
    assert acknowledged <= stored_messages(old)
    assert stored_messages(path) == in_backup
