"""After kill -9, every acknowledged comment and reaction is stored and counted."""

from __future__ import annotations

import itertools
import threading
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from support.commands import Commands, sql
from support.load import Reactor, Writer, start_writers
from support.server import TIMEOUT, Server

from tallied.auth.tokens import encode_token
from tallied.auth.viewer import Viewer

CREATE = 'mutation { createThread(input: {title: "Doomed"}) { thread { id } } }'
READ = "query($id: ID!) { thread(id: $id) { commentCount wordCount } }"
SECRET = "v8Q2mZrT0kXyWc7NfLsB4hJ9dGpEaU3i"
NODE = "query($id: ID!) { comment(id: $id) { message } }"


def kill_during(
    server: Server, start: Callable[[Callable[[], None]], Sequence[Writer]]
) -> Sequence[Writer]:
    """Kill the server after 150 answers to the writers that `start` starts; return them ended.

    :param start: is given what each writer calls after every answer.
    """
    answers, enough = itertools.count(1), threading.Event()

    def each() -> None:
        if next(answers) == 150:
            enough.set()

    writers = start(each)
    assert enough.wait(TIMEOUT)
    server.process.kill()
    for writer in writers:
        writer.join(TIMEOUT)
    assert all(writer.cut_off for writer in writers), "it was in the middle of the work"
    assert [writer.errors for writer in writers if writer.errors] == []
    return writers


def start_reactors(port: int, ids: list[str], each: Callable[[], None]) -> list[Writer]:
    """Start viewers who react to all of these comments."""
    reactors: list[Writer] = []
    for number in range(8):
        token = encode_token(SECRET, Viewer(f"reactor {number}"), timedelta(hours=1))
        reactors.append(Reactor(port, "", number, ids, each, token=token))
    for reactor in reactors:
        reactor.start()
    return reactors


@pytest.mark.parametrize("group_commit", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_killed_server_loses_no_acknowledged_comment(
    empty_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    group_commit: str,
) -> None:
    monkeypatch.setenv("TALLIED_GROUP_COMMIT", group_commit)
    with Server(tmp_path, empty_url) as server:
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        writers = kill_during(
            server,
            lambda each: start_writers(server.port, thread_id, writers=8, comments=2000, each=each),
        )

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


@pytest.mark.slow
def test_killed_server_loses_no_acknowledged_reaction(
    empty_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALLIED_SECRET", SECRET)
    with Server(tmp_path, empty_url) as server:
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        authors = start_writers(server.port, thread_id, writers=4, comments=250)
        for author in authors:
            author.join(TIMEOUT)
        ids = [id for author in authors for id in author.acknowledged]
        assert len(ids) == 1000
        reactors = kill_during(server, lambda each: start_reactors(server.port, ids, each))

    assert Commands(capsys)("verify", "--database", empty_url).code == 0
    query = """SELECT subject, comment_id FROM tallied_reaction
        JOIN tallied_author ON tallied_author.id = tallied_reaction.author_id"""
    stored = {(row.subject, str(UUID(str(row.comment_id)))) for row in sql(empty_url, query)}
    acknowledged = {
        (f"reactor {reactor.number}", b64decode(id).decode().partition(":")[2])
        for reactor in reactors
        for id in reactor.acknowledged
    }
    assert len(acknowledged) >= 150
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + len(reactors), "at most one in flight a reactor"
