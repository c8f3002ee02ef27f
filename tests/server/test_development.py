"""A development server creates its secret, which the other commands use."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import httpx
import pytest
from support.commands import Commands
from support.server import Server

from tallied.auth.tokens import decode_token
from tallied.errors import ConfigurationError
from tallied.server.development import begin, file_of, is_development, with_secret
from tallied.settings import Settings

OWN = "pZ3vQx7Lk0mWn8Rt2Yc5Uf9Hs1Jd4Ga6"


@pytest.fixture
def commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """Commands for which nothing is set, as in a new terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Commands(capsys)


def test_check_and_token_agree_with_server_that_runs(
    empty_url: str, tmp_path: Path, commands: Commands
) -> None:
    with Server(tmp_path, empty_url) as server:
        checked = commands("check", "--database", empty_url, "--fail-level", "warning")
        assert (checked.code, checked.out) == (0, "All checks have passed.\n")
        assert "Checked for development" in checked.err
        token = commands("token", "42", "--name", "Ada", "--database", empty_url)
        assert (token.code, token.err) == (0, "")
        response = httpx.post(
            f"{server.url}/graphql",
            json={"query": "{ viewer { name } }"},
            headers={"authorization": f"Bearer {token.out.strip()}"},
        )
        assert response.json()["data"] == {"viewer": {"name": "Ada"}}


def test_token_made_before_server_is_accepted(
    empty_url: str, tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLIED_ENVIRONMENT", "development")
    token = commands("token", "7", "--database", empty_url).out.strip()
    settings = begin(Settings(database=empty_url, environment="development"))
    assert decode_token(settings.secret, token).subject == "7"


def test_server_for_production_forgets_secret(empty_url: str, commands: Commands) -> None:
    development = Settings(database=empty_url, environment="development")
    secret = begin(development).secret
    assert begin(development).secret == secret
    assert is_development(development)
    assert begin(Settings(database=empty_url)).secret == ""
    assert not is_development(development)
    refused = commands("token", "7", "--database", empty_url)
    assert (refused.code, refused.out) == (2, "")
    assert "TALLIED_SECRET is not set" in refused.err
    assert "TALLIED_ENVIRONMENT=development" in refused.err
    assert begin(development).secret != secret


def test_configured_secret_is_never_written(
    empty_url: str, tmp_path: Path, commands: Commands
) -> None:
    values = Settings(database=empty_url, environment="development", secret=OWN)
    with_secret(values)
    created = begin(Settings(database=empty_url, environment="development")).secret
    assert begin(values).secret == OWN
    file = file_of(values)
    assert file is not None
    assert file.read_bytes() == b""
    assert is_development(values)
    # A token that the server would not accept is not made.
    assert "TALLIED_SECRET" in commands("token", "7", "--database", empty_url).err
    again = begin(Settings(database=empty_url, environment="development")).secret
    assert again not in (created, OWN, "")


def test_secret_is_readable_by_its_owner_alone(empty_url: str, commands: Commands) -> None:
    settings = begin(Settings(database=empty_url, environment="development"))
    file = file_of(settings)
    assert file is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(settings.secret) == 43
    assert [path for path in file.parent.iterdir() if path != file] == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_configured_production_is_checked(
    empty_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands("migrate", "--database", empty_url).code == 0
    begin(Settings(database=empty_url, environment="development"))
    monkeypatch.setenv("TALLIED_ENVIRONMENT", "production")
    monkeypatch.setenv("TALLIED_PLAYGROUND", "true")
    checked = commands("check", "--database", empty_url, "--format", "json")
    ids = [finding["id"] for finding in json.loads(checked.out)]
    assert ids == ["tallied.W001", "tallied.W003"]
    assert checked.err == ""


def test_secret_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/forum.db"
    Path(tmp_path, "nowhere").write_text("a file in place of the folder")
    settings = Settings(database=url, environment="development")
    with pytest.raises(ConfigurationError, match=r"^The secret for development cannot be kept in"):
        begin(settings)
    assert with_secret(Settings(database="sqlite://", environment="development")).secret == ""


@pytest.mark.parametrize("backend", ["sqlite"])
def test_secret_that_was_tampered_with_is_refused(empty_url: str) -> None:
    settings = Settings(database=empty_url, environment="development")
    file = file_of(settings)
    assert file is not None
    file.write_text("hunter2")
    with pytest.raises(ConfigurationError) as refused:
        begin(settings)
    assert os.fspath(file) in str(refused.value)
    assert "hunter2" not in str(refused.value)
