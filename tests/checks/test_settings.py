"""Checks without a database: settings that are dangerous, contradictory or without effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tallied.checks import Finding, check_settings, read_settings
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.settings import Guests, Settings

SECRET = "pZ3vQx7Lk0mWn8Rt2Yc5Uf9Hs1Jd4Ga6"
OTHER = "b7Wq2Xe9Zr4Tc1Yv6Un3Im8Oo5Pp0Lk7"
NAMED = {"allowed_hosts": "forum.example"}
SOUND = Settings(secret=SECRET)
"""In production; nothing is wrong with it."""


async def no_titles(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, str]:
    return {}


def target(guests: Guests | None) -> HostRules:
    return HostRules(targets=targets_by_name([Target("article", no_titles, guests=guests)]))


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def one(findings: list[Finding], id: str) -> Finding:
    (finding,) = [item for item in findings if item.id == id]
    assert finding.sentence.endswith(".")
    assert finding.hint.endswith(".")
    return finding


def test_sound_settings_pass() -> None:
    assert check_settings(SOUND) == []
    assert check_settings(SOUND, target(None)) == []
    assert check_settings(Settings(environment="development", guests="moderate")) == []


@pytest.mark.parametrize(
    ("settings", "id", "named"),
    [
        ({"playground": True}, "tallied.W001", "TALLIED_PLAYGROUND=false"),
        ({"playground": True}, "tallied.W001", "Settings(playground=False) or "),
        (NAMED | {"guests": "write"}, "tallied.W002", "TALLIED_GUESTS (Settings.guests)"),
        (NAMED | {"guests": "write"}, "tallied.W002", "TALLIED_GUESTS"),
        ({"guests": "moderate"}, "tallied.E004", "TALLIED_GUESTS"),
        ({"secret": ""}, "tallied.W003", "TALLIED_SECRET"),
        ({"previous_secret": OTHER}, "tallied.W004", "Remove it"),
        ({"origins": "*"}, "tallied.W008", "TALLIED_ORIGINS"),
        ({"origins": " * ", "environment": "development"}, "tallied.W008", "Settings(origins="),
        ({"only_persisted": True}, "tallied.E003", "TALLIED_PERSISTED_DOCUMENTS"),
        ({"page_size": 1000, "operation_cost": 999}, "tallied.W006", "TALLIED_OPERATION_COST"),
        ({"message_length": 2000, "body_size": 1999}, "tallied.W006", "TALLIED_BODY_SIZE"),
    ],
)
def test_dangerous_setting_is_reported(settings: dict[str, Any], id: str, named: str) -> None:
    sound = {"secret": SECRET}
    findings = check_settings(Settings(**{**sound, **settings}))
    assert ids(findings) == [id]
    assert named in findings[0].sentence + findings[0].hint
    assert SECRET not in str(findings)
    assert OTHER not in str(findings)


def test_checks_without_a_moderator_are_reported() -> None:
    settings = Settings(environment="development", guests="write", link_limit=2)
    assert ids(check_settings(settings, has_viewers=False)) == ["tallied.W025"]
    assert check_settings(settings) == []


@pytest.mark.parametrize(
    "settings", [{"introspection": False}, {"only_persisted": True, "persisted_documents": "x"}]
)
def test_playground_without_assets_is_reported(settings: dict[str, Any]) -> None:
    created = Settings(environment="development", secret=SECRET, **settings)
    assert ids(check_settings(created)) == ["tallied.W005"]


@pytest.mark.parametrize(
    ("guests", "id"), [("write", "tallied.W002"), ("moderate", "tallied.E004")]
)
def test_rights_of_guests_are_reported_per_target(guests: Guests, id: str) -> None:
    findings = check_settings(SOUND, target(guests))
    assert ids(findings) == [id]
    assert "'article'" in findings[0].sentence


def test_server_without_names_where_guests_write_is_warned_of() -> None:
    written = Settings(secret=SECRET, guests="write")
    warned = one(check_settings(written), "tallied.W009")
    assert "TALLIED_ALLOWED_HOSTS=forum.example" in warned.hint
    for hosts in ("forum.example", "*"):
        assert "tallied.W009" not in ids(check_settings(replace(written, allowed_hosts=hosts)))
    assert ids(check_settings(written, HostRules(guests="write"))) == [
        "tallied.W002"
    ]  # a host's own


def test_writers_depend_on_host() -> None:
    unknown_author = Settings()
    assert ids(check_settings(unknown_author)) == ["tallied.W003"]
    assert check_settings(unknown_author, has_viewers=True) == []
    assert ids(check_settings(SOUND, has_viewers=False)) == ["tallied.W003"]
    assert "tallied.W003" not in ids(check_settings(unknown_author, target("write")))


def test_all_mistakes_of_environment_are_reported() -> None:
    settings, findings = read_settings(
        {
            "TALLIED_PORT": "http",
            "TALLIED_PAGE_SIZE": "7",
            "TALLIED_GUESTS": "all",
            "TALLIED_SECRET": "hunter2",
            "TALLIED_PREVIOUS_SECRET": SECRET,
            "TALLIED_GUEST": "write",
            "TALLIED_COLOUR_OF_IT_ALL": "red",
            "PATH": "/bin",
        },
        database="sqlite:///x.db",
    )
    assert (settings.page_size, settings.port, settings.secret) == (7, 8000, "")
    assert settings.database == "sqlite:///x.db"
    refused = [finding.sentence.split()[0] for finding in findings if finding.id == "tallied.E002"]
    assert refused == ["TALLIED_GUESTS", "TALLIED_PORT", "TALLIED_SECRET"]
    assert "hunter2" not in str(findings)
    unknown = {
        f.sentence.split()[4].rstrip(","): f.hint for f in findings if f.id == "tallied.W007"
    }
    assert unknown["TALLIED_GUEST"] == "Did you mean TALLIED_GUESTS?"
    assert "docs/reference/settings.md" in unknown["TALLIED_COLOUR_OF_IT_ALL"]
    assert len(findings) == 5


@pytest.mark.parametrize(
    ("environ", "refused", "previous"),
    [
        ({"TALLIED_SECRET": SECRET, "TALLIED_PREVIOUS_SECRET": OTHER}, 0, OTHER),
        ({"TALLIED_SECRET": SECRET, "TALLIED_PREVIOUS_SECRET": "weak"}, 1, ""),
        ({"TALLIED_PREVIOUS_SECRET": OTHER}, 1, ""),
        ({"TALLIED_PREVIOUS_SECRET": " "}, 0, ""),
    ],
)
def test_previous_secret_needs_secret(environ: dict[str, str], refused: int, previous: str) -> None:
    settings, findings = read_settings(environ)
    assert ids(findings) == ["tallied.E002"] * refused
    assert settings.previous_secret == previous
    assert settings.secret == environ.get("TALLIED_SECRET", "")
