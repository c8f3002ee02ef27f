"""The check of schema.graphql fails where the file lags behind, and names what breaks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import schema_files as checked

Copy = Callable[..., Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """``copy("old", "new")`` copies the file, altered."""

    def make(pattern: str, replacement: str) -> Path:
        text, count = re.subn(pattern, replacement, checked.FILE.read_text("utf-8"), count=1)
        assert count == 1
        file = tmp_path / checked.FILE.name
        file.write_text(text, "utf-8")
        return file

    return make


def test_file_is_what_code_prints() -> None:
    assert checked.find_differences(checked.FILE) == []


def test_missing_file_is_reported(tmp_path: Path) -> None:
    lines = checked.find_differences(tmp_path / "schema.graphql")
    assert lines[0] == "schema/schema.graphql is not what the code prints:"


@pytest.mark.parametrize(
    ("pattern", "replacement", "change"),
    [
        (
            r"\ntype Thread implements Node \{",
            r"\g<0>\n  slug: String!",
            "BREAKING FIELD_REMOVED: Field Thread.slug was removed.",
        ),
        (
            r"\n  editedAt: DateTime\n",
            "\n  editedAt: DateTime!\n",
            "BREAKING FIELD_CHANGED_KIND: "
            "Field Comment.editedAt changed type from DateTime! to DateTime.",
        ),
        (
            r"\nenum OrderDirection \{",
            r"\g<0>\n  RANDOM",
            "BREAKING VALUE_REMOVED_FROM_ENUM: Enum value OrderDirection.RANDOM was removed.",
        ),
        (
            r"\nenum OrderDirection \{\n.*\n  ASC\n",
            "\nenum OrderDirection {",
            "dangerous VALUE_ADDED_TO_ENUM: Enum value OrderDirection.ASC was added.",
        ),
    ],
    ids=["a field", "nullability", "an enum's value", "a new value"],
)
def test_each_change_for_clients_is_named(
    copy: Copy, pattern: str, replacement: str, change: str
) -> None:
    lines = checked.find_differences(copy(pattern, replacement))
    assert lines[0] == "schema/schema.graphql is not what the code prints:"
    assert any(line.startswith(("  +", "  -")) for line in lines)
    assert change in lines
    assert checked.is_breaking(lines) is change.startswith("BREAKING")


@pytest.mark.slow
def test_command_succeeds_for_correct_file() -> None:
    script = checked.ROOT / "scripts" / "schema_files.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_changes_since_revision(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copy(r"\n  updatedAt: DateTime!\n", r"\g<0>\n  views: Int!\n")
    folder = file.parent
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    (folder / "schema").mkdir()
    file.rename(folder / "schema" / "schema.graphql")
    for command in (["init", "-q"], ["add", "schema"], ["commit", "-qm", "A release"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(checked, "ROOT", folder)

    monkeypatch.setattr(sys, "argv", ["schema_files.py", "--since", "HEAD"])
    assert checked.main() == 1
    reply = capsys.readouterr().out
    assert reply == "BREAKING FIELD_REMOVED: Field Thread.views was removed.\n"

    monkeypatch.setattr(sys, "argv", ["schema_files.py", "--since", "v0"])
    with pytest.raises(SystemExit, match=r"git has no schema/schema.graphql at v0: .+"):
        checked.main()
