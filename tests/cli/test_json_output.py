"""``--format json``: every command and every error as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import build_client_schema
from support.commands import NEWEST, Commands, shown, sql

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_command_answers_in_json(
    empty_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = ("--database", empty_url, "--format", "json")
    migrated = commands("migrate", *form)
    (facts,) = lines(migrated.out)
    assert facts == {
        "message": f"Created Tallied's tables in {shown(empty_url)} (revision {NEWEST}).",
        "database": shown(empty_url),
        "before": None,
        "revision": NEWEST,
    }
    seeded = commands("seed", *form, "--threads", "3", "--comments", "40")
    assert (seeded.code, seeded.err) == (0, "")  # no bar
    assert lines(seeded.out)[-1] == {
        "message": "Added 3 threads and 40 comments.",
        "threads": 3,
        "comments": 40,
    }
    sql(empty_url, "UPDATE tallied_thread SET word_count = word_count + 17")
    wrong = commands("verify", *form)
    assert wrong.code == 1
    assert [drift["difference"] for drift in lines(wrong.out)] == [17, 17, 17]
    rebuilt = commands("rebuild", *form)
    assert (rebuilt.code, rebuilt.err) == (0, "")
    assert lines(rebuilt.out) == [{"message": "Put 3 rows right.", "rows": 3, "amounts": 0}]
    assert isinstance(json.loads(commands("check", *form).out), list)
    monkeypatch.setenv("TALLIED_SECRET", SECRET)
    (token,) = lines(commands("token", "7", *form).out)
    assert token.keys() == {"token"}
    printed = commands("print-schema", "--format", "json")
    assert build_client_schema(json.loads(printed.out)).get_type("Thread") is not None


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["verify", "--database", "nonsense"], "The database URL cannot be read"),
        (["token", "7", "--expires", "never"], "'never' is not a duration"),
        (["serve", "--port", "http"], "--port must be a whole number"),
        (["serv"], "is serve meant?"),
        (["verify", "--colour"], "There is no option --colour"),
    ],
)
def test_errors_are_json_by_option(commands: Commands, arguments: list[str], part: str) -> None:
    for chosen in (["--format", "json"], ["--format=json"]):
        refused = commands(*arguments, *chosen)
        assert (refused.code, refused.out) == (2, "")
        (output,) = lines(refused.err)
        assert output.keys() == {"error"}
        assert part in output["error"]["message"]
    assert commands(*arguments).err.startswith("error: ")
