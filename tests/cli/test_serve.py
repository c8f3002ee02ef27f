"""``tallied serve`` as a real process: it starts, answers and stops."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.commands import NEWEST, Commands, option, shown, sql
from support.server import TALLIED, Server, free_port
from support.waiting import wait_until

from tallied.seed import seed

COUNT = "{ threads(first: 1) { totalCount } }"

SMALLER_DEMO = """
import sys
from tallied.cli.app import main
from tallied.seed import seed
seed.__kwdefaults__.update(threads=200, comments=20_000)
main(sys.argv[1:])
"""


def test_serve_migrates_answers_and_stops(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    shown_option = option(empty_url).replace("…", "URL")
    with Server(tmp_path, empty_url, program=(TALLIED,)) as server:
        wait_until(lambda: server.printed.endswith("person 42.\n"))
        assert server.printed.splitlines() == [
            f"Created Tallied's tables in {shown(empty_url)} (revision {NEWEST}).",
            "Guests may write and moderate, to try things out. Pass --guests read or write, or set"
            " TALLIED_GUESTS, before others can reach this server.",
            f"Tallied is serving {server.url} (GraphiQL at /graphql). Press Ctrl-C to stop.",
            "Next:",
            f"  {server.url} leads to the playground and the discussions.",
            f"  {TALLIED} verify {shown_option} recounts every counter, also while this server"
            " runs.",
            f"  {TALLIED} token 42 {shown_option} prints a token, to sign in as the person 42.",
        ]
        assert server.ask(COUNT) == {"threads": {"totalCount": 0}}
        page = httpx.get(server.url, headers={"accept": "text/html"}, follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/")
        assert 'href="graphql"' in page.text
        for command in ("verify", "token 42"):
            assert f"{TALLIED} {command} {shown_option}</code>" in page.text
        assert server.stop(signal.SIGINT) == 0
        assert server.printed.endswith("Tallied has stopped.\n")

    with Server(tmp_path, empty_url, port=server.port) as server:
        output = f"The database {shown(empty_url)} is up to date (revision {NEWEST})."
        assert output in server.printed
        assert server.ask(COUNT) == {"threads": {"totalCount": 0}}
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.printed


@pytest.mark.slow
@pytest.mark.parametrize("finds_browser", [True, False])
def test_serve_opens_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finds_browser: bool
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    command = f'printf %s "$1" > {opened}' if finds_browser else "exit 1"
    browser.write_text(f"#!/bin/sh\n{command}\n")
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with Server(tmp_path, "sqlite:///forum.db", "--open") as server:
        if finds_browser:
            wait_until(lambda: opened.exists() and opened.read_text() == server.url)
        else:
            wait_until(lambda: "No browser could be opened" in server.printed)
        assert server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(
    ("option", "setting", "status"),
    [(None, "", 406), ("--demo", "", 200), ("--open", "", 200), ("--demo", "false", 406)],
)
def test_production_shows_playground_only_by_option(
    tmp_path: Path,
    seeded: str,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    setting: str,
    status: int,
) -> None:
    values = {"TALLIED_ENVIRONMENT": "production", "TALLIED_PLAYGROUND": setting, "BROWSER": "true"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    options = [option] if option else []
    with Server(tmp_path, seeded, *options, guests="read") as server:
        page = httpx.get(f"{server.url}/graphql", headers={"accept": "text/html"})
        assert page.status_code == status
        assert ("tallied.W001" in server.printed) is (status == 200)
        what = "GraphiQL" if status == 200 else "the API, without a playground,"
        assert f"Tallied is serving {server.url} ({what} at /graphql)." in server.printed


BEGIN = """mutation($a: String) { createThread(input: { title: "Engines", comment: {
  authorName: $a, message: "one two" } }) { thread { id wordCount } userErrors { code } } }"""
RENAME = """mutation($id: ID!) { renameThread(input: { threadId: $id, title: "Looms" }) {
  userErrors { code } } }"""


TWO = ("--workers", "2")
MAY_WRITE = [None, "SIGN_IN_REQUIRED"]


@pytest.mark.parametrize(
    ("arguments", "setting", "sentence", "codes"),
    [
        pytest.param(
            (), None, "Guests may only read;", ["SIGN_IN_REQUIRED", None], marks=pytest.mark.slow
        ),
        (("--guests", "read"), "moderate", "Guests may only read;", ["SIGN_IN_REQUIRED", None]),
        ((*TWO, "--guests", "write"), None, "Guests may read and write;", MAY_WRITE),
        pytest.param((), "write", "Guests may read and write;", MAY_WRITE, marks=pytest.mark.slow),
        pytest.param(
            (*TWO, "--guests", "moderate"),
            "read",
            "Guests may write and moderate,",
            [None, None],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_serve_prints_and_enforces_rights_of_guests(
    tmp_path: Path,
    arguments: tuple[str, ...],
    setting: str | None,
    sentence: str,
    codes: list[str | None],
) -> None:
    """In each worker process, too."""
    with Server(tmp_path, "sqlite:///forum.db", *arguments, guests=setting) as server:
        (line,) = (line for line in server.printed.splitlines() if line.startswith("Guests"))
        assert line.startswith(sentence)
        assert "--guests" in line
        assert "TALLIED_GUESTS" in line
        begun = server.ask(BEGIN, a="Ada")["createThread"]
        assert code_of(begun) == codes[0]
        if begun["thread"]:
            renamed = server.ask(RENAME, id=begun["thread"]["id"])
            assert code_of(renamed["renameThread"]) == codes[1]
        else:
            assert server.ask(COUNT) == {"threads": {"totalCount": 0}}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost"])
def test_public_moderating_guests_need_option(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``scripts/serve --host 0.0.0.0`` would have it, which sets both variables."""
    monkeypatch.setenv("TALLIED_ENVIRONMENT", "development")
    monkeypatch.setenv("TALLIED_GUESTS", "moderate")
    arguments = ["serve", "--host", host, "--database", "sqlite:///no/such/folder/forum.db"]
    refused, output = (
        Commands(capsys)(*arguments, "--port", str(free_port()), *more)
        for more in ([], ["--guests", "moderate"])
    )
    assert refused.code == output.code == 2
    assert ("could moderate" in refused.err) == (host != "localhost")
    assert "could moderate" not in output.err


def test_no_response_is_built_from_host_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_ALLOWED_HOSTS", "*")
    with Server(tmp_path, "sqlite:///forum.db") as server:
        headers = {"host": "evil.example"}
        for path, status in (("/graphql/", 404), ("/health/", 404), ("/", 200)):
            answer = httpx.get(f"{server.url}{path}", headers=headers, follow_redirects=False)
            assert answer.status_code == status
            assert "evil.example" not in answer.headers.get("location", "") + answer.text


def code_of(payload: dict[str, Any]) -> str | None:
    """Return the code of what a mutation was rejected for, if it was."""
    codes = [error["code"] for error in payload["userErrors"]]
    return codes[0] if codes else None


@pytest.mark.slow
def test_several_worker_processes_share_port(tmp_path: Path) -> None:
    with Server(tmp_path, "sqlite:///forum.db", "--workers", "2") as server:
        assert {server.ask(COUNT)["threads"]["totalCount"] for _ in range(8)} == {0}
        assert server.printed.count("Tallied is serving") == 1
        assert server.stop() == 0
        assert "Traceback" not in server.printed
    with pytest.raises(httpx.ConnectError):  # No worker is left that holds the port.
        server.ask(COUNT)


def test_port_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(tmp_path, "sqlite:///first.db") as server:
        url = f"sqlite:///{tmp_path / 'second.db'}"
        second = Commands(capsys)("serve", "--port", str(server.port), "--database", url)
        assert (second.code, second.out) == (2, "")
        assert second.err == (
            f"error: Port {server.port} is in use on 127.0.0.1;"
            " stop what listens there, or pass another --port.\n"
        )
        assert not (tmp_path / "second.db").exists()
        assert server.ask(COUNT) == {"threads": {"totalCount": 0}}


def test_settings_come_from_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLIED_HOST", "0.0.0.0")
    monkeypatch.setenv("TALLIED_PAGE_SIZE", "7")
    with Server(tmp_path, "sqlite:///forum.db", guests=None) as server:
        answer = httpx.post(
            f"{server.url}/graphql",
            json={"query": "{ threads(first: 8) { edges { node { id } } } }"},
        ).json()
        assert "7" in answer["errors"][0]["message"]


@pytest.mark.slow
def test_killed_demo_is_written_again_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a fifth of its size: what is written is one transaction at each."""
    assert seed.__kwdefaults__ is not None
    assert (seed.__kwdefaults__["threads"], seed.__kwdefaults__["comments"]) == (1000, 100_000)
    program = (sys.executable, "-c", SMALLER_DEMO)
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    counts = (
        "SELECT (SELECT count(*) FROM tallied_thread), (SELECT count(*) FROM tallied_comment),"
        " (SELECT sum(comment_count) FROM tallied_thread)"
        " - (SELECT count(*) FROM tallied_comment WHERE shown)"
    )
    killed = Server(tmp_path, url, "--demo", program=program)
    log, deadline = tmp_path / "demo.db-wal", time.monotonic() + 90
    while not log.is_file() or log.stat().st_size < 1_000_000:  # in the midst of the comments
        assert killed.process.poll() is None, killed.printed
        assert time.monotonic() < deadline, killed.printed
        time.sleep(0.01)
    killed.kill()
    with Server(tmp_path, url, "--demo", program=program) as server:
        assert "The database has no threads yet: writing demo data." in server.printed
        assert server.ask(COUNT) == {"threads": {"totalCount": 200}}
        assert server.stop() == 0
    assert tuple(sql(url, counts)[0]) == (200, 20_000, 0)
    assert Commands(capsys)("verify", "--database", url).code == 0

    with Server(tmp_path, url, "--demo", program=program) as server:
        assert "Writing demo data" not in server.printed
        assert "The database has 200 threads already, so no demo data" in server.printed
    assert tuple(sql(url, counts)[0]) == (200, 20_000, 0)
