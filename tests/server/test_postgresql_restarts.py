"""PostgreSQL restarts among writers: nothing is lost or made twice."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
from conftest import memory
from support.commands import Commands, sql
from support.load import start_writers
from support.postgres import own_server
from support.server import TIMEOUT, Server

CREATE = 'mutation { createThread(input: {title: "Hot"}) { thread { id } } }'


@pytest.mark.slow
def test_restarts_among_writers_lose_and_repeat_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes its time: two restarts of a real server, one of them a crash."""
    answers, enough = itertools.count(1), [threading.Event(), threading.Event()]

    def item() -> None:
        number = next(answers)
        for event, at in zip(enough, (40, 140), strict=True):
            if number == at:
                event.set()

    with own_server(memory()) as own:
        url = own.url.set(drivername="postgresql+asyncpg").render_as_string(False)
        assert Commands(capsys)("migrate", "--database", url).code == 0
        with Server(tmp_path, url) as server:
            thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
            writers = start_writers(server.port, thread_id, writers=8, comments=40, each=item)
            for event, mode in zip(enough, ("fast", "immediate"), strict=True):
                assert event.wait(TIMEOUT)
                own.restart(mode)
            for writer in writers:
                writer.join(TIMEOUT)
            printed = server.printed
            assert server.stop() == 0
        verified = Commands(capsys)("verify", "--database", url)
        assert verified.code == 0, verified.out
        stored = Counter(row.message for row in sql(url, "SELECT message FROM tallied_comment"))
        (thread,) = sql(url, "SELECT comment_count FROM tallied_thread")
    assert not any(writer.cut_off for writer in writers)
    codes = Counter(
        error["extensions"]["code"]
        for writer in writers
        for errors in writer.errors
        for error in errors
    )
    assert codes.keys() <= {"OUTCOME_UNKNOWN", "UNAVAILABLE"}, codes
    acknowledged = [message for writer in writers for message in writer.acknowledged.values()]
    assert len(acknowledged) + codes.total() == 8 * 40
    assert codes["OUTCOME_UNKNOWN"] <= 2 * 8
    assert max(stored.values()) == 1
    assert set(acknowledged) <= stored.keys()
    assert thread.comment_count == stored.total()
    assert "Traceback" not in printed, printed
