"""Build the site of the documentation: python scripts/docs.py [--write] [FOLDER]

The pages are those of ``docs/`` and the reference that this generates from the code: the
settings, the codes of errors, the GraphQL schema and the Python API. Zensical renders them into
FOLDER (``site`` by default); a warning, such as a link that leads nowhere, is an error. ``--write``
writes ``docs/reference/settings.md`` and ``error-codes.md`` anew instead, which a test compares
with the code.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import reference

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = {
    ROOT / "docs" / "reference" / "settings.md": reference.print_settings,
    ROOT / "docs" / "reference" / "error-codes.md": reference.print_error_codes,
}

_BLOCKS = re.compile(r"^(```.*?^```)$", re.M | re.S)
_FILE = re.compile(r"^(```\w+) file=(\S+).*$", re.M)
_LINK = re.compile(r"\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def build(folder: Path) -> int:
    """Render the site into `folder`, and return the exit code of Zensical."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as work_folder:
        work = Path(work_folder)
        for page in (ROOT / "docs").rglob("*"):
            copy = work / page.relative_to(ROOT)
            if page.suffix == ".md":
                _write(copy, adapt(page, project["project"]["urls"]["Source"]))
            elif page.is_file():
                _write(copy, page.read_bytes())
        for name, text in reference.print_pages().items():
            _write(work / "docs" / "reference" / f"{name}.md", text)
        _link_package(work / "packages" / "tallied", project)
        for path in (ROOT / "zensical.toml", ROOT / "scripts" / "roles.py"):
            shutil.copy(path, work)
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        code = subprocess.run(command, cwd=work, check=False).returncode
        if not code:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(work / "site", folder)
    return code


def adapt(page: Path, source: str) -> str:
    """Return the text of a page as the site has it.

    Links to files of the repository that are not pages lead to their addresses below `source`,
    and a block that is a file has its name as a title.
    """

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match[1]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return match[0]
        return f"]({source}/{target.relative_to(ROOT)}{match[2] or ''})"

    parts = _BLOCKS.split(page.read_text("utf-8"))
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    parts[1::2] = [_FILE.sub(r'\1 title="\2"', part) for part in parts[1::2]]
    return "".join(parts)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _link_package(folder: Path, project: dict[str, Any]) -> None:
    """Make the package a folder called ``tallied``, as mkdocstrings reads it."""
    folder.mkdir(parents=True)
    packages = [name.split(".") for name in project["tool"]["setuptools"]["packages"]]
    for path in (*ROOT.glob("*.py"), *(ROOT / name[1] for name in packages if len(name) == 2)):
        (folder / path.name).symlink_to(path)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the site of the documentation.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    parser.add_argument(
        "--write", action="store_true", help="write the pages of settings and of codes instead"
    )
    options = parser.parse_args()
    if options.write:
        for page, print_page in WRITTEN.items():
            page.write_text(print_page(), "utf-8")
        return 0
    return build(options.folder)


if __name__ == "__main__":
    sys.exit(main())
