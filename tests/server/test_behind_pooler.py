"""``tallied serve`` behind PgBouncer: every request succeeds, every counter is exact."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL
from support.commands import sql
from support.load import start_writers
from support.pooler import pgbouncer, through
from support.server import TIMEOUT, Server

WRITERS, COMMENTS, READS = 8, 7, 11
WORDS = WRITERS * (1 + 2 + 3 + 4 + 5 + 6 + 7)

CREATE = """mutation { createThread(input: {title: "Tides"}) { thread { id } } }"""
READ = """query($id: ID!) {
  node(id: $id) { ... on Thread { commentCount wordCount comments(first: 5) { totalCount } } }
}"""


class Reader(threading.Thread):
    """Asks for a thread and its comments a few times."""

    def __init__(self, server: Server, thread_id: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{server.url}/graphql"
        self._request = {"query": READ, "variables": {"id": thread_id}}
        self.counts: list[int] = []
        self.errors: list[Any] = []

    def run(self) -> None:
        with httpx.Client(timeout=TIMEOUT) as client:
            for _ in range(READS):
                answer = client.post(self._url, json=self._request).json()
                if "errors" in answer:
                    self.errors.append(answer["errors"])
                else:
                    self.counts.append(answer["data"]["node"]["commentCount"])


# It takes seconds: a server has to start, and the sessions of a pooler to be mixed up.
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("mode", "size", "query", "is_recognised"),
    [("transaction", 3, {}, True), ("session", 20, {"pgbouncer": "false"}, False)],
)
def test_server_behind_pooler_fails_no_request(
    mode: str,
    size: int,
    query: dict[str, str],
    is_recognised: bool,
    empty_url: str,
    postgresql: URL,
    tmp_path: Path,
) -> None:
    with (
        pgbouncer(postgresql, mode, size) as port,
        Server(tmp_path, through(empty_url, port, **query)) as server,
    ):
        thread_id = server.ask(CREATE)["createThread"]["thread"]["id"]
        readers = [Reader(server, thread_id) for _ in range(8)]
        for reader in readers:
            reader.start()
        writers = start_writers(server.port, thread_id, writers=WRITERS, comments=COMMENTS)
        for thread in (*writers, *readers):
            thread.join()
        errors: list[Any] = [error for item in (*writers, *readers) for error in item.errors]
        assert errors == []
        assert all(reader.counts == sorted(reader.counts) for reader in readers)
        assert server.ask(READ, id=thread_id)["node"] == {
            "commentCount": WRITERS * COMMENTS,
            "wordCount": WORDS,
            "comments": {"totalCount": WRITERS * COMMENTS},
        }
        assert server.printed.count("tallied.W017") == is_recognised
    assert sql(empty_url, "SELECT count(*), sum(word_count) FROM tallied_comment") == [
        (WRITERS * COMMENTS, WORDS)
    ]
