"""`--app module:discussion`: the commands with the database and the counters of a host."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from support.commands import NEWEST, Commands, option, shown, sql

APP = """
from magazine.discussion import make_discussion, make_engine
from starlette.applications import Starlette
from tallied.discussion import Discussion

discussion = make_discussion(make_engine({url!r}))
number = 7
plain = Discussion(make_engine({url!r}))
in_memory = Discussion("sqlite+aiosqlite://")
asgi = Starlette()

def make():
    return discussion

def fail():
    raise RuntimeError("no such luck")
"""

TABLES = """
import asyncio
from {name} import discussion
from magazine.setup import set_up
from magazine.demo import fill

async def main():
    await set_up(discussion)
    await fill(discussion, "a password")
    await discussion.database.engine.dispose()
asyncio.run(main())
"""

Write = Callable[[str], str]


@pytest.fixture
def app(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory, with a magazine's Discussion in it."""
    name = f"app_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(APP.format(url=empty_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def filled(app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same with tables, articles and what was said about them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    exec(compile(TABLES.format(name=app), "tables", "exec"), {})
    return f"{app}:discussion"


@pytest.mark.slow
def test_counters_of_host_are_verified_and_rebuilt(
    filled: str, empty_url: str, commands: Commands
) -> None:
    right = commands("verify", "--app", filled)
    assert (right.code, right.err) == (0, "")
    assert "articles" in right.out
    sql(empty_url, "UPDATE article SET comment_count = comment_count + 17")
    wrong = commands("verify", "--app", filled, "--format", "json")
    drifts = [json.loads(line) for line in wrong.out.splitlines()]
    assert wrong.code == 1
    assert [(item["counter"], item["stored"] - item["true"]) for item in drifts] == [
        ("Article.comment_count", 17)
    ] * 3
    result = commands("check", "--app", filled, "--deep", "--format", "json")
    ids = {item["id"]: item["sentence"] for item in json.loads(result.out)}
    assert result.code == 1
    assert "Article.comment_count is wrong in 3 rows" in ids["tallied.E022"]
    one = commands("verify", "--app", filled, "Article", "--where", "id = 2")
    assert (one.code, len(one.out.splitlines())) == (1, 2)
    # Of the database alone, Tallied's counters are all that is known.
    assert commands("verify", "--database", empty_url).code == 0
    rebuilt = commands("rebuild", "--app", filled)
    assert (rebuilt.code, rebuilt.out) == (0, "Put 3 rows right.\n")
    assert commands("verify", "--app", filled.replace("discussion", "make")).code == 0


@pytest.mark.slow
def test_counters_missing_in_discussion_are_named(
    filled: str, empty_url: str, commands: Commands
) -> None:
    # In processes of their own: the tests' other hosts have articles, too.
    alone = partial(
        subprocess.run,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    forgot = filled.replace("discussion", "plain")
    for command in ("verify", "rebuild"):
        refused = alone([sys.executable, "-m", "tallied", command, "--app", forgot])
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(
            "error: (tallied.E024) Article.comment_count is kept on MagazineSession"
        )
        assert "session_class=MagazineSession" in refused.stderr
    checked = commands("check", "--app", forgot, "--deep", "--format", "json")
    assert checked.code == 1
    assert "tallied.E024" in {item["id"] for item in json.loads(checked.out)}
    sql(empty_url, "DROP TABLE article")
    for command in ("verify", "rebuild"):
        output = commands(command, "--app", filled)
        assert (output.code, output.out) == (2, "")
        assert "(tallied.E019) The table article is missing" in output.err
        assert "alembic upgrade head" in output.err


@pytest.mark.slow
def test_remedies_name_app_option(filled: str, empty_url: str, commands: Commands) -> None:
    sql(empty_url, "UPDATE article SET comment_count = comment_count + 17")
    wrong = commands("verify", "--app", filled).out.splitlines()[-1]
    assert wrong == f"3 counters are wrong; run `tallied rebuild --app {filled}`."
    deep = commands("check", "--app", filled, "--deep").out
    assert f"Run `tallied rebuild --app {filled}`; `tallied verify --app {filled}` lists" in deep
    sql(empty_url, "UPDATE tallied_alembic_version SET version_num = 'tallied_0001'")
    assert f"Run `tallied migrate --app {filled}`." in commands("check", "--app", filled).out
    for command in ("verify", "rebuild"):
        output = commands(command, "--app", filled)
        assert output.code == 2
        assert output.err.endswith(f"; run `tallied migrate --app {filled}` first.\n")
        output = commands(command, "--database", empty_url)
        assert output.err.endswith(f"; run `tallied migrate {option(empty_url)}` first.\n")
    discussion = sys.modules[filled.partition(":")[0]].discussion
    (behind,) = [e for e in asyncio.run(discussion.check_closed()) if e.id == "tallied.E011"]
    assert behind.hint == "Run `tallied migrate --app …`."


def test_example_host_provides_app(
    filled: str, empty_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGAZINE_DATABASE", empty_url)
    monkeypatch.setenv("MAGAZINE_FOLDER", ".")
    verified = commands("verify", "--app", "magazine.discussion:from_environ")
    assert (verified.code, verified.err) == (0, "")
    assert "3 articles" in verified.out


def test_hosts_database_is_migrated(app: str, empty_url: str, commands: Commands) -> None:
    first = commands("migrate", "--app", f"{app}:discussion")
    assert first.code == 0
    assert first.out == f"Created Tallied's tables in {shown(empty_url)} (revision {NEWEST}).\n"
    again = commands("migrate", "--app", f"{app}:make")
    assert again.out == f"The database {shown(empty_url)} is up to date (revision {NEWEST}).\n"


def test_missing_database_is_reported(
    app: str, empty_url: str, tmp_path: Path, commands: Commands
) -> None:
    verified = commands("verify", "--app", f"{app}:discussion")
    assert verified.code == 2
    assert (
        verified.err.startswith("error: There is no database at ")
        if "sqlite" in empty_url
        else (verified.err.startswith("error: The database has not been set up for Tallied"))
    )
    checked = commands("check", "--app", f"{app}:discussion", "--format", "json")
    expected = "tallied.E001" if "sqlite" in empty_url else "tallied.E010"
    assert expected in {item["id"] for item in json.loads(checked.out)}
    assert checked.code == 1
    assert list(tmp_path.glob("*.db")) == []
    in_memory = commands("verify", "--app", f"{app}:in_memory")
    assert "; give the Discussion the URL of a file, sqlite+aiosqlite:///FILE." in in_memory.err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{app}", "error: --app must be a module and the name of a Discussion in it, such as"),
        ("{app}:", "error: --app must be a module and the name"),
        ("{app}:none", "error: --app {app}:none cannot be loaded (AttributeError: "),
        ("{app}:fail", "error: --app {app}:fail cannot be loaded (RuntimeError: no such luck)."),
        ("{app}:number", "error: --app {app}:number is not a Discussion but of the type int; name"),
        (
            "{app}:asgi",
            "error: --app {app}:asgi is not a Discussion but of the type Starlette; name",
        ),
        (
            "{app}:Discussion",
            "error: --app {app}:Discussion is not a Discussion but of the type type",
        ),
        ("{app}x:a", "error: --app {app}x:a cannot be loaded (ModuleNotFoundError: "),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"])
def test_unusable_app_is_one_line(app: str, commands: Commands, name: str, sentence: str) -> None:
    for command in ("verify", "rebuild", "check", "migrate"):
        output = commands(command, "--app", name.format(app=app))
        assert (output.code, output.out) == (2, "")
        assert output.err.startswith(sentence.format(app=app))
        assert len(output.err.splitlines()) == 1


@pytest.mark.parametrize("backend", ["sqlite"])
def test_app_and_database_options_conflict(app: str, commands: Commands) -> None:
    for command in ("verify", "rebuild", "check", "migrate"):
        output = commands(
            command, "--app", f"{app}:discussion", "--database", "sqlite+aiosqlite:///x"
        )
        assert (output.code, output.out) == (2, "")
        assert output.err.startswith("error: --app and --database contradict each other;")


@pytest.mark.parametrize("backend", ["postgresql"])
def test_counters_in_another_schema_are_verified(
    empty_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(empty_url, "CREATE SCHEMA forum")
    monkeypatch.setenv("TALLIED_DATABASE_SCHEMA", "forum")
    monkeypatch.setenv("TALLIED_DATABASE", empty_url)
    assert commands("seed", "--threads", "5", "--comments", "40", "--random-seed", "7").code == 0
    assert re.fullmatch(
        r"The counters of all \d+ reaction totals, 40 comments, 5 threads and \d+ authors are"
        r" right\.\n",
        commands("verify").out,
    )
    sql(empty_url, "UPDATE forum.tallied_thread SET word_count = word_count + 17")
    assert commands("verify").code == 1
    assert commands("rebuild", "--amounts").out == "Put 5 rows right.\n"
    assert commands("verify").code == 0
