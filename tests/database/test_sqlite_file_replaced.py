"""A removed or replaced SQLite file: nothing more is acknowledged."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, select
from sqlalchemy.ext.asyncio import create_async_engine
from support.versions import needs_sqlalchemy_2_1

from tallied.database import Database, UnitOfWork
from tallied.errors import OutcomeUnknown, Unavailable
from tallied.models import Thread

SENTENCE = "The database's file was removed or replaced while the server ran"


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    """A file with Tallied's tables in a folder of its own."""
    path = tmp_path / "folder" / "forum.db"
    path.parent.mkdir()
    shutil.copyfile(sqlite_template, path)
    return path


@pytest.fixture
async def forum(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{path}")
    yield database
    await database.dispose()


async def add_thread(database: Database, title: str = "Engines") -> None:
    async def work(unit: UnitOfWork) -> None:
        unit.session.add(Thread(title=title))

    await database.write(work)


async def read_titles(database: Database) -> list[str]:
    async with database.read() as connection:
        return list(await connection.scalars(select(Thread.title).order_by(Thread.title)))


def stored_titles(path: Path) -> list[str]:
    """Return the titles in a file that is sound, read by SQLite alone."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT title FROM tallied_thread ORDER BY title").fetchall()
    connection.close()
    return [title for (title,) in rows]


def remove(path: Path) -> None:
    path.unlink()


def replace_by_copy(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def replace_by_other(path: Path) -> None:
    other = path.with_name("other")
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    other.replace(path)


def replace_folder(path: Path) -> None:
    folder = path.parent
    moved = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    shutil.copyfile(moved / path.name, path)


def remove_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def replace_log(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.unlink()
    log.write_bytes(b"")


def remove_index(path: Path) -> None:
    Path(f"{path}-shm").unlink()


FAULTS = [
    remove,
    replace_by_copy,
    replace_by_other,
    replace_folder,
    remove_log,
    replace_log,
    remove_index,
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_replaced_file_refuses_everything(
    forum: Database, path: Path, fault: Callable[[Path], None]
) -> None:
    await add_thread(forum)
    fault(path)
    with pytest.raises(Unavailable, match=SENTENCE) as refused:
        await add_thread(forum, "Looms")
    assert refused.value.code == "UNAVAILABLE"
    with pytest.raises(Unavailable, match=SENTENCE):
        await read_titles(forum)
    with pytest.raises(Unavailable, match=SENTENCE):
        forum.check_file()


async def test_removed_file_is_not_created_again(forum: Database, path: Path) -> None:
    """Nor by a connection that is opened after the last one was closed."""
    await add_thread(forum)
    await forum.engine.dispose()
    path.unlink()
    for _ in range(2):
        with pytest.raises(Unavailable, match=SENTENCE):
            await add_thread(forum)
    assert list(path.parent.iterdir()) == []


async def test_file_that_is_put_back_stays_refused(forum: Database, path: Path) -> None:
    await add_thread(forum)
    away = path.rename(path.with_name("away"))
    with pytest.raises(Unavailable):
        forum.check_file()
    away.rename(path)
    with pytest.raises(Unavailable):
        await add_thread(forum, "Looms")


async def test_replacement_within_unit_ends_it(forum: Database, path: Path) -> None:
    await add_thread(forum)

    async def work(unit: UnitOfWork) -> None:
        unit.session.add(Thread(title="Looms"))
        await unit.session.flush()
        path.rename(path.with_name("away"))

    with pytest.raises(Unavailable, match=SENTENCE):
        await forum.write(work)
    await forum.dispose()
    assert stored_titles(path.with_name("away")) == ["Engines"]


async def test_replacement_while_unit_waits_ends_it(forum: Database, path: Path) -> None:
    await add_thread(forum)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(add_thread(forum, "Looms"))
        await asyncio.sleep(0.1)
        path.rename(path.with_name("away"))
    other.close()
    with pytest.raises(Unavailable, match=SENTENCE):
        await waiting
    await forum.dispose()
    assert stored_titles(path.with_name("away")) == ["Engines"]


async def test_units_stay_exact_while_backup_is_put_in_place(forum: Database, path: Path) -> None:
    """Each title that was acknowledged is in the file that had the name then."""
    await add_thread(forum, "0")
    backup = path.with_name("backup")
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    acknowledged = ["0"]

    async def write(writer: int) -> None:
        for number in range(1000):
            title = f"{writer}/{number}"
            await add_thread(forum, title)
            acknowledged.append(title)

    writers = [asyncio.ensure_future(write(writer)) for writer in range(8)]
    while len(acknowledged) < 30:
        await asyncio.sleep(0.01)
    old = path.with_name("old")
    os.link(path, old)
    backup.replace(path)
    before = len(acknowledged)
    ended = await asyncio.gather(*writers, return_exceptions=True)
    # Units run one by one: at most one had committed when the file turned out to be another.
    kinds = [type(error) for error in ended]
    assert kinds.count(Unavailable) + kinds.count(OutcomeUnknown) == 8
    assert kinds.count(OutcomeUnknown) <= 1
    # One may have been past its last check, and on its way back to its writer.
    assert len(acknowledged) <= before + 1, "a unit is acknowledged that checked the new file"
    await forum.dispose()
    assert stored_titles(path) == ["0"]
    assert set(acknowledged) <= set(stored_titles(old))


async def test_link_to_another_file_is_replacement(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    forum = Database(f"sqlite+aiosqlite:///{link}")
    await add_thread(forum)
    assert await read_titles(forum) == ["Engines"]
    other = Path(shutil.copyfile(path, tmp_path / "other.db"))
    (tmp_path / "fresh").symlink_to(other)
    (tmp_path / "fresh").replace(link)
    with pytest.raises(Unavailable, match=SENTENCE):
        await add_thread(forum, "Looms")
    await forum.dispose()
    assert stored_titles(path) == ["Engines"]


@pytest.mark.parametrize("form", ["{}", "file:{}?uri=true", "file:{}?uri=true&mode=rwc"])
async def test_relative_path_survives_change_of_directory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = form.format(f"folder/{path.name}")
    forum = Database(f"sqlite+aiosqlite:///{name}")
    monkeypatch.chdir(path.parent)
    await add_thread(forum)
    await forum.engine.dispose()
    monkeypatch.chdir("/")
    await add_thread(forum, "Looms")
    await forum.dispose()
    assert stored_titles(path) == ["Engines", "Looms"]


@pytest.mark.parametrize(
    "name",
    [
        "a b.db",
        "50%25.db",
        pytest.param("a?b#c.db", marks=needs_sqlalchemy_2_1),  # 2.0 does not quote it in a URL.
        "ä.db",
        "file:x.db",
        "a&b=c.db",
    ],
)
async def test_name_with_signs_of_uris_means_that_file(
    sqlite_template: Path, tmp_path: Path, name: str
) -> None:
    path = Path(shutil.copyfile(sqlite_template, tmp_path / name))
    url = URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()
    forum = Database(url)
    await add_thread(forum)
    await add_thread(forum, "Looms")
    await forum.dispose()
    assert stored_titles(path) == ["Engines", "Looms"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


async def test_closed_connections_do_not_look_like_removed_log(forum: Database, path: Path) -> None:
    """SQLite removes the log with the last connection, and makes another one."""
    for title in ("Engines", "Looms", "Mills"):
        await add_thread(forum, title)
        await forum.engine.dispose()
        assert not Path(f"{path}-wal").exists()
    assert await read_titles(forum) == ["Engines", "Looms", "Mills"]


async def test_many_connections_at_once_are_no_replacement(forum: Database) -> None:
    """More than the pool keeps, so that some are closed again and again."""

    async def read_often() -> None:
        for _ in range(5):
            await read_titles(forum)

    await asyncio.gather(*(read_often() for _ in range(30)), add_thread(forum))
    assert await read_titles(forum) == ["Engines"]


@pytest.mark.parametrize("fault", [remove, replace_by_copy])
async def test_file_of_host_engine_is_watched(path: Path, fault: Callable[[Path], None]) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.connect() as connection:
        await connection.execute(select(Thread.id))  # It stays in the pool.
    forum = Database(engine)
    await add_thread(forum)
    assert await read_titles(forum) == ["Engines"]
    fault(path)
    with pytest.raises(Unavailable, match=SENTENCE):
        await add_thread(forum, "Looms")
    await forum.dispose()
    await engine.dispose()


async def test_log_stays_while_another_process_uses_it(forum: Database, path: Path) -> None:
    """Each of two servers on one file looks for itself, and neither takes the other's for lost."""
    second = Database(f"sqlite+aiosqlite:///{path}")
    for title in ("Engines", "Looms"):
        await add_thread(forum, title)
        await forum.engine.dispose()
        assert Path(f"{path}-wal").exists() is (title == "Looms")
        await add_thread(second, f"{title} again")
    replace_by_copy(path)
    for database in (forum, second):
        with pytest.raises(Unavailable, match=SENTENCE):
            await add_thread(database, "Mills")
    await forum.dispose()
    await second.dispose()
    assert not Path(f"{path}-wal").exists()
    stored_titles(path)


async def test_file_that_cannot_be_looked_at_is_not_lost(forum: Database, path: Path) -> None:
    await add_thread(forum)
    long = path.with_name("x" * 300)  # which no file system takes: it stands for any OSError
    assert forum.file is not None
    forum.file.path = str(long)
    with pytest.raises(Unavailable, match="cannot be reached at present; send the same"):
        await add_thread(forum, "Looms")
    forum.file.path = str(path)
    await add_thread(forum, "Looms")
    assert await read_titles(forum) == ["Engines", "Looms"]


async def test_read_only_file_is_read(path: Path) -> None:
    forum = Database(f"sqlite+aiosqlite:///file:{path}?uri=true&mode=ro")
    assert await read_titles(forum) == []
    await forum.dispose()
