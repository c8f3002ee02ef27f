"""The locks name versions and hashes and never an index."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.project import EXTRAS, PROJECT, ROOT, normal

REQUIREMENTS = ROOT / "requirements"
LOCKS = {
    "serve": PROJECT["build-system"]["requires"]
    + [
        text
        for texts in (PROJECT["project"]["dependencies"], *EXTRAS.values())
        for text in texts
        if Requirement(text).name != "tallied"
    ],
    "sqlalchemy-2.0": PROJECT["project"]["dependencies"],
    "examples": PROJECT["dependency-groups"]["examples"],
    "test": [
        dependency
        for group in ("examples", "test", "lint", "docs")
        for dependency in PROJECT["dependency-groups"][group]
    ],
    "node": PROJECT["dependency-groups"]["node"],
}
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)( ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(lock: str) -> dict[str, str]:
    """Return the versions of a lock; fail on a line that is not a pin, hash or comment."""
    result: dict[str, str] = {}
    for line in (REQUIREMENTS / f"{lock}.txt").read_text("utf-8").splitlines():
        if match := PIN.match(line):
            assert match[1] not in result or match[3]  # the pin of some versions of Python
            result[match[1]] = match[2]
        else:
            assert line.lstrip().startswith("#") or HASH.match(line), line
    return result


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_all_dependencies(lock: str) -> None:
    result = pins(lock)
    for text in LOCKS[lock]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(result[normal(requirement.name)]), text


def test_tests_use_served_versions() -> None:
    served = pins("serve")
    assert len(served) > 20
    assert served.items() <= pins("examples").items() <= pins("test").items()


def test_build_group_equals_build_requirements() -> None:
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.iterdir()), ids=lambda path: path.name)
def test_lock_names_no_host_and_no_folder(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE)
    assert " /" not in text


def test_assets_are_pinned_by_version_and_hash() -> None:
    lock = json.loads((REQUIREMENTS / "playground.json").read_text("utf-8"))
    assert {"graphiql", "react", "react-dom"} <= set(lock)
    for package in lock.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])


def test_clients_are_pinned_by_version_and_hash() -> None:
    folder = ROOT / "tests" / "clients"
    manifest = json.loads((folder / "package.json").read_text("utf-8"))
    lock = json.loads((folder / "package-lock.json").read_text("utf-8"))
    root = lock["packages"].pop("")
    for group in ("dependencies", "devDependencies"):
        assert root[group] == manifest[group]
        for name, version in manifest[group].items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
            assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, package in lock["packages"].items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
        assert "resolved" not in package, name
