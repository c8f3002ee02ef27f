"""What ``tallied serve`` logs: a line a request with its id, as text or JSON, no users' texts.

Each test starts a server, which is the process whose output it reads, and takes 2 to 3 seconds.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.api import mutation
from support.server import TALLIED, Server, free_port

SECRET = "hunter2"
QUERY = {"query": "query($a: ID!) { node(id: $a) { id } }", "variables": json.dumps({"a": SECRET})}


def json_lines(server: Server) -> list[dict[str, Any]]:
    """Return the objects that the server has logged; what ``serve`` prints itself is text."""
    return [json.loads(line) for line in server.printed.splitlines() if line.startswith("{")]


def test_line_of_text_has_id_and_no_query_string(tmp_path: Path) -> None:
    with Server(tmp_path, "sqlite:///forum.db") as server:
        headers = {"x-request-id": "from-proxy/7"}
        answer = httpx.get(f"{server.url}/graphql", params=QUERY, headers=headers)
        assert answer.headers.get_list("x-request-id") == ["from-proxy/7"]
        line = server.wait(r"^INFO: +\[from-proxy/7\] (.*) in 0\.\d+ s$")
        assert line[1] == '127.0.0.1 "GET /graphql" 200'
        new_id = httpx.get(f"{server.url}/no%0Awhere%7E?token={SECRET}").headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", new_id)
        server.wait(rf'^INFO: +\[{new_id}\] 127\.0\.0\.1 "GET /no%0Awhere~" 404 in ')
        # The mistake in the first request is logged under its id, too.
        server.wait(r"^INFO: +\[from-proxy/7\] BAD_USER_INPUT: ")
        httpx.get(f"{server.url}/the/last")
        assert server.stop() == 0
        assert '"GET /the/last" 404' in server.printed  # what waits is written as the server ends
        assert SECRET not in server.printed
        assert "?" not in "".join(re.findall('"GET .*?"', server.printed))


def test_line_of_json_has_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLIED_LOG_FORMAT", "json")
    with Server(tmp_path, "sqlite:///forum.db") as server:
        headers = {"x-request-id": "a-1", "x-forwarded-for": "192.0.2.7"}
        httpx.get(f"{server.url}/graphql", params=QUERY, headers=headers)
        server.wait("tallied.access")
        assert server.stop() == 0
        assert SECRET not in server.printed
    access, mistake = sorted(json_lines(server), key=lambda line: str(line["logger"]))
    assert mistake["logger"] == "tallied.api"
    assert mistake["request_id"] == "a-1"
    assert access.pop("duration") < 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", access.pop("timestamp"))
    assert access.pop("message").startswith('192.0.2.7 "GET /graphql" 200 in ')
    assert access == {
        "level": "INFO",
        "logger": "tallied.access",
        "request_id": "a-1",
        "method": "GET",
        "path": "/graphql",
        "status": 200,
        "client": "192.0.2.7",
    }


def test_error_is_found_by_either_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of the error is its own: several errors, and several requests, may share the other."""
    monkeypatch.setenv("TALLIED_LOG_FORMAT", "json")
    database = tmp_path / "forum.db"
    with Server(tmp_path, f"sqlite:///{database}") as server:
        thread = server.ask('mutation { createThread(input: {title: "A"}) { thread { id } } }')[
            "createThread"
        ]["thread"]["id"]
        subprocess.run(
            ["python3", "-c", BREAK, str(database)], check=True, timeout=20, capture_output=True
        )
        message = f"{SECRET} " * 500
        add = mutation("addComment", "comment { id }")
        variables = {"i": {"threadId": thread, "message": message, "authorName": SECRET}}
        answer = httpx.post(
            f"{server.url}/graphql",
            json={"query": add, "variables": variables},
            headers={"x-request-id": "b-2"},
        )
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        server.wait("tallied.access.*b-2")
        (line,) = [entry for entry in json_lines(server) if entry["level"] == "ERROR"]
        assert (line["error_id"], line["request_id"]) == (error["extensions"]["id"], "b-2")
        assert "INSERT INTO" in line["exception"]
        assert "broken by a trigger" in line["exception"]
        assert len(line["exception"]) < 4100
        assert SECRET not in server.printed


BREAK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
[name] = [n for n, in connection.execute(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%comment%'")]
connection.execute(f"CREATE TRIGGER broken BEFORE INSERT ON {name} "
    "BEGIN SELECT RAISE(ABORT, 'broken by a trigger'); END")
connection.commit()
"""


def test_requests_are_not_logged_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_ENVIRONMENT", "production")
    with Server(tmp_path, "sqlite:///forum.db", guests="read") as server:
        httpx.get(f"{server.url}/graphql", params=QUERY)
        server.wait(r"BAD_USER_INPUT: ")
        assert server.stop() == 0
        assert "GET /graphql" not in server.printed
    monkeypatch.setenv("TALLIED_ACCESS_LOG", "on")
    with Server(tmp_path, "sqlite:///forum.db", guests="read") as server:
        httpx.get(f"{server.url}/graphql", params=QUERY)
        server.wait(r'"GET /graphql" 200')


def fill(pipe: int) -> None:
    """Fill a pipe to its last byte."""
    # Opened anew, since the mode of a descriptor is shared with the process that inherits it.
    end = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(end, b"." * size)
    os.close(end)


@pytest.mark.slow
def test_full_pipe_of_log_delays_neither_request_nor_stop(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    port = free_port()
    command = [TALLIED, "serve", "--port", str(port), "--database", "sqlite:///forum.db"]
    environ = {**os.environ, "TALLIED_ACCESS_LOG": "on"}
    with subprocess.Popen(
        command, stdout=writer, stderr=writer, cwd=tmp_path, env=environ
    ) as process:
        try:
            printed = b""
            while b"Tallied is serving" not in printed:
                printed += os.read(reader, 4096)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                client.get("/nowhere")  # All that the start prints has been printed by now.
                fill(writer)
                for _ in range(5):
                    assert client.get("/nowhere").status_code == 404
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


@pytest.mark.slow
def test_unread_log_blocks_no_request(tmp_path: Path) -> None:
    """A pipe takes 64 KiB, and then its writers wait."""
    port = free_port()
    command = [TALLIED, "serve", "--port", str(port), "--database", "sqlite:///forum.db"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env={**os.environ, "TALLIED_ACCESS_LOG": "on"},
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            while "Tallied is serving" not in process.stdout.readline():
                assert process.poll() is None
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                for _ in range(300):
                    assert client.get(f"/{'nowhere' * 40}").status_code == 404
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
