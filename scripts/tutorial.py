"""Run a tutorial as a reader would: python scripts/tutorial.py [--python PATH] [DOCUMENT …]

A block that begins with ```` ```python file=NAME ```` is written to that file; with `after=TEXT`,
it is put into it, below the first line that has this text. One that begins with
```` ```console ```` is run: each line after ``$`` is a command, and the lines below it are what
it must print, where ``...`` stands for anything. A command that ends with ``&`` is started, and
is waited for until it listens on its ``--port``. All happens in one folder, empty at first, with
the commands of the environment that `--python` is in before all others, and on a port that is
free.
"""

from __future__ import annotations

import argparse
import doctest
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "docs" / f"{page}.md"
    for page in (
        "tutorial/plugging-in",
        "how-to/policies-and-hooks",
        "how-to/threads-without-a-column",
        "how-to/merge-schemas",
        "reference/reading-and-writing",
        "reference/policy-and-hooks",
        "how-to/sessions",
        "how-to/backup",
    )
]
"""In this order: each goes on in the folder of those before it."""

TIMEOUT = 60.0
PORT = "8123"
"""The port that a tutorial names, in whose place a free one is used."""

_BLOCK = re.compile(
    r"^```(python file=(?P<name>\S+)(?: after=(?P<after>\S+))?|console)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
_ANYTHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Wrong(Exception):
    """Something does not happen as it is written."""


def run(document: Path, python: Path, folder: Path) -> int:
    """Do what a document says, and return how many blocks that were.

    :raises Wrong: for a command that fails, or prints something else.
    """
    # The commands see only the environment: no checkout, and no settings of the caller.
    inherited = {
        name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ
    }
    env = {**inherited, "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONUTF8": "1"}
    started: list[subprocess.Popen[bytes]] = []
    text = document.read_text("utf-8").replace(PORT, _free_port())
    try:
        for block in blocks(text):
            if block["name"]:
                _write(folder / block["name"], block["text"], block["after"])
                continue
            for command, expected in _commands(block["text"]):
                if command.endswith("&"):
                    started.append(_start(command, folder, env))
                else:
                    _run(command, expected, folder, env)
    finally:
        for process in started:
            process.terminate()
            process.wait(TIMEOUT)
    return len(blocks(text))


def blocks(text: str) -> list[re.Match[str]]:
    """Return the blocks of a document that are written or run."""
    return list(_BLOCK.finditer(text))


def _write(file: Path, text: str, after: str | None) -> None:
    if after is not None:
        before, found, rest = file.read_text("utf-8").partition(after)
        line, end, rest = rest.partition("\n")
        if not found:
            raise Wrong(f"{file.name} has no line with {after}")
        text = before + found + line + end + text + rest
    file.write_text(text, "utf-8")


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def _run(command: str, expected: str, folder: Path, env: dict[str, str]) -> None:
    result = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, timeout=TIMEOUT
    )
    printed, errors = result.stdout.decode(), result.stderr.decode()
    if result.returncode:
        raise Wrong(f"$ {command}\nexits with {result.returncode}:\n{printed}{errors}")
    if not doctest.OutputChecker().check_output(expected, printed, _ANYTHING):
        raise Wrong(f"$ {command}\nprints\n{printed}\nin place of\n{expected}")


def _start(command: str, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.removesuffix('&')}"], cwd=folder, env=env
    )
    port = re.search(r"--port (\d+)", command)
    deadline = time.monotonic() + TIMEOUT
    while port is not None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port[1]))) == 0:
                break
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Wrong(f"$ {command}\ndoes not listen")
        time.sleep(0.05)
    return process


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a tutorial as a reader would.")
    parser.add_argument("documents", nargs="*", type=Path, default=DOCUMENTS)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for document in options.documents:
            try:
                blocks = run(document, options.python, Path(folder))
            except Wrong as wrong:
                print(f"{document.name}: {wrong}", file=sys.stderr)
                return 1
            print(f"{document.name}: {blocks} blocks do what they say")
    return 0


if __name__ == "__main__":
    sys.exit(main())
