"""User errors: one line on standard error with the remedy, exit code 2, no change."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL
from support.commands import Commands, Result, option, sql
from support.server import free_port

from tallied.database import messages

COMMANDS = ("serve", "migrate", "seed", "verify", "rebuild")


@pytest.fixture
def commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """Commands that run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Commands(capsys)


@pytest.fixture
def port() -> int:
    return free_port()


def assert_refused(result: Result, *parts: str) -> None:
    assert result.code == 2
    assert result.out == ""
    assert re.fullmatch(r"error: [^\n]+[.]\n", result.err), result.err
    assert "Traceback" not in result.err
    assert "s3cret" not in result.err
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "The database URL cannot be read; use sqlite+aiosqlite:///FILE"),
        ("x.db", "'x.db' is not a URL; for an SQLite file, use sqlite+aiosqlite:///x.db."),
        (
            "/no/x.db",
            "'/no/x.db' is not a URL; for an SQLite file, use sqlite+aiosqlite:////no/x.db.",
        ),
        ("u:s3cret@h/x.db", "The database URL cannot be read; use sqlite+aiosqlite:///FILE"),
        ("", "The database URL cannot be read"),
        ("postgresql://u:s3cret@h:port/d", "The database URL cannot be read"),
        ("mysql://u:s3cret@h/d", "names 'mysql', which Tallied cannot use; use sqlite"),
        ("postgresql+pg8000://u:s3cret@h/d", "names 'postgresql+pg8000'"),
        ("postgresql://u:s3cret@s3cret@127.0.0.1/d", "has an @ in its password; write it as %40."),
        ("sqlite://", "A database in memory ends with the command; name a file"),
        ("sqlite:///:memory:", "A database in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "A database in memory"),
        (
            "sqlite:///absent.db",
            "There is no database at absent.db; run `tallied migrate --database"
            " sqlite:///absent.db` first",
        ),
        ("postgresql://u:s3cret@localhost:1/d", "u:***@localhost:1/d does not answer"),
        ("postgresql://u:s3cret@nowhere.invalid/d", "u:***@nowhere.invalid/d does not answer"),
        ("postgresql://localhost:1/d?user=u&password=s3cret", "localhost:1/d does not answer"),
        ("postgresql://u:s3cret@localhost:1/d?color=red", "the parameter 'color'"),
    ],
)
def test_database_url_that_cannot_be_used(url: str, reason: str, commands: Commands) -> None:
    assert_refused(commands("verify", "--database", url), reason)
    assert list(Path().iterdir()) == []


def test_printed_command_opens_same_relative_file(commands: Commands) -> None:
    relative = ("--database", "sqlite+aiosqlite:///a forum.db")
    match = re.search("`tallied (.*)`", commands("verify", *relative).err)
    assert match is not None
    assert commands(*shlex.split(match[1])).code == 0
    assert [path.name for path in Path().iterdir()] == ["a forum.db"]
    assert commands("verify", *relative).code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_checks_database(command: str, commands: Commands, port: int) -> None:
    serving = ("--port", str(port)) if command == "serve" else ()
    unreachable = "postgresql://u:s3cret@localhost:1/d"
    result = commands(command, "--database", unreachable, *serving)
    assert_refused(result, "check that it runs, and the URL's user, password, host")


def test_sqlite_file_that_cannot_be_opened(commands: Commands) -> None:
    remedy = "check that it is an SQLite file in a folder that is there and may be written to"
    assert_refused(
        commands("migrate", "--database", "sqlite:///no/folder/x.db"), "unable to open", remedy
    )
    Path("notes.txt").write_text("This is not a database, but long enough to look at. " * 40)
    before = Path("notes.txt").read_bytes()
    assert_refused(
        commands("migrate", "--database", "sqlite:///notes.txt"), "file is not a database", remedy
    )
    assert Path("notes.txt").read_bytes() == before


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_database_that_is_not_migrated(command: str, empty_url: str, commands: Commands) -> None:
    if empty_url.startswith("sqlite"):
        sql(empty_url, "CREATE TABLE article (id INTEGER)")
    assert_refused(
        commands(command, "--database", empty_url),
        f"has not been set up for Tallied; run `tallied migrate {option(empty_url)}` first",
    )


def test_postgresql_that_accepts_and_never_answers(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "CONNECT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/d?ssl=disable"
        assert_refused(commands("migrate", "--database", url), "no answer within 1 seconds")


@pytest.fixture
def locked(postgresql: URL) -> Iterator[URL]:
    """The URL of a role that has a password, and no right to make a table."""
    with psycopg.connect(postgresql.render_as_string(False), autocommit=True) as connection:
        connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        row = connection.execute("SHOW hba_file").fetchone()
        assert row is not None
        file = Path(str(row[0]))
        rules = file.read_text("utf-8")
        file.write_text("local all locked scram-sha-256\n" + rules, "utf-8")
        connection.execute("SELECT pg_reload_conf()")
        yield postgresql.set(drivername="postgresql", username="locked", password="right")
        file.write_text(rules, "utf-8")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP ROLE locked")


def test_wrong_password_unknown_database_and_missing_rights(
    locked: URL, commands: Commands
) -> None:
    wrong = locked.set(password="s3cret").render_as_string(hide_password=False)
    assert_refused(
        commands("migrate", "--database", wrong), "password authentication failed", "locked:***@"
    )
    unknown = locked.set(database="nowhere").render_as_string(hide_password=False)
    assert_refused(commands("migrate", "--database", unknown), 'database "nowhere" does not exist')
    powerless = locked.render_as_string(hide_password=False)
    assert_refused(
        commands("migrate", "--database", powerless), "permission denied for schema public"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["serve", "--port", "99999"],
            "--port must be a whole number from 1 to 65535, not '99999'.",
        ),
        (["serve", "--port", "0"], "--port must be a whole number from 1 to 65535, not '0'."),
        (["serve", "--port", "http"], "--port must be a whole number from 1 to 65535, not 'http'."),
        (["serve", "--port", "80.5"], "--port must be a whole number from 1 to 65535, not '80.5'."),
        (["serve", "--port"], "--port needs a value. See"),
        (["serve", "--demo=1"], "--demo takes no value. See"),
        (["serve", "--workers", "0"], "--workers must be a whole number from 1 to 64, not '0'."),
        (["serve", "--guests", "all"], "--guests must be read, write or moderate, not 'all'. See"),
        (["check", "--format", "xml"], "--format must be text or json, not 'xml'. See"),
        (["token"], "SUBJECT is missing. See `tallied token --help`."),
        (["token", "a", "b", "c"], "There are too many arguments: b c. See"),
        (["serve", "--host", "nowhere.invalid"], "is not an address of this machine; pass another"),
        (["serve", "--host", "192.0.2.1"], "'192.0.2.1' is not an address of this machine"),
        (
            ["seed", "--threads", "-5"],
            "--threads must be a whole number from 0 to 1000000, not '-5'.",
        ),
        (["seed", "--threads", "0"], "Comments need at least one thread"),
        (
            ["seed", "--threads", "9" * 30],
            "--threads must be a whole number from 0 to 1000000, not",
        ),
        (["rebuild", "--batch-size", "0"], "--batch-size must be a whole number from 1 to 100000"),
        (["verify", "--sample", "0"], "--sample must be a whole number of 1 or more, not '0'. See"),
        (["verify", "--colour"], "There is no option --colour; leave it out. See"),
        (["serve", "--prot", "80"], "There is no option --prot; is --port meant? See"),
        (["serv"], "There is no command serv; is serve meant? See `tallied --help`."),
        (["migrate", "extra"], "There are too many arguments: extra. See"),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], reason: str, commands: Commands, port: int
) -> None:
    if arguments[:2] == ["serve", "--host"]:
        arguments = [*arguments, "--port", str(port)]
    if arguments == ["seed", "--threads", "0"]:
        assert commands("migrate").code == 0
        result = commands(*arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert reason in result.err
        return
    assert_refused(commands(*arguments), reason)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "70000"), ("PORT", "80a"), ("WORKERS", "-1"), ("PAGE_SIZE", "1e3")],
)
def test_setting_in_environment_that_cannot_be_used(
    variable: str, value: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TALLIED_{variable}", value)
    assert_refused(
        commands("serve"), f"TALLIED_{variable} ", "must be a whole number from 1 to", f"{value}"
    )


def test_port_in_use_is_found_first(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(
            commands("serve", "--port", port, "--database", "sqlite:///new.db", "--demo"),
            f"Port {port} is in use on 127.0.0.1; stop what listens there, or pass another --port.",
        )
    assert not Path("new.db").exists()


def test_serve_refuses_unusable_persisted_document(
    empty_url: str, commands: Commands, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing = tmp_path / "documents.json"
    listing.write_text('{"fine-1": "{ __typename }", "bad-1": "{ unknown }"}')
    monkeypatch.setenv("TALLIED_PERSISTED_DOCUMENTS", str(listing))
    refused = commands("serve", "--database", empty_url, "--port", str(port))
    assert refused.code == 2
    assert re.fullmatch(r"error: [^\n]+[.]\n", refused.err), refused.err
    assert f"{listing}: the document 'bad-1'" in refused.err
    assert "Cannot query field 'unknown' on type 'Query'." in refused.err
