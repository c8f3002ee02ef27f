"""pyproject.toml, and the modules of the package."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path

import tallied

ROOT = Path(tallied.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]

# Run by Alembic, and never imported.
RUN_ELSEWHERE = ("tallied.migrations.env", "tallied.migrations.versions.")


def modules() -> list[str]:
    """Return the dotted names of all modules of the package."""
    names = list(PACKAGES)
    for package in PACKAGES:
        path = [str(ROOT.joinpath(*package.split(".")[1:]))]
        names += [m.name for m in pkgutil.iter_modules(path, f"{package}.") if not m.ispkg]
    return [name for name in names if not name.startswith(RUN_ELSEWHERE)]


def normal(name: str) -> str:
    """Return the normalised name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
