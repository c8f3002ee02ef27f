"""Run the tests on every Python, with the lowest and the newest dependencies that are allowed.

    python scripts/matrix.py [--python 3.12]... [--dependencies lowest]... [-- PYTEST...]

Each run has an environment of its own, thrown away at the end: Tallied from this checkout;
what ``pyproject.toml`` names for all extras at its lowest version, all at the newest, or all but
SQLAlchemy, of which it is the newest 2.0 (``sqlalchemy-2.0``); and the newest of what the tests
need. uv solves that, and no lock is read or written. Without arguments for pytest, all but the
slowest tests run. The exit code is 1 where a run failed, or nothing could run; a Python that this
machine lacks is listed and fails nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = {
    "lowest": ("lowest-direct", ""),
    "sqlalchemy-2.0": ("highest", "sqlalchemy<2.1"),
    "newest": ("highest", ""),
}
"""The resolution strategies of uv, each with a constraint on the versions."""

NEEDED = "import bz2, ctypes, ensurepip, sqlite3, ssl, venv"

SLOW = (
    "benchmarks/test_benchmarks.py",
    "benchmarks/test_http.py",
    "benchmarks/test_soak.py",
    "clients",
    "packaging",
    "seed",
    "server/test_http_load.py",
)
"""What runs only when it is asked for, and the packaging, which concerns no dependency."""

QUICK = [
    *(f"--ignore=tests/{name}" for name in SLOW),
    "tests",
]


class Run(NamedTuple):
    """One row of the table."""

    python: str
    dependencies: str
    result: str
    failed: bool


class StepError(Exception):
    """A step of a run failed; the message is its last words."""


def main() -> int:
    """Run the command line of this file; the exit status."""
    words = sys.argv[1:]
    own, tests = words, QUICK
    if "--" in words:
        own, tests = words[: words.index("--")], words[words.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", metavar="VERSION", help="such as 3.12")
    parser.add_argument("--dependencies", action="append", choices=list(RESOLUTIONS))
    options = parser.parse_args(own)
    with tempfile.TemporaryDirectory(prefix="tallied-matrix-") as folder:
        uv = _uv(Path(folder))
        runs = []
        for run in _runs(options.python or PYTHONS, options.dependencies or RESOLUTIONS, uv, tests):
            print(f"matrix: {run.python}, {run.dependencies}: {run.result}", flush=True)
            runs.append(run)
    _print_table(runs)
    ran = [run for run in runs if run.dependencies != "-"]
    return 0 if ran and not any(run.failed for run in ran) else 1


def _runs(
    pythons: list[str] | tuple[str, ...],
    kinds: list[str] | dict[str, str],
    uv: Path,
    tests: list[str],
) -> Iterator[Run]:
    for version in pythons:
        python = find_python(version)
        if python is None:
            yield Run(version, "-", "not on this machine", False)
            continue
        for kind in kinds:
            with tempfile.TemporaryDirectory(prefix="tallied-matrix-") as folder:
                try:
                    result, failed = _run(python, kind, uv, Path(folder), tests)
                except StepError as error:
                    result, failed = str(error), True
            yield Run(_version(python), kind, result, failed)


def find_python(version: str) -> str | None:
    """Return a complete Python of that version on the PATH or of pyenv, or None."""
    candidates = [shutil.which(f"python{version}"), shutil.which("python3")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [
        str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    ]
    for path in filter(None, candidates):
        # A version manager's shim may stand for no Python at all: ask each.
        if _version(path).startswith(f"{version}.") and _succeeds([path, "-I", "-c", NEEDED]):
            return path
    return None


def _version(python: str) -> str:
    program = "import platform; print(platform.python_version())"
    result = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True)
    return result.stdout.strip()


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _uv(folder: Path) -> Path:
    venv.create(folder / "uv", symlinks=True, with_pip=True)
    binaries = folder / "uv" / "bin"
    _step([str(binaries / "pip"), "install", "-q", "--disable-pip-version-check", "uv"], "uv")
    return binaries / "uv"


def _run(
    python: str, dependencies: str, uv: Path, folder: Path, tests: list[str]
) -> tuple[str, bool]:
    """Return the last line of pytest, and whether it failed."""
    inside, pins = folder / "env" / "bin" / "python", folder / "pins.txt"
    resolution, constraint = RESOLUTIONS[dependencies]
    (folder / "constraints.txt").write_text(constraint)
    _step([str(uv), "venv", "-q", "--no-config", "--python", python, str(folder / "env")], "venv")
    solve = ["pip", "compile", "-q", "--no-config", "--python", str(inside), "--no-header"]
    solve += ["--resolution", resolution, "--no-annotate", "--extra", "all", "pyproject.toml"]
    solve += ["--constraint", str(folder / "constraints.txt"), "--output-file", str(pins)]
    _step([str(uv), *solve], "no versions fit together")
    install = [str(uv), "pip", "install", "-q", "--no-config", "--python", str(inside)]
    groups = ["--group", "pyproject.toml:test", "--group", "pyproject.toml:examples"]
    groups += ["--group", "pyproject.toml:build"]
    _step([*install, "--no-build", "-r", str(pins), *groups], "not installable")
    _step([*install, "--no-deps", "--no-build-isolation", "--editable", "."], "Tallied")
    print(f"\n== Python {_version(python)}, {dependencies}", flush=True)
    print(*sorted(pins.read_text("utf-8").split()), flush=True)
    environ = {**os.environ, "PATH": f"{inside.parent}:{os.environ['PATH']}"}
    environ.pop("PYTHONPATH", None)
    command = [str(inside), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        last = ""
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|error)|no tests ran", line):
                last = line.strip(" =\n")
    return last or f"pytest ended with {process.returncode}", process.returncode != 0


def _step(command: list[str], what: str) -> None:
    # A Python that reads this environment's settings would install into the wrong place.
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environ |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    result = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    if result.returncode:
        words = " ".join((result.stderr or result.stdout).split())
        raise StepError(f"{what}: {words[:300]}")


def _print_table(runs: list[Run]) -> None:
    rows = [("python", "dependencies", "", "result"), *((*r[:2], _mark(r), r.result) for r in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print()
    for row in rows:
        print("  ".join([*map(str.ljust, row, widths), row[3]]))


def _mark(run: Run) -> str:
    return "missing" if run.dependencies == "-" else "FAILED" if run.failed else "passed"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StepError as error:
        sys.exit(f"matrix: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
