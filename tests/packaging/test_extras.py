"""Without an extra, imports of its parts name it, and everything else works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.project import EXTRAS, PROJECT, modules, normal

from tallied import extras
from tallied.database.urls import parse_url
from tallied.errors import MissingExtraError

IMPORT_ALL = """
import importlib, json, sys
hidden, names = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))  # so that Python finds no such module
errors = {}
for name in names:
    package = name.rpartition(".")[0]
    if package in errors:  # which is imported before its modules
        errors[name] = errors[package]
        continue
    try:
        importlib.import_module(name)
    except ImportError as error:
        errors[name] = f"{type(error).__name__}: {error}"
print(json.dumps(errors))
"""


def distributions(extra: str) -> set[str]:
    """Return the names of what pip installs for ``tallied[extra]``; for "", without an extra."""
    visited: set[tuple[str, str]] = set()
    waiting = [("tallied", extra)]
    while waiting:
        name, extra = node = waiting.pop()
        if node in visited:
            continue
        visited.add(node)
        for text in direct(extra) if name == "tallied" else requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(normal(requirement.name), own) for own in ("", *requirement.extras)]
    return {name for name, _ in visited} - {"tallied"}


def direct(extra: str) -> list[str]:
    """Return the requirements that pyproject.toml lists for an extra, or without one."""
    return EXTRAS[extra] if extra else PROJECT["project"]["dependencies"]


def extra_of(module: str) -> str:
    """Return the extra that a module of Tallied needs, or "" for none."""
    package = module.split(".")[1] if "." in module else ""
    if module == "tallied.counters.alembic":
        return "alembic"
    if package in ("asgi", "cli", "server"):
        return "server"
    if package == "pages":
        return "pages"
    none = ("", "counters", "documentation", "error_codes", "errors")
    none += ("extras", "setting_checks", "settings")
    return "" if package in none else "app"


def import_all(extra: str) -> dict[str, str]:
    """Return the errors of importing each module with nothing but the extra installed."""
    installed = distributions(extra)
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if module != "tallied" and not installed & {normal(owner) for owner in owners}
    ]
    names = [name for name in modules() if name != "tallied.__main__"]
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps([hidden, names])]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    errors: dict[str, str] = json.loads(result.stdout)
    return errors


@pytest.mark.parametrize(
    ("installed", "works"),
    [
        ("", {""}),
        pytest.param("alembic", {"", "alembic"}, marks=pytest.mark.slow),
        pytest.param("app", {"", "alembic", "app"}, marks=pytest.mark.slow),
        pytest.param("sqlite", {""}, marks=pytest.mark.slow),
        pytest.param("postgresql", {""}, marks=pytest.mark.slow),
        pytest.param("pages", {"", "alembic", "app", "pages"}, marks=pytest.mark.slow),
        pytest.param("server", {"", "alembic", "app", "pages", "server"}, marks=pytest.mark.slow),
    ],
)
def test_imports_without_their_extra_name_it(installed: str, works: set[str]) -> None:
    errors = import_all(installed)
    needs = {name: extra_of(name) for name in modules() if name != "tallied.__main__"}
    assert errors.keys() == {name for name, extra in needs.items() if extra not in works}
    for name, error in errors.items():
        assert error.startswith("MissingExtraError: "), name
        assert error.endswith(f'Run: pip install "tallied[{needs[name]}]"'), name


def test_modules_are_what_extras_install() -> None:
    owners = packages_distributions()
    for extra, names in extras.MODULES.items():
        assert {normal(owners[name][0]) for name in names} <= distributions(extra), extra
        # uvloop is optional, and SQLAlchemy is always installed.
        expected = {normal(Requirement(text).name) for text in direct(extra)}
        expected -= {"sqlalchemy", "tallied", "uvloop"}
        assert expected <= {normal(owners[name][0]) for name in names}, extra


def test_url_without_driver_names_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, extra in (("sqlite:///a.db", "sqlite"), ("postgres://a@b/c", "postgresql")):
        with monkeypatch.context() as patch:
            patch.setitem(extras.MODULES, extra, ("driver_that_is_missing",))
            with pytest.raises(MissingExtraError, match=rf"tallied\[{extra}\]") as caught:
                parse_url(url)
            assert str(caught.value).startswith("The database URL needs")


def test_broken_installation_raises_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "jwt.py").write_text("raise ImportError('of its own')")
    result = subprocess.run(
        [sys.executable, "-c", "import tallied.auth.tokens"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.endswith("\nImportError: of its own\n")


def test_command_without_extra_ends_with_one_sentence() -> None:
    program = "import sys; sys.modules['typer'] = None; import tallied.__main__"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert 'pip install "tallied[server]"' in result.stderr
