"""Hold the schema's files to the code: python scripts/schema_files.py [--write | --since REVISION]

``schema/schema.graphql`` and ``schema/introspection.json`` are part of the package, and
clients generate code from them. Without an option this fails where one of them is not
what the code says, shows the difference, and names each change that would break a
client. ``--write`` writes both. ``--since`` compares the code with the file as it was
at a revision, such as the last release, and fails for a change that breaks.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from pathlib import Path

from graphql import (
    BreakingChange,
    DangerousChange,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
)

from tallied.schema.printing import print_introspection, print_sdl

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "schema"
FILES = {"schema.graphql": print_sdl, "introspection.json": print_introspection}


def stale(folder: Path) -> list[str]:
    """What is to be said of the files in `folder`; nothing where they are what the code says."""
    told: list[str] = []
    for name, print_it in FILES.items():
        path = folder / name
        old = path.read_text("utf-8") if path.is_file() else ""
        new = print_it()
        if old == new:
            continue
        told.append(f"schema/{name} is not what the code says:")
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), name, "the code", n=2, lineterm=""
        )
        told += [f"  {line}" for line in list(lines)[:200]]
        if name == "schema.graphql" and old:
            told += changes(old)
    return told


def changes(old: str) -> list[str]:
    """What the code changes for clients of the schema `old`, one change a line."""
    known, code = build_schema(old), build_schema(print_sdl())
    return [
        *map(_line, find_breaking_changes(known, code)),
        *map(_line, find_dangerous_changes(known, code)),
    ]


def breaks(told: list[str]) -> bool:
    """Whether one of the changes breaks clients."""
    return any(line.startswith("BREAKING") for line in told)


def _line(change: BreakingChange | DangerousChange) -> str:
    kind = "BREAKING" if isinstance(change, BreakingChange) else "dangerous"
    return f"{kind} {change.type.name}: {change.description}"


def main() -> int:
    """Run the command line of this file; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write both files")
    parser.add_argument("--since", metavar="REVISION", help="compare with a revision of git")
    options = parser.parse_args()
    if options.since:
        command = ["git", "-C", str(ROOT), "show", f"{options.since}:schema/schema.graphql"]
        known = subprocess.run(command, capture_output=True, text=True, check=False)
        if known.returncode:
            sys.exit(f"git has no schema/schema.graphql at {options.since}: {known.stderr.strip()}")
        told = changes(known.stdout)
        print("\n".join(told) or "nothing that a client would notice has changed")
        return 1 if breaks(told) else 0
    if options.write:
        for name, print_it in FILES.items():
            (FOLDER / name).write_text(print_it(), "utf-8")
    if told := stale(FOLDER):
        print("\n".join(told))
        print("write both anew with: .venv/bin/python scripts/schema_files.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
