"""scripts/matrix.py finds the Pythons of a machine and prints the results of each."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import matrix
import pytest


def test_pythons_begin_with_oldest_allowed() -> None:
    project = tomllib.loads((matrix.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={matrix.PYTHONS[0]}"


def test_python_is_found_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert matrix.find_python(version) is None
    shim = tmp_path / f"python{version}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert matrix.find_python(version) is None, "a shim that stands for nothing"
    inside = tmp_path / "versions" / f"{version}.1" / "bin"
    inside.mkdir(parents=True)
    (inside / "python").symlink_to(sys.executable)
    assert matrix.find_python(version) == str(inside / "python")
    shim.unlink()
    shim.symlink_to(sys.executable)
    assert matrix.find_python(version) == str(shim)
    shim.rename(tmp_path / "python3.99")
    assert matrix.find_python("3.99") is None, "a name that lies about its version"


def test_runs_are_printed_as_table(capsys: pytest.CaptureFixture[str]) -> None:
    matrix._print_table(
        [
            matrix.Run("3.11.7", "lowest", "1 failed, 612 passed in 90.00s", True),
            matrix.Run("3.11.7", "newest", "613 passed in 88.00s", False),
            matrix.Run("3.14", "-", "not on this machine", False),
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "",
        "python  dependencies           result",
        "3.11.7  lowest        FAILED   1 failed, 612 passed in 90.00s",
        "3.11.7  newest        passed   613 passed in 88.00s",
        "3.14    -             missing  not on this machine",
    ]


def test_unknown_options_are_refused() -> None:
    command = [sys.executable, matrix.__file__, "--dependencies", "oldest"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "invalid choice: 'oldest'" in refused.stderr
