"""Write the README as an index of packages shows it: with addresses in place of relative links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "README.md"
"""What ``readme`` in ``pyproject.toml`` names."""

_LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def use_addresses(text: str) -> str:
    """Replace the relative links of the README by addresses below the project's URLs.

    A page of ``docs/`` leads to the site, and any other file to the source.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    site, source = (project["urls"][name] for name in ("Documentation", "Source"))

    def address(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        if not path.startswith("docs/"):
            return f"]({source}/{path}{anchor})"
        page = path.removeprefix("docs/")
        if page.endswith(".md"):
            page = page.removesuffix(".md").removesuffix("index").rstrip("/") + "/"
        return f"]({site}/{page.lstrip('/')}{anchor})"

    return _LINK.sub(address, text)


def write() -> None:
    """Write the README for the metadata of a build."""
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(use_addresses((ROOT / "README.md").read_text("utf-8")), "utf-8")
