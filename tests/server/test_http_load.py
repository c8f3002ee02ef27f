"""Many writers on one thread of a real server lose nothing and are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Commands, sql
from support.load import start_writers
from support.server import Server

CREATE = 'mutation { createThread(input: {title: "Hot"}) { thread { id } } }'
READ = "query($id: ID!) { thread(id: $id) { commentCount wordCount lastCommentAt } }"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_eight_writers_on_one_thread_lose_nothing(
    workers: int,
    empty_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    comments = (50 if request.config.getoption("exhaustive") else 16) // workers
    with Server(tmp_path, empty_url, "--workers", str(workers)) as server:
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        writers = start_writers(server.port, thread_id, writers=8, comments=comments)
        for writer in writers:
            writer.join()
        assert [writer.errors for writer in writers if writer.errors or writer.cut_off] == []
        shown = server.ask(READ, id=thread_id)["thread"]
        assert server.stop() == 0

    sent = [message for writer in writers for message in writer.acknowledged.values()]
    assert len(sent) == 8 * comments
    assert shown["commentCount"] == len(sent)
    assert shown["wordCount"] == sum(len(message.split()) for message in sent)
    stored = sql(empty_url, "SELECT message, created_at FROM tallied_comment ORDER BY created_at")
    assert sorted(row.message for row in stored) == sorted(sent)
    assert Commands(capsys)("verify", "--database", empty_url).code == 0
