"""After kill -9, every acknowledged comment is stored and counted."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from support.commands import Commands, sql
from support.load import start_writers
from support.server import TIMEOUT, Server

CREATE = 'mutation { createThread(input: {title: "Doomed"}) { thread { id } } }'
READ = "query($id: ID!) { thread(id: $id) { commentCount wordCount } }"
NODE = "query($id: ID!) { comment(id: $id) { message } }"


@pytest.mark.parametrize("group_commit", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_killed_server_loses_no_acknowledged_comment(
    empty_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    group_commit: str,
) -> None:
    monkeypatch.setenv("TALLIED_GROUP_COMMIT", group_commit)
    answers, enough = itertools.count(1), threading.Event()

    def each() -> None:
        if next(answers) == 150:
            enough.set()

    with Server(tmp_path, empty_url) as server:
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        writers = start_writers(server.port, thread_id, writers=8, comments=2000, each=each)
        assert enough.wait(TIMEOUT)
        server.process.kill()
        for writer in writers:
            writer.join(TIMEOUT)
    assert all(writer.cut_off for writer in writers), "it was in the middle of the work"
    assert [writer.errors for writer in writers if writer.errors] == []

    commands = Commands(capsys)
    verified = commands("verify", "--database", empty_url)
    assert verified.code == 0, verified.out
    stored = {row.message for row in sql(empty_url, "SELECT message FROM tallied_comment")}
    acknowledged = {message for writer in writers for message in writer.acknowledged.values()}
    assert len(acknowledged) >= 150
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + len(writers), "at most one in flight a writer"

    with Server(tmp_path, empty_url, port=server.port) as server:
        shown = server.ask(READ, id=thread_id)["thread"]
        assert shown["commentCount"] == len(stored)
        assert shown["wordCount"] == sum(len(message.split()) for message in stored)
        id, message = next(iter(writers[0].acknowledged.items()))
        assert server.ask(NODE, id=id)["comment"]["message"] == message
        start_writers(server.port, thread_id, writers=1, comments=20)[0].join(TIMEOUT)
    assert commands("verify", "--database", empty_url).code == 0
    (row,) = sql(empty_url, "SELECT comment_count FROM tallied_thread")
    assert row.comment_count == len(stored) + 20
