"""Damaged SQLite files are reported at the start; new files are private to their owner."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from support.commands import Commands

from tallied.asgi import create_app
from tallied.checks import check
from tallied.checks.files import QUICK_SIZE
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.migrations.runner import migrate
from tallied.settings import Settings

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEF"
SETTINGS = Settings(environment="production", secret=SECRET)


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    """A file with Tallied's tables."""
    return Path(shutil.copyfile(sqlite_template, tmp_path / "forum.db"))


@pytest.fixture
def without_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def replace_content(path: Path) -> None:
    path.write_bytes(b"no database, but a text that somebody has put there " * 200)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def damage_comments(path: Path) -> None:
    """Write nonsense over the first page of the comments."""
    with sqlite3.connect(path) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'tallied_comment'"
        ((page,),) = connection.execute(query).fetchall()
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xa5" * 1500)


Damage: TypeAlias = Callable[[Path], None]

DAMAGES: list[tuple[Damage, str]] = [
    (replace_content, "(file is not a database); check that it is an SQLite file"),
    (truncate, "may be written to, or restore a backup of it."),
    (damage_comments, "tallied.E025"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_damaged_file_is_one_error(
    path: Path, capsys: pytest.CaptureFixture[str], command: str, damage: Damage, sentence: str
) -> None:
    damage(path)
    result = Commands(capsys)(command, "--database", f"sqlite:///{path}")
    assert result.code == (2 if command == "serve" else 1)
    printed = " ".join((result.out + result.err).split())
    assert sentence in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("damage", [replace_content, truncate, damage_comments])
async def test_discussion_does_not_start_on_damaged_file(path: Path, damage: Damage) -> None:
    damage(path)
    discussion = Discussion(f"sqlite+aiosqlite:///{path}", settings=SETTINGS)
    with pytest.raises(ConfigurationError, match=r"tallied.E025.* file is damaged .* HINT: Stop"):
        async with discussion.lifespan():
            pass


async def test_large_file_is_read_whole_by_check_only(path: Path) -> None:
    damage_comments(path)
    path.chmod(0o600)
    os.truncate(path, QUICK_SIZE + 4096)  # Pages that belong to nothing take no room on a disk.
    database = Database(f"sqlite+aiosqlite:///{path}")
    at_start = {finding.id for finding in await check(database, SETTINGS, start=True)}
    assert "tallied.E025" not in at_start
    findings = await check(database, SETTINGS, start=False)
    assert [finding.id for finding in findings] == ["tallied.E025"]
    await database.dispose()


async def test_file_that_others_may_open_is_warned_of(path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{path}")
    for mode, warned in ((0o600, []), (0o640, ["tallied.W015"]), (0o604, ["tallied.W015"])):
        path.chmod(mode)
        assert [finding.id for finding in await check(database, SETTINGS)] == warned
    await database.dispose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o604, "it is the owner's business"


async def test_new_file_is_its_owners_alone(without_umask: None, tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/new.db")
    await migrate(database)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    await database.dispose()
    assert modes == dict.fromkeys(("new.db", "new.db-wal", "new.db-shm"), 0o600)


@pytest.mark.parametrize("command", ["migrate", "seed"])
def test_command_makes_file_for_its_owner_alone(
    without_umask: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = tmp_path / "new.db"
    options = ("--threads", "3", "--comments", "7") if command == "seed" else ()
    result = Commands(capsys)(command, "--database", f"sqlite:///{path}", *options)
    assert result.code == 0, result.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("form", ["{}", "file:{}?uri=true"])
async def test_server_does_not_make_missing_file(tmp_path: Path, form: str) -> None:
    """As where a worker process starts anew, and the file has gone meanwhile."""
    url = f"sqlite+aiosqlite:///{form.format(tmp_path / 'gone.db')}"
    app = create_app(Settings(database=url, secret=SECRET))
    with pytest.raises(ConfigurationError, match=r"There is no database at .*gone.db; run"):
        async with app.router.lifespan_context(app):
            pass
    assert list(tmp_path.iterdir()) == []
