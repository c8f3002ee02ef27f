"""The commands: their output, exit codes and effects."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from graphql import build_client_schema, build_schema
from support.commands import NEWEST, Commands, option, shown, sql
from support.server import TALLIED

import tallied
from tallied.cli.app import EXAMPLES
from tallied.documentation import find_command


def test_installed_command_says_its_version() -> None:
    result = subprocess.run([TALLIED, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"tallied {tallied.__version__}\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_command_has_help_with_example(name: str, commands: Commands) -> None:
    shown = commands(name, "--help")
    assert shown.code == 0
    assert f"Example: tallied {name}" in shown.out
    assert ("--database" in shown.out) == (name != "print-schema")
    assert "--format" in shown.out


def test_page_lists_every_command() -> None:
    page = Path(tallied.__file__).with_name("docs") / "reference/command-line.md"
    text = page.read_text("utf-8")
    assert f"\n    tallied {' | '.join(EXAMPLES)}\n" in text
    assert re.findall(r"^\| `(.*?)` \|", text, re.M) == list(EXAMPLES)


def test_package_runs_as_command() -> None:
    run = [sys.executable, "-m", "tallied"]
    result = subprocess.run([*run, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"tallied {tallied.__version__}\n"
    wrong = subprocess.run([*run, "nothing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: There is no command nothing;")
    assert wrong.stderr.endswith("See `python -m tallied --help`.\n")


def test_messages_name_command_as_called(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TALLIED_COMMAND", "./scripts/tallied")
    for arguments in (["nothing"], ["verify", "--sample", "0"]):
        assert "`./scripts/tallied" in commands(*arguments).err


def test_help_names_command_as_called() -> None:
    environ = {**os.environ, "_TALLIED_COMMAND": "./scripts/tallied"}
    run = [TALLIED, "verify", "--help"]
    help = subprocess.run(run, capture_output=True, text=True, check=True, env=environ).stdout
    assert help.startswith("Usage: ./scripts/tallied verify ")
    assert "`./scripts/tallied rebuild`" in help
    assert "Example: ./scripts/tallied verify " in help


@pytest.mark.parametrize(
    ("path", "program", "command"),
    [
        ("bin", "checkout/bin/tallied", "tallied"),
        ("empty", "checkout/bin/tallied", "checkout/bin/tallied"),
        ("empty", "a checkout/bin/tallied", "'a checkout/bin/tallied'"),
    ],
)
def test_command_is_named_by_path_unless_on_it(
    path: str, program: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tallied").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path))
    monkeypatch.setattr("sys.argv", [program, "verify"])
    assert find_command() == command


def test_no_command_lists_all_commands(commands: Commands) -> None:
    shown = commands()
    assert shown.code == 0
    assert all(f"  {name} " in shown.out for name in EXAMPLES)


def test_print_schema_prints_schema_and_nothing_else(commands: Commands) -> None:
    printed = commands("print-schema")
    assert (printed.code, printed.err) == (0, "")
    assert build_schema(printed.out).get_type("Thread") is not None


def test_print_schema_prints_introspection(commands: Commands) -> None:
    printed = commands("print-schema", "--format", "json")
    assert (printed.code, printed.err) == (0, "")
    assert build_client_schema(json.loads(printed.out)).get_type("Thread") is not None


def test_migrate_prints_result(empty_url: str, commands: Commands) -> None:
    first = commands("migrate", "--database", empty_url)
    assert (first.code, first.err) == (0, "")
    assert first.out == f"Created Tallied's tables in {shown(empty_url)} (revision {NEWEST}).\n"
    again = commands("migrate", "--database", empty_url)
    assert again.out == f"The database {shown(empty_url)} is up to date (revision {NEWEST}).\n"


def test_file_of_errors_has_no_progress_bar(seeded: str, commands: Commands) -> None:
    sql(seeded, "UPDATE tallied_thread SET word_count = 7")
    rebuilt = commands("rebuild", "--database", seeded)
    assert (rebuilt.code, rebuilt.err) == (0, "")


def test_database_is_named_by_environment(
    empty_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_DATABASE", empty_url)
    assert commands("migrate").code == 0
    assert sql(empty_url, "SELECT count(*) FROM tallied_thread")[0][0] == 0


@pytest.mark.usefixtures("terminal")
def test_seed_adds_printed_numbers(empty_url: str, commands: Commands) -> None:
    seeding = ("seed", "--database", empty_url, "--threads", "6", "--comments", "70")
    first = commands(*seeding)
    assert first.code == 0, first.err
    assert first.out.splitlines()[-1] == "Added 6 threads and 70 comments."
    assert "76/76" in first.err, "the progress bar"
    second = commands(*seeding)
    assert "The database has threads already; the new ones are added to them." in second.out
    for table, number in (("thread", 12), ("comment", 140)):
        assert sql(empty_url, f"SELECT count(*) FROM tallied_{table}")[0][0] == number
    assert commands("verify", "--database", empty_url).code == 0


@pytest.mark.usefixtures("terminal")
def test_verify_finds_drift_and_rebuild_repairs_it(seeded: str, commands: Commands) -> None:
    clean = commands("verify", "--database", seeded)
    assert (clean.code, clean.err) == (0, "")
    assert re.fullmatch(
        r"The counters of all \d+ reaction totals, 200 comments, 12 threads and \d+ authors are"
        r" right\.\n",
        clean.out,
    )

    query = (
        "SELECT id, word_count, comment_count FROM tallied_thread"
        " WHERE comment_count > 1 ORDER BY id LIMIT 2"
    )
    first, second = sql(seeded, query)
    sql(
        seeded,
        f"UPDATE tallied_thread SET word_count = word_count + 17 WHERE id = '{first.id}'",
        f"UPDATE tallied_thread SET comment_count = 5000 WHERE id = '{second.id}'",
    )
    before = sql(seeded, "SELECT * FROM tallied_thread ORDER BY id")

    drifted = commands("verify", "--database", seeded)
    assert (drifted.code, drifted.err) == (1, "")
    words, comments, summary = drifted.out.replace("-", "").splitlines()
    assert f"{first.id}".replace("-", "") in words
    assert f"stored {first.word_count + 17}, true {first.word_count}, difference +17" in words
    assert "Thread.word_count" in words
    assert f"{second.id}".replace("-", "") in comments
    assert f"stored 5000, true {second.comment_count}" in comments
    repair = f"run `tallied rebuild {option(seeded)}`."
    assert summary == f"2 counters are wrong; {repair}".replace("-", "")
    assert sql(seeded, "SELECT * FROM tallied_thread ORDER BY id") == before

    rebuilt = commands("rebuild", "--database", seeded, "--batch-size", "5")
    assert (rebuilt.code, rebuilt.out) == (0, "Put 2 rows right.\n")
    assert re.search(r"\b(\d\d+)/\1\b", rebuilt.err), "the progress bar"
    assert sql(seeded, query) == [first, second]
    assert commands("verify", "--database", seeded).code == 0
    assert commands("rebuild", "--database", seeded).out == "All counters were right.\n"


def test_verify_prints_json_lines(seeded: str, commands: Commands) -> None:
    assert commands("verify", "--format", "json", "--database", seeded).out == ""
    (row,) = sql(
        seeded,
        "SELECT id, word_count, last_comment_at FROM tallied_thread"
        " WHERE comment_count > 1 ORDER BY id LIMIT 1",
    )
    sql(
        seeded,
        "UPDATE tallied_thread SET word_count = word_count - 4,"
        f" last_comment_at = '2001-02-03 04:05:06' WHERE id = '{row.id}'",
    )
    drifted = commands("verify", "--format", "json", "--database", seeded)
    assert drifted.code == 1
    result = {drift["counter"]: drift for drift in map(json.loads, drifted.out.splitlines())}
    assert set(result) == {"Thread.word_count", "Thread.last_comment_at"}
    words, latest = result["Thread.word_count"], result["Thread.last_comment_at"]
    assert (words["stored"], words["true"], words["difference"]) == (
        row.word_count - 4,
        row.word_count,
        -4,
    )
    assert [key.replace("-", "") for key in words["key"]] == [str(row.id).replace("-", "")]
    assert latest["stored"].startswith("2001-02-03T04:05:06")
    stored, true = (datetime.fromisoformat(latest[name]) for name in ("stored", "true"))
    assert latest["difference"] == (stored - true).total_seconds()
