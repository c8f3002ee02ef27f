"""Where the pages of the documentation and the command are, for hints that name one."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from shlex import quote
from shutil import which

ROOT = Path(__file__).parent

_CALLED_AS = "_TALLIED_COMMAND"
"""The variable in which ``scripts/tallied`` says how it was called."""


def find_command() -> str:
    """Return what people type for ``tallied``, as they called it: it may not be on their path."""
    program = Path(sys.argv[0])
    if script := os.environ.get(_CALLED_AS):
        return quote(script)
    if program == ROOT / "__main__.py":
        return "python -m tallied"
    return quote(sys.argv[0]) if program.name == "tallied" and not which("tallied") else "tallied"


def name_command(text: str) -> str:
    """Return a text whose commands, in backticks, are as people type them."""
    return text.replace("`tallied ", f"`{find_command()} ")


def find_page(page: str, anchor: str = "") -> str:
    """Return the file of a page such as ``reference/checks`` in a checkout, else its address.

    A wheel has no ``docs/``. The address is the project's "Documentation" in ``pyproject.toml``,
    and nowhere else.
    """
    fragment = f"#{anchor}" if anchor else ""
    if (ROOT / "docs" / f"{page}.md").is_file():
        return f"docs/{page}.md{fragment}"
    try:
        addresses = metadata("tallied").get_all("Project-URL") or []
    except PackageNotFoundError:
        addresses = []
    for entry in addresses:
        label, _, base = entry.partition(", ")
        if label == "Documentation":
            place = "" if page == "index" else f"{page}/"
            return f"{base.rstrip('/')}/{place}{fragment}"
    return f"docs/{page}.md of the source"


def find_finding(id: str) -> str:
    """Return where a finding is described.

    :param id: such as ``tallied.E005``, or ``counters.E004`` of the counter engine.
    """
    part, _, number = id.rpartition(".")
    page = "reference/counters" if part == "counters" else "reference/checks"
    return find_page(page, number.lower())
