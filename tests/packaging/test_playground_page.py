"""The page of the playground is complete and names no other host."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import install
import playground as assets
import pytest

PAGE = assets.ROOT / "schema" / "playground"
OURS = sorted(
    path for path in PAGE.rglob("*") if path.is_file() and assets.VENDOR not in path.parents
)


def test_assets_have_pinned_versions() -> None:
    assert not assets.missing()


def test_every_file_that_page_refers_to_exists() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    references = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(references) >= 8
    for reference in references:
        assert reference.startswith("playground/")
        assert (PAGE.parent / reference).is_file(), reference


def test_every_example_that_script_names_exists() -> None:
    script = (PAGE / "playground.js").read_text("utf-8")
    listed = re.search(r"EXAMPLES = (\[.*?\])", script, re.DOTALL)
    assert listed is not None
    names = json.loads(listed[1])
    assert {path.stem for path in (PAGE / "examples").iterdir()} == set(names)
    for name in names:
        document = (PAGE / "examples" / f"{name}.graphql").read_text("utf-8")
        assert document.startswith("# ")
        with_variables = "($" in document.replace("(\n  $", "($")
        assert (PAGE / "examples" / f"{name}.json").is_file() is with_variables
        assert (f'"{name}"' in script.split("WITH_VARIABLES = ")[1].split(";")[0]) is with_variables


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_other_host_is_named(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.|@import", text)


def test_page_has_no_inline_script_or_style() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", html)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """An empty checkout whose lock pins one package; its archive is what `npm` below makes."""
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("package/dist/thing.js")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"thing"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    package = {
        "version": "1.0.0",
        "integrity": f"sha512-{digest}",
        "files": {"dist/thing.js": "thing.js"},
    }
    lock = tmp_path / "playground.json"
    lock.write_text(json.dumps({"thing": package}))
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n[ $1 = --version ] || cp '{archive}' ./thing-1.0.0.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    monkeypatch.setattr(assets, "LOCK", lock)
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    return package


@pytest.mark.usefixtures("checkout")
def test_assets_are_installed_once() -> None:
    assert assets.missing()
    assets.bring_in()
    thing = assets.VENDOR / "thing.js"
    assert thing.read_text() == "thing"
    assert not assets.missing()
    first = thing.stat().st_mtime_ns
    assets.bring_in()
    assert thing.stat().st_mtime_ns == first


@pytest.mark.usefixtures("checkout")
def test_incomplete_folder_is_installed_again() -> None:
    assets.bring_in()
    (assets.VENDOR / "thing.js").unlink()
    assert assets.missing()
    assets.bring_in()
    assert (assets.VENDOR / "thing.js").is_file()


def test_archive_with_another_hash_is_refused(checkout: dict[str, object]) -> None:
    checkout["integrity"] = "sha512-" + "A" * 86 + "=="
    assets.LOCK.write_text(json.dumps({"thing": checkout}))
    with pytest.raises(assets.AssetsError, match=r"thing 1\.0\.0 does not have the hash"):
        assets.bring_in()
    assert not assets.VENDOR.exists()


def test_changed_pin_makes_assets_stale(checkout: dict[str, object]) -> None:
    assets.bring_in()
    checkout["version"] = "1.0.1"
    assets.LOCK.write_text(json.dumps({"thing": checkout}))
    assert assets.missing()


@pytest.mark.usefixtures("checkout")
def test_failing_npm_is_reported_with_its_output(tmp_path: Path) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\n[ $1 = --version ] || { echo no network >&2; exit 1; }\n")
    with pytest.raises(assets.AssetsError, match="no network"):
        assets.bring_in()
    assert not assets.VENDOR.exists()


@pytest.mark.usefixtures("checkout")
def test_server_is_installed_without_assets_if_npm_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\n[ $1 = --version ] || { echo no network >&2; exit 1; }\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "_is_sound", lambda: True)
    monkeypatch.setattr(install, "is_current", lambda lock: True)
    install.install("serve")
    reply = capsys.readouterr().err
    assert "no network" in reply
    assert "going on without the playground; the next start tries again" in reply
    with pytest.raises(assets.AssetsError):
        install.install("test")
