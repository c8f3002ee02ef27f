"""`tallied check`, and the checks that `tallied serve` makes before it starts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.commands import Commands, sql
from support.server import Server, free_port

import tallied

ROOT = Path(str(tallied.__file__)).parent
DOCS = (ROOT / "docs" / "reference" / "checks.md").read_text("utf-8")
IN_CODE = {
    id
    for path in (ROOT / "checks").glob("*.py")
    for id in re.findall(r'"(tallied\.[EW]\d+)"', path.read_text("utf-8"))
}


@pytest.fixture
def commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """Commands that run in an empty folder, for a server that is set up well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLIED_PLAYGROUND", "false")
    monkeypatch.setenv("TALLIED_SECRET", "pZ3vQx7Lk0mWn8Rt2Yc5Uf9Hs1Jd4Ga6")
    return Commands(capsys)


@pytest.fixture
def migrated(empty_url: str, commands: Commands) -> str:
    """The URL of a database that is at the newest revision."""
    assert commands("migrate", "--database", empty_url).code == 0
    return empty_url


def test_sound_database_passes(migrated: str, commands: Commands) -> None:
    for options in ((), ("--deep", "--fail-level", "warning")):
        checked = commands("check", "--database", migrated, *options)
        assert (checked.code, checked.out, checked.err) == (0, "All checks have passed.\n", "")
    checked = commands("check", "--database", migrated, "--format", "json")
    assert (checked.code, json.loads(checked.out)) == (0, [])


def test_warning_fails_only_by_fail_level(migrated: str, commands: Commands) -> None:
    sql(migrated, "DROP INDEX ix_tallied_thread_word_count_id")
    checked = commands("check", "--database", migrated)
    assert (checked.code, checked.err) == (0, "")
    first, hint, summary = checked.out.splitlines()
    assert first.startswith("warning tallied.W012  The index ix_tallied_thread_word_count_id of")
    assert hint.startswith("    HINT: Create the index")
    assert hint.endswith("(docs/reference/checks.md#w012)")
    assert summary == "The checks have found 1 warning; docs/reference/checks.md says more."
    assert commands("check", "--database", migrated, "--fail-level", "error").code == 0
    assert commands("check", "--database", migrated, "--fail-level", "warning").code == 1


def test_one_run_reports_everything(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLIED_PORT", "http")
    monkeypatch.setenv("TALLIED_GUESTS", "moderate")
    monkeypatch.setenv("TALLIED_PERSISTED_DOCUMENTS", "nowhere.json")
    monkeypatch.setenv("TALLIED_GUEST", "read")
    unreachable = "postgresql://u:s3cret@localhost:1/d"
    checked = commands("check", "--database", unreachable, "--format", "json")
    assert (checked.code, checked.err) == (1, "")
    rows = json.loads(checked.out)
    assert [(row["level"], row["id"]) for row in rows] == [
        ("error", "tallied.E001"),
        ("error", "tallied.E002"),
        ("error", "tallied.E004"),
        ("error", "tallied.E005"),
        ("warning", "tallied.W007"),
    ]
    assert all(row["sentence"].endswith(".") and row["hint"] for row in rows)
    assert "s3cret" not in checked.out
    assert "5" not in commands("check", "--database", unreachable).out.splitlines()[-1]


def test_missing_database_is_not_created(commands: Commands) -> None:
    checked = commands("check", "--database", "sqlite:///absent.db")
    assert checked.code == 1
    assert "error tallied.E001  There is no database at absent.db" in checked.out
    assert list(Path().iterdir()) == []
    for url in ("nonsense", "sqlite:///no/folder/x.db", "sqlite://"):
        checked = commands("check", "--database", url)
        assert (checked.code, checked.err) == (1, "")
        assert checked.out.startswith("error tallied.E001  ")


def test_deep_check_finds_drift(migrated: str, commands: Commands) -> None:
    assert commands("seed", "--threads", "3", "--comments", "9", "--database", migrated).code == 0
    sql(migrated, "UPDATE tallied_thread SET word_count = word_count + 5")
    assert commands("check", "--database", migrated).code == 0
    checked = commands("check", "--database", migrated, "--deep")
    assert checked.code == 1
    assert "error tallied.E022  Thread.word_count is wrong in 3 rows" in checked.out


@pytest.mark.parametrize(
    ("option", "value"), [("--fail-level", "info"), ("--format", "xml"), ("--depth", "3")]
)
def test_options_that_cannot_be_used(option: str, value: str, commands: Commands) -> None:
    refused = commands("check", option, value)
    assert (refused.code, refused.out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+[.]\n", refused.err), refused.err
    assert option in refused.err


def test_serve_refuses_bad_settings_first(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_GUESTS", "moderate")
    refused = commands("serve", "--database", "sqlite:///new.db", "--port", str(free_port()))
    assert (refused.code, refused.out) == (2, "")
    assert re.fullmatch(r"error: \(tallied\.E004\) [^\n]+ HINT: [^\n]+\n", refused.err)
    assert list(Path().iterdir()) == []


def test_serve_refuses_database_that_is_in_error(migrated: str, commands: Commands) -> None:
    sql(migrated, "DROP INDEX uq_tallied_thread_target_type_target_id")
    refused = commands("serve", "--database", migrated, "--port", str(free_port()))
    assert refused.code == 2
    assert re.fullmatch(r"error: \(tallied\.E015\) [^\n]+ HINT: [^\n]+\n", refused.err)
    assert "serving" not in refused.out


@pytest.mark.slow
def test_serve_prints_warning_once_with_many_workers(tmp_path: Path, commands: Commands) -> None:
    url = f"sqlite:///{tmp_path / 'forum.db'}"
    assert commands("migrate", "--database", url).code == 0
    sql(url, "DROP INDEX ix_tallied_thread_word_count_id")
    with Server(tmp_path, url, "--workers", "2") as server:
        assert server.printed.count("warning: (tallied.W012)") == 1
        assert server.printed.count("warning:") == 1
        assert server.stop() == 0


def test_every_check_is_described_and_tested() -> None:
    described = re.findall(r'^\| <a id="[ew]\d+"></a>`(tallied\.[EW]\d+)` \|', DOCS, re.MULTILINE)
    assert described == sorted(IN_CODE)
    tests = " ".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py"))
    tested = set(re.findall(r"tallied\.[EW]\d+", tests))
    assert tested == IN_CODE
