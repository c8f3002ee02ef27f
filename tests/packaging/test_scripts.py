"""The scripts: they choose a Python, pass on arguments and change nothing of the user."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import install
import pytest

SUITABLE = "exit 0"
WITHOUT_VENV = 'case "$*" in *ensurepip*) exit 1;; esac; exit 0'


class Checkout:
    """A copy of the scripts in a folder with spaces, and a PATH with chosen Pythons only."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout.d"
        self.path = folder / "bin"
        self.path.mkdir()
        for tool in ("bash", "dirname", "env", "mkdir", "cat", "chmod"):
            (self.path / tool).symlink_to(shutil.which(tool) or tool)
        shutil.copytree(install.ROOT / "scripts", self.root / "scripts")
        shutil.copytree(install.ROOT / "requirements", self.root / "requirements")
        for name in ("pyproject.toml", "__init__.py"):
            shutil.copy(install.ROOT / name, self.root)

    def add_python(self, name: str, version: str, answers: str = SUITABLE) -> None:
        """Add a Python that tells `version`, and makes a .venv whose tallied tells its arguments,
        and after ``--environ`` what its environment says, and its folder.

        :param answers: what it does when asked whether it is suitable.
        """
        venv = self.root / ".venv" / "bin"
        settings = "${TALLIED_ENVIRONMENT-unset} ${TALLIED_GUESTS-unset}"
        settings += " ${_TALLIED_COMMAND##*checkout.d/} $PWD"
        settings = f'case "$*" in *--environ) echo "{settings}";; esac'
        program = f"""#!/bin/sh
            [ "$1" = -I ] && case "$*" in *print*) echo {version}; exit;; *) {answers};; esac
            mkdir -p '{venv}'
            printf '#!/bin/sh\\necho {name}; printf "%%s|" "$@"\\n{settings}\\n' > '{venv}/tallied'
            chmod +x '{venv}/tallied'
        """
        (self.path / name).write_text(program)
        (self.path / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a script from another folder."""
        return subprocess.run(
            [self.root / "scripts" / script, *arguments],
            cwd=self.path,
            env={"PATH": str(self.path), **environ},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which a script ended."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_arguments_reach_command_unchanged(checkout: Checkout) -> None:
    checkout.add_python("python3", "3.12")
    result = checkout.run("serve", "--host", "a b", "*", "--demo")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "python3\nserve|--host|a b|*|--demo|"


@pytest.mark.parametrize(
    ("script", "environ", "reply"),
    [
        ("serve", {}, "development moderate"),
        ("serve", {"TALLIED_GUESTS": "read"}, "development read"),
        ("serve", {"TALLIED_ENVIRONMENT": "production"}, "production unset"),
        ("tallied", {}, "unset unset"),
    ],
)
def test_only_serve_defaults_to_development(
    checkout: Checkout, script: str, environ: dict[str, str], reply: str
) -> None:
    checkout.add_python("python3", "3.12")
    assert checkout.run(script, "--environ", **environ).stdout.endswith(
        f"|{reply} scripts/tallied {checkout.path}\n"  # where a relative database is looked for
    )


def test_newest_suitable_python_is_taken(checkout: Checkout) -> None:
    checkout.add_python("python3.14", "3.14", WITHOUT_VENV)
    checkout.add_python("python3.13", "", "exit 127")  # a shim with nothing behind it
    checkout.add_python("python3.12", "3.12")
    checkout.add_python("python3", "3.11")
    assert checkout.run("tallied", "verify").stdout == "python3.12\nverify|"


def test_missing_python_is_reported(checkout: Checkout) -> None:
    assert "there is no python3 on the PATH" in refused(checkout.run("serve"))


def test_old_python_is_named(checkout: Checkout) -> None:
    checkout.add_python("python3", "3.9", "exit 1")
    sentence = refused(checkout.run("serve"))
    assert "needs Python 3.11 or newer" in sentence
    assert "is Python 3.9;" in sentence


def test_python_without_venv_names_package(checkout: Checkout) -> None:
    checkout.add_python("python3", "3.12", WITHOUT_VENV)
    assert "apt install python3.12-venv" in refused(checkout.run("test"))


def test_foreign_environment_is_left_alone(checkout: Checkout) -> None:
    foreign = checkout.root / ".venv" / "pyvenv.cfg"
    foreign.parent.mkdir()
    foreign.write_text("theirs")
    (checkout.path / "python3").symlink_to(sys.executable)
    assert "was not made by Tallied's scripts" in refused(checkout.run("serve"))
    assert [path.name for path in foreign.parent.iterdir()] == [foreign.name]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which all is installed, says its record."""
    for name in (*install.INPUTS, "requirements/serve.txt", "requirements/test.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(install, "STATE", tmp_path / "tallied.json")
    state = {lock: install.digest_of(lock) for lock in ("serve", "test")} | {"root": str(tmp_path)}
    install.STATE.write_text(json.dumps(state))
    return tmp_path


def test_installation_is_current_until_its_inputs_change(root: Path) -> None:
    assert install.is_current("serve")
    assert install.is_current("test")
    (root / "requirements" / "test.txt").write_text("changed")
    assert install.is_current("serve")
    assert not install.is_current("test")
    (root / "pyproject.toml").write_text("changed")
    assert not install.is_current("serve")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("change", [{"unfinished": "test"}, {"serve": "another"}])
def test_interrupted_installation_is_not_current(change: dict[str, str]) -> None:
    install.STATE.write_text(json.dumps(json.loads(install.STATE.read_text()) | change))
    assert not install.is_current("serve")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("text", ["", "{", '{"root": '])
def test_torn_record_is_not_current(text: str) -> None:
    install.STATE.write_text(text)
    assert not install.is_current("serve")
