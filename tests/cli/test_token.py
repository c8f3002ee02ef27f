"""``tallied token`` prints one token, or one line with the reason."""

from __future__ import annotations

import time
from datetime import timedelta

import jwt
import pytest
from support.commands import Commands

from tallied.auth.tokens import decode_token
from tallied.auth.viewer import Viewer
from tallied.cli.token import parse_duration
from tallied.errors import ConfigurationError

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("TALLIED_SECRET", SECRET)
    return Commands(capsys)


def minutes_left(token: str) -> float:
    claims = jwt.decode(token, options={"verify_signature": False})
    return (claims["exp"] - time.time()) / 60


@pytest.mark.parametrize(
    ("arguments", "viewer", "minutes"),
    [
        (["42"], Viewer("42"), 60),
        (["auth0|5f7c", "--name", "Zoë"], Viewer("auth0|5f7c", "Zoë"), 60),
        (["7", "--moderator", "--expires", "2d"], Viewer("7", None, True), 2880),
        (["7", "--expires", "600s"], Viewer("7"), 10),
        (["--expires", "90m", "--", "-7"], Viewer("-7"), 90),
    ],
)
def test_token_is_printed_and_nothing_else(
    commands: Commands, arguments: list[str], viewer: Viewer, minutes: int
) -> None:
    printed = commands("token", *arguments)
    assert (printed.code, printed.err) == (0, "")
    assert decode_token(SECRET, printed.out.removesuffix("\n")) == viewer
    assert minutes - 1 < minutes_left(printed.out.strip()) <= minutes


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([""], "The viewer's subject must have 1 to 255 characters"),
        (["x" * 256], "not 256"),
        (["42", "--name", " "], "The viewer's name must have 1 to 100 characters"),
        (["42", "--name", "A\x1bda"], "The viewer's name has a control character"),
        (["42", "--expires", "0s"], "A token expires after 1 second to 366 days, not after 0"),
        (["42", "--expires", "367d"], "not after 31,708,800 seconds"),
        (["42", "--expires", "999999999d"], "A token expires after 1 second to 366 days"),
        (["42", "--expires", "soon"], "'soon' is not a duration; write a whole number and s,"),
        ([], "SUBJECT is missing. See `tallied token --help`."),
    ],
)  # fmt: skip
def test_unusable_arguments_are_one_line(
    commands: Commands, arguments: list[str], part: str
) -> None:
    refused = commands("token", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: ")
    assert refused.err.count("\n") == 1
    assert part in refused.err


@pytest.mark.parametrize(
    ("secret", "part"),
    [
        ("", "TALLIED_SECRET is not set, and tokens are signed with it"),
        ("hunter2", "TALLIED_SECRET (Settings.secret) must be a text of at least 32"),
        ("hunter2" * 9, "TALLIED_SECRET (Settings.secret) must be a text of at least 32"),
    ],
)
def test_missing_or_weak_secret_is_refused(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, secret: str, part: str
) -> None:
    monkeypatch.setenv("TALLIED_SECRET", secret)
    refused = commands("token", "42")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"error: {part}")
    assert "secrets.token_urlsafe(32)" in refused.err
    assert "hunter2" not in refused.err


def test_duration_is_whole_number_with_its_unit() -> None:
    assert parse_duration("90s") == timedelta(seconds=90)
    assert parse_duration("15m") == timedelta(minutes=15)
    assert parse_duration(" 12h ") == timedelta(hours=12)
    assert parse_duration("7d") == timedelta(days=7)


@pytest.mark.parametrize(
    "text",
    ["", "h", "7", "1.5h", "-1h", "+1h", "1 h", "1H", "1w", "1h30m", "٣h", "1h\n2", "1234567890s"],
)
def test_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a duration; write a whole number and"):
        parse_duration(text)
