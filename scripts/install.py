"""Install Tallied from this checkout into its .venv; with nothing to do, do nothing.

    python scripts/install.py [--check] serve|examples|test

``serve`` is what a server needs; ``examples`` is that, and what the example of a host
needs; ``test`` is both, and what the tests and the linters need. ``--check`` changes
nothing and exits 1 where there is something to do. Every package comes from a lock in
``requirements/`` that pins its version and its hashes.

What is installed stands in ``.venv/tallied.json``: an installation that was interrupted
starts afresh, one whose locks have changed is brought up to date, and a ``.venv`` that
was not made here is left alone.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv

import playground

ROOT = playground.ROOT
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "tallied.json"
REQUIREMENTS = ROOT / "requirements"

# What makes a change of these files a change of the environment.
INPUTS = ("pyproject.toml", "__init__.py", "scripts/install.py", "scripts/backend.py")

# Where pip would put things that do not belong into a virtual environment, or would ask
# of the locks what they do not say. Indexes, proxies and certificates stay the user's.
PIP = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
NOT_PIP = ("TARGET", "PREFIX", "ROOT", "PYTHON", "CONSTRAINT", "REQUIREMENT", "REQUIRE_HASHES")


class InstallError(Exception):
    """A step failed; the message says which, and what to do."""


def digest_of(lock: str) -> str:
    """Return a digest of everything that the environment of `lock` is made from."""
    digest = hashlib.sha256(f"{ROOT}\0{lock}".encode())
    for path in (*(ROOT / name for name in INPUTS), REQUIREMENTS / f"{lock}.txt"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def locks_of(target: str) -> list[str]:
    """Return the locks that `what` stands for, in the order of installation."""
    return ["serve"] if target == "serve" else ["serve", target]


def is_current(lock: str) -> bool:
    """Return whether `lock` is installed in its present form."""
    state = _state()
    return not state.get("unfinished") and state.get(lock) == digest_of(lock)


def install(target: str) -> None:
    """Install the environment and the assets that the checkout asks for.

    :raises InstallError: when a step failed; the next run takes it up again.
    """
    with open(ROOT / ".venv.lock", "w") as lock_file:
        # Two commands started at once in a fresh clone take turns.
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another installation into .venv to end")
            fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not _is_sound():
            _make_environment()
        try:
            _bring_in_assets()
        except (InstallError, playground.AssetsError) as error:
            if target == "test":
                raise
            print(
                f"tallied: {error}\ntallied: going on without the playground; the next start"
                " tries again.",
                file=sys.stderr,
            )
        for lock in locks_of(target):
            if not is_current(lock):
                _install(lock)


def _is_sound() -> bool:
    # An interrupted installation, a checkout that was moved, a Python that has gone or
    # has become another version under the same name: each means to start afresh.
    state = _state()
    if state.get("unfinished") or state.get("root") != str(ROOT) or not PYTHON.exists():
        return False
    answer = subprocess.run([PYTHON, "-I", "-c", "import pip"], capture_output=True, check=False)
    return answer.returncode == 0


def _make_environment() -> None:
    if VENV.exists() and any(VENV.iterdir()) and not STATE.exists():
        raise InstallError(
            "The folder .venv was not made by Tallied's scripts; move it away and run this again."
        )
    version = ".".join(map(str, sys.version_info[:3]))
    _say(f"making the environment .venv with Python {version}")
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    _record({"root": str(ROOT), "unfinished": "environment"})
    venv.create(VENV, symlinks=True, with_pip=True)
    _record({"root": str(ROOT)})


def _install(lock: str) -> None:
    state = _state()
    _record(state | {"unfinished": lock})
    _say(f"installing what requirements/{lock}.txt pins, each file checked against its hash")
    _pip("--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS / f"{lock}.txt"))
    if lock == "serve":
        _say("installing Tallied itself, from this checkout")
        _pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    state.pop("unfinished", None)
    _record(state | {lock: digest_of(lock)})


def _bring_in_assets() -> None:
    if not playground.missing():
        return
    if playground.find_npm() is not None:
        _say("bringing in the playground's assets with npm")
        playground.bring_in()
        return
    _say("bringing in the playground's assets; there is no npm here, so one is borrowed for it")
    with tempfile.TemporaryDirectory(prefix="tallied-npm-") as folder:
        _pip("--require-hashes", "--target", folder, "-r", str(REQUIREMENTS / "node.txt"))
        environ = {**os.environ, "PYTHONPATH": folder}
        script = str(ROOT / "scripts" / "playground.py")
        _run([str(PYTHON), "-s", script], environ, "The assets could not be had (see above)")


def _pip(*arguments: str) -> None:
    environ = {k: v for k, v in os.environ.items() if k not in {f"PIP_{n}" for n in NOT_PIP}}
    command = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "-qq"]
    failure = "pip could not install this (its own words are above)"
    _run([*command, "install", *arguments], environ | PIP, failure)


def _run(command: list[str], environ: dict[str, str], failure: str) -> None:
    if subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, check=False).returncode:
        raise InstallError(f"{failure}; once that is mended, run the same command again.")


def _state() -> dict[str, str]:
    try:
        state: dict[str, str] = json.loads(STATE.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return state


def _record(state: dict[str, str]) -> None:
    STATE.write_text(json.dumps(state, indent=1) + "\n", "utf-8")


def _say(text: str) -> None:
    print(f"tallied: {text} …", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line of this file; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 where there is work to do")
    parser.add_argument("target", choices=["serve", "examples", "test"])
    options = parser.parse_args()
    if options.check:
        current = all(is_current(lock) for lock in locks_of(options.target))
        is_importable = importlib.util.find_spec("tallied") is not None
        return 0 if current and is_importable and not playground.missing() else 1
    try:
        install(options.target)
    except (InstallError, playground.AssetsError) as error:
        print(f"tallied: {error}", file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"tallied: the installation failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tallied: interrupted; the same command starts it again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
