"""The programs and the configurations that the how-to guides show, as their readers copy them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tallied

from .server import TIMEOUT
from .waiting import wait_until

FOLDER = Path(tallied.__file__).parent / "docs" / "how-to"


def read_block(page: str, language: str, text: str = "") -> str:
    """Return the one block of a guide in a language that has a text."""
    content = (FOLDER / f"{page}.md").read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", content, re.M | re.S)
    (block,) = (block for block in blocks if text in block)
    return str(block)


def replace_all(text: str, values: Mapping[str, str]) -> str:
    """Return a text with values of the test's own; each must be there."""
    for old, new in values.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def run_block(page: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Execute the program of a guide with values of the test's own, and return its names."""
    names: dict[str, Any] = {"__name__": page}
    code = replace_all(read_block(page, "python"), values)
    exec(compile(code, f"docs/how-to/{page}.md", "exec"), names)
    return names


def find_program(name: str, package: str) -> str:
    """Return the path of a program; skip the test where there is none."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        pytest.skip(f"this machine has no {name}; on Debian, apt install {package}")
    return path


@contextmanager
def running(command: Sequence[str | Path], folder: Path, port: int | None = None) -> Iterator[Path]:
    """Run a program in a folder until the block ends; yield the file of what it says.

    :param port: where it listens, which is waited for.
    """
    log = folder / f"{Path(command[0]).name}.log"
    # Caddy keeps its files at these places.
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **home},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        if port:
            wait_until(listens)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
