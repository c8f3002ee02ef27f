"""Migrations make the tables of the models once, even if many run at the same time."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.exc import DBAPIError
from support.catalog import as_made, catalog, read
from support.rows import execute, fetch_value, run_sync

import tallied
from tallied.database import Database
from tallied.errors import Busy, ConfigurationError
from tallied.migrations import runner
from tallied.migrations.revisions import known_revisions
from tallied.migrations.runner import VERSION_TABLE, downgrade, migrate, read_state, require_newest
from tallied.models import Base

SCRIPTS = ScriptDirectory(str(Path(runner.__file__).parent))
NEWEST = SCRIPTS.get_current_head()


def test_revisions_are_those_of_alembic() -> None:
    names = frozenset(script.revision for script in SCRIPTS.walk_revisions())
    assert known_revisions() == (NEWEST, names)


def test_new_migration_has_next_number(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SCRIPTS.dir, tmp_path / "migrations")
    monkeypatch.setenv("TALLIED_DATABASE", empty_url)
    config = Config()
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("revision_environment", "true")
    script = command.revision(config, "what it does")
    assert isinstance(script, Script)
    assert NEWEST is not None
    number = int(NEWEST[-4:]) + 1
    assert Path(script.path).name == f"tallied_{number:04}_what_it_does.py"


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
async def test_migrated_database_equals_models(empty: Database) -> None:
    def differences(connection: Connection) -> Any:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "compare_server_default": True,
            # The only index that is not on every database.
            "include_object": lambda obj, name, *_: (
                not empty.is_sqlite or name != "ix_tallied_thread_title_folded"
            ),
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    await migrate(empty)
    assert await read(empty, differences) == []
    migrated = await read(empty, as_made)

    await downgrade(empty)
    await run_sync(empty, Base.metadata.create_all)
    assert migrated == await read(empty, as_made)


async def test_names_follow_convention(empty: Database) -> None:
    await migrate(empty)
    result = {row[1] for row in await read(empty, catalog)}
    definitions = " ".join(row[2] for row in await read(empty, catalog))
    expected = {
        "pk_tallied_thread",
        "pk_tallied_author",
        "pk_tallied_comment",
        "uq_tallied_author_subject",
        "uq_tallied_thread_target_type_target_id",
        "fk_tallied_thread_author_id_tallied_author",
        "fk_tallied_comment_author_id_tallied_author",
        "ix_tallied_thread_author_id",
        "ix_tallied_comment_author_id_thread_id_created_at_id",
        "fk_tallied_comment_thread_id_tallied_thread",
        "ix_tallied_comment_thread_id_created_at_id",
        "ix_tallied_comment_thread_id_author_name_key_created_at_id",
        "ix_tallied_thread_created_at_id",
        "ix_tallied_thread_last_activity_id",
        "ix_tallied_thread_comment_count_id",
        "ix_tallied_thread_word_count_id",
    }
    assert {name for name in expected if name not in result and name not in definitions} == set()


async def test_migrating_again_changes_nothing(empty: Database) -> None:
    assert (await migrate(empty)).current is None
    before = await read(empty, catalog)
    statements: list[str] = []
    event.listen(
        empty.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    assert (await migrate(empty)).is_newest
    assert any("SELECT" in statement for statement in statements)
    assert [s for s in statements if not s.lstrip().startswith(("SELECT", "PRAGMA"))] == []
    assert await read(empty, catalog) == before


async def test_downgrade_to_base_drops_own_tables_alone(empty: Database) -> None:
    await execute(empty, "CREATE TABLE article (id INTEGER PRIMARY KEY)")
    before = await read(empty, catalog)
    await migrate(empty)
    assert (await downgrade(empty)).current == NEWEST
    assert await read(empty, catalog) == before
    assert (await read_state(empty)).current is None


async def test_concurrent_migrations_all_succeed(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(4)]
    try:
        result = await asyncio.gather(*map(migrate, databases), return_exceptions=True)
        assert [outcome for outcome in result if isinstance(outcome, BaseException)] == []
        async with databases[0].read() as connection:
            versions = await connection.scalars(text(f"SELECT version_num FROM {VERSION_TABLE}"))
            assert versions.all() == [NEWEST]
    finally:
        for database in databases:
            await database.dispose()


async def test_migration_waits_for_running_migration(empty_url: str) -> None:
    """The second starts while the first holds the lock and has made the tables."""
    first, second = Database(empty_url), Database(empty_url)

    async def hold(unit: Any) -> asyncio.Task[runner.State]:
        connection = await unit.session.connection()
        await connection.run_sync(runner.acquire_lock)
        waiting = asyncio.create_task(migrate(second))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(
            text(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        )
        await connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES ('{NEWEST}')"))
        return waiting

    try:
        waiting = await first.write(hold)
        assert (await waiting).is_newest
    finally:
        await first.dispose()
        await second.dispose()


@pytest.mark.postgresql  # SQLite has one lock, which every unit of work waits for
async def test_migration_gives_up_on_held_lock(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "QUEUE_TIMEOUT", "100ms")
    async with empty.engine.begin() as connection:
        await connection.run_sync(runner.acquire_lock)
        with pytest.raises(Busy, match="migrate again"):
            await migrate(empty)
    assert await read(empty, catalog) == []


async def test_failed_migration_leaves_nothing(empty: Database) -> None:
    """The name of its last index is taken, so all but one statement have been run."""
    await execute(
        empty,
        "CREATE TABLE article (id INTEGER PRIMARY KEY)",
        "CREATE INDEX ix_tallied_comment_thread_id_created_at_id ON article (id)",
    )
    before = await read(empty, catalog)
    with pytest.raises(DBAPIError):
        await migrate(empty)
    assert await read(empty, catalog) == before
    assert VERSION_TABLE not in await read(empty, lambda sync: inspect(sync).get_table_names())


async def test_revision_of_host_is_left_alone(empty: Database) -> None:
    await execute(
        empty,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('theirs')",
    )
    await migrate(empty)
    assert await fetch_value(empty, text("SELECT version_num FROM alembic_version")) == "theirs"


async def test_database_of_newer_version_is_refused(empty: Database) -> None:
    await migrate(empty)
    await execute(empty, f"UPDATE {VERSION_TABLE} SET version_num = 'tallied_9999'")
    for attempt in (migrate, require_newest, read_state):
        with pytest.raises(ConfigurationError, match=r"tallied_9999.*upgrade Tallied"):
            await attempt(empty)


async def test_unmigrated_tables_are_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="tallied_author, tallied_comment, "):
        await migrate(database)
    assert (await read_state(database)).current is None


async def test_unmigrated_database_names_remedy(empty: Database) -> None:
    with pytest.raises(ConfigurationError, match="run `tallied migrate` first"):
        await require_newest(empty)
    await migrate(empty)
    await require_newest(empty)


@pytest.mark.slow
def test_alembic_command_finds_nothing_left_to_generate(empty_url: str) -> None:
    def alembic(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=Path(str(tallied.__file__)).parent,
            env={**os.environ, "TALLIED_DATABASE": empty_url},
            capture_output=True,
            text=True,
            check=False,
        )

    upgraded = alembic("upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    checked = alembic("check")
    assert "No new upgrade operations detected" in checked.stdout, checked.stderr


async def test_concurrent_migrations_of_two_databases_stay_apart(
    empty_url: str, tmp_path: Path
) -> None:
    """Alembic's `op` and `context` are global, so migrations of one process must queue."""
    other = f"sqlite+aiosqlite:///{tmp_path / 'other.db'}"
    databases = [Database(empty_url), Database(other)]
    try:
        await asyncio.gather(*map(migrate, databases))
        for database in databases:
            assert (await read_state(database)).current == NEWEST
            names = await read(database, lambda sync: inspect(sync).get_table_names())
            assert set(names) >= set(Base.metadata.tables)
    finally:
        for database in databases:
            await database.dispose()
