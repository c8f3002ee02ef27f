"""Viewers that a host passes, and the secrets of the settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tallied.auth.viewer import Viewer
from tallied.errors import ConfigurationError
from tallied.settings import Settings

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"


def test_viewer_has_subject_and_may_have_name() -> None:
    assert Viewer("auth0|5f7c") == Viewer("auth0|5f7c", None, False)
    assert Viewer("x" * 255, "\N{CJK UNIFIED IDEOGRAPH-5B57}" * 100).name is not None
    assert Viewer("7", "Zoë von\N{NO-BREAK SPACE}Ahn \N{FAMILY}\N{ZERO WIDTH JOINER}").name


def test_viewer_is_key() -> None:
    assert {Viewer("7", "Ada"): 3}[Viewer("7", "Ada")] == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        Viewer("7").subject = "8"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"subject": ""}, "The viewer's subject must have 1 to 255 characters"),
        ({"subject": " \t "}, "The viewer's subject must have 1 to 255 characters"),
        ({"subject": "x" * 256}, "not 256"),
        (
            {"subject": 7},
            "The viewer's subject must be a string, not of the type int; pass str(...)",
        ),
        ({"subject": None}, "not of the type NoneType"),
        ({"subject": "a\0b"}, "The viewer's subject has a control character"),
        ({"subject": "a\nb"}, "control character"),
        ({"subject": "a\x85b"}, "control character"),
        ({"subject": "a\ud800b"}, "half a surrogate pair"),
        ({"subject": "7", "name": ""}, "The viewer's name must have 1 to 100 characters"),
        ({"subject": "7", "name": "x" * 101}, "not 101"),
        ({"subject": "7", "name": b"Ada"}, "not of the type bytes"),
        ({"subject": "7", "name": "A\x1b[31mda"}, "The viewer's name has a control character"),
        ({"subject": "7", "is_moderator": "no"}, "The viewer's is_moderator must be True or False"),
    ],
)
def test_viewer_that_cannot_be_used_is_refused(values: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Viewer(**values)
    assert part in str(refused.value)


def test_refused_viewer_is_not_named() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Viewer("ada@example.com\n")
    assert "ada" not in str(refused.value)


@pytest.mark.parametrize("name", ["secret", "previous_secret"])
@pytest.mark.parametrize(
    "weak", ["x", "changeme", SECRET[:31], "secret" * 10, "0123456" * 9, SECRET + "\udc80"]
)
def test_weak_secret_is_refused_and_not_shown(name: str, weak: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings(**{"secret": SECRET, name: weak})
    message = str(refused.value)
    assert message.startswith(
        f"TALLIED_{name.upper()} (Settings.{name}) must be a text of at least 32 random bytes"
    )
    assert "secrets.token_urlsafe(32)" in message
    assert len(weak) == 1 or weak not in message


def test_previous_secret_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"TALLIED_SECRET \(Settings.secret\) is not"):
        Settings(previous_secret=SECRET)


def test_secrets_are_read_from_environment_and_never_shown() -> None:
    other = SECRET[::-1]
    settings = Settings.from_environ(
        {"TALLIED_SECRET": f"{SECRET}\n", "TALLIED_PREVIOUS_SECRET": other}
    )
    assert (settings.secret, settings.previous_secret) == (SECRET, other)
    assert SECRET not in repr(settings)
    assert other not in repr(settings)
    assert Settings().secret == ""
    passed_on = settings.to_environ()  # to the server's worker processes
    assert Settings.from_environ(passed_on) == settings
