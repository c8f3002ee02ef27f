"""Where the pages of the documentation are, for hints that name one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parent


def find_page(name: str) -> str:
    """Return the path of a page such as ``checks.md`` in a checkout, and its address elsewhere.

    A wheel has no ``docs/``. The address is the project's "Documentation" in ``pyproject.toml``,
    and nowhere else.
    """
    if (ROOT / "docs" / name).is_file():
        return f"docs/{name}"
    try:
        addresses = metadata("tallied").get_all("Project-URL") or []
    except PackageNotFoundError:
        addresses = []
    for entry in addresses:
        label, _, base = entry.partition(", ")
        if label == "Documentation":
            return f"{base.rstrip('/')}/{name}"
    return f"docs/{name} of the source"
