"""The check of the schema's files: it fails where they lag behind, and names what breaks."""

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
    """``copy("schema.graphql", "old", "new")`` copies both files, one of them altered."""

    def make(name: str, *replacement: str) -> Path:
        for file in checked.FILES:
            text = (checked.FOLDER / file).read_text("utf-8")
            if file == name:
                text, count = re.subn(*replacement, text, count=1)
                assert count == 1
            (tmp_path / file).write_text(text, "utf-8")
        return tmp_path

    return make


def test_the_files_are_what_the_code_says() -> None:
    assert checked.stale(checked.FOLDER) == []


@pytest.mark.parametrize("name", checked.FILES)
def test_a_missing_file_is_told(copy: Copy, name: str) -> None:
    folder = copy("schema.graphql", "^", "")
    (folder / name).unlink()
    assert checked.stale(folder)[0] == f"schema/{name} is not what the code says:"


def test_a_difference_in_introspection_is_told(copy: Copy) -> None:
    told = checked.stale(copy("introspection.json", '"name": "wordCount"', '"name": "words"'))
    assert told[0] == "schema/introspection.json is not what the code says:"
    assert any(line.startswith("  +") and '"wordCount"' in line for line in told)


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
    told = checked.stale(copy("schema.graphql", pattern, replacement))
    assert told[0] == "schema/schema.graphql is not what the code says:"
    assert change in told
    assert checked.breaks(told) is change.startswith("BREAKING")


def test_the_command_succeeds_for_files_that_are_right() -> None:
    script = checked.ROOT / "scripts" / "schema_files.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_changes_since_a_revision(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy("schema.graphql", r"\n  updatedAt: DateTime!\n", r"\g<0>\n  views: Int!\n")
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    (folder / "schema").mkdir()
    (folder / "schema.graphql").rename(folder / "schema" / "schema.graphql")
    for command in (["init", "-q"], ["add", "schema"], ["commit", "-qm", "A release"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(checked, "ROOT", folder)

    monkeypatch.setattr(sys, "argv", ["schema_files.py", "--since", "HEAD"])
    assert checked.main() == 1
    told = capsys.readouterr().out
    assert told == "BREAKING FIELD_REMOVED: Field Thread.views was removed.\n"

    monkeypatch.setattr(sys, "argv", ["schema_files.py", "--since", "v0"])
    with pytest.raises(SystemExit, match=r"git has no schema/schema.graphql at v0: .+"):
        checked.main()
