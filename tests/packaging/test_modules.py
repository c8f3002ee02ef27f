"""The root of the repository is the package: nothing of it may be loaded twice.

A module under two names would map its tables twice and keep its state twice, and a
top-level ``models`` would be taken for a host's own.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from support.project import PACKAGES, ROOT, modules

import tallied

NOT_THE_PACKAGE = {"tests", "benchmarks", "examples", "scripts", ".venv"}


def loaded() -> dict[Path, list[str]]:
    """Return the files of the package that this process has loaded, with the names they have."""
    names: dict[Path, list[str]] = defaultdict(list)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(ROOT):
            path = Path(file).relative_to(ROOT)
            if path.parts[0] not in NOT_THE_PACKAGE:
                names[path].append(name)
    return names


def test_no_module_is_loaded_under_two_names() -> None:
    for name in modules():
        importlib.import_module(name)
    names = loaded()
    # pytest may load the inert one of the root once more, as the package that tests/ is in.
    names.pop(Path("__init__.py"), None)
    assert len(names) >= 20
    assert {path: results for path, results in names.items() if len(results) > 1} == {}
    assert {results[0].split(".")[0] for results in names.values()} == {"tallied"}


def test_root_module_is_inert() -> None:
    # It may be loaded twice under pytest, so it must hold nothing that could then be twofold.
    docstring, *remainder = ast.parse((ROOT / "__init__.py").read_text("utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert [ast.unparse(statement) for statement in remainder] == [
        f"__version__ = {tallied.__version__!r}"
    ]


def test_every_package_of_tree_is_installed() -> None:
    results = {
        ".".join(("tallied", *path.parent.relative_to(ROOT).parts))
        for path in ROOT.rglob("__init__.py")
        if not set(path.relative_to(ROOT).parts) & (NOT_THE_PACKAGE | {"build", "node_modules"})
    }
    assert results == set(PACKAGES)


def test_installation_leaves_no_stray_top_level_name(tmp_path: Path) -> None:
    strays = {name.split(".")[1] for name in PACKAGES if "." in name} | {"scripts", "tests"}
    program = (
        "import importlib.util as u, sys\n"
        "import tallied.models\n"
        "print([n for n in sys.argv[1:] if u.find_spec(n) or n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", program, *sorted(strays)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
