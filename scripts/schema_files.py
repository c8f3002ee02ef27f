"""Compare schema.graphql with the code: python scripts/schema_files.py [--write | --since REVISION]

``schema/schema.graphql`` is part of the package, and clients generate code from it.
Without an option this fails where the file is not what the code prints, shows the
difference, and names each change that would break a client. ``--write`` writes the
file. ``--since`` compares the code with the file as it was at a revision, such as the
last release, and fails for a change that breaks.
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

from tallied.schema.printing import print_sdl

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "schema" / "schema.graphql"


def find_differences(file: Path) -> list[str]:
    """Return the differences between `file` and what the code prints, as lines to show."""
    old = file.read_text("utf-8") if file.is_file() else ""
    new = print_sdl()
    if old == new:
        return []
    diff = difflib.unified_diff(
        old.splitlines(), new.splitlines(), file.name, "the code", n=2, lineterm=""
    )
    lines = [f"schema/{file.name} is not what the code prints:"]
    lines += [f"  {line}" for line in list(diff)[:200]]
    return lines + (find_changes(old) if old else [])


def find_changes(old: str) -> list[str]:
    """Return what the code changes for clients of the schema `old`, one change a line."""
    schemas = build_schema(old), build_schema(print_sdl())
    changes = [*find_breaking_changes(*schemas), *find_dangerous_changes(*schemas)]
    return [_format_change(change) for change in changes]


def is_breaking(lines: list[str]) -> bool:
    """Return whether one of the changes breaks clients."""
    return any(line.startswith("BREAKING") for line in lines)


def _format_change(change: BreakingChange | DangerousChange) -> str:
    kind = "BREAKING" if isinstance(change, BreakingChange) else "dangerous"
    return f"{kind} {change.type.name}: {change.description}"


def main() -> int:
    """Run the command line of this file, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the file")
    parser.add_argument("--since", metavar="REVISION", help="compare with a revision of git")
    options = parser.parse_args()
    if options.since:
        command = ["git", "-C", str(ROOT), "show", f"{options.since}:schema/schema.graphql"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        if shown.returncode:
            sys.exit(f"git has no schema/schema.graphql at {options.since}: {shown.stderr.strip()}")
        changes = find_changes(shown.stdout)
        print("\n".join(changes) or "nothing that a client would notice has changed")
        return 1 if is_breaking(changes) else 0
    if options.write:
        FILE.write_text(print_sdl(), "utf-8")
    if differences := find_differences(FILE):
        print("\n".join(differences))
        print("write it anew with: .venv/bin/python scripts/schema_files.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
