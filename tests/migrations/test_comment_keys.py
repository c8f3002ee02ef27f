"""The migration of comment keys fills in existing rows and can be reverted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, insert, select, table
from support.catalog import described, read
from uuid_utils.compat import uuid7

from tallied.cli import maintenance
from tallied.database import Database
from tallied.migrations import runner
from tallied.migrations.runner import downgrade, migrate
from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings(
    "ignore:Skipped unsupported reflection of expression-based index"
)

SCRIPTS = ScriptDirectory(str(Path(runner.__file__).parent))
BEFORE = str(SCRIPTS.get_revision("tallied_0005").down_revision)
START = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = {
    "Ada": "Ada",
    "A\u200bda": "Ada",
    "Ada  Lovelace": "Ada Lovelace",
    "Zoe\u0308": "Zo\u00eb",
    "\u0645\u06cc\u200c\u062e\u0648": "\u0645\u06cc\u062e\u0648",  # Persian
    None: None,
}
ROWS = 1_700
"""More than one batch of the migration."""


def fill(connection: Connection) -> None:
    """Store a thread and its comments."""
    names = list(NAMES)
    thread = {
        "id": uuid7(),
        "title": "Dampf\u00admaschinen",
        "title_folded": "dampf\u00admaschinen",
        "created_at": START,
        "updated_at": START,
        "comment_count": ROWS,
        "word_count": 2 * ROWS,
        "last_comment_at": START,
    }
    comments = [
        {
            "id": uuid7(),
            "thread_id": thread["id"],
            "author_name": names[number % len(names)],
            "message": "one two",
            "word_count": 2,
            "created_at": START,
        }
        for number in range(ROWS)
    ]
    for model, rows in ((Thread, [thread]), (Comment, comments)):
        value = model.__table__.c
        old = table(model.__tablename__, *(column(name, value[name].type) for name in rows[0]))
        connection.execute(insert(old), rows)


async def test_names_and_titles_of_old_rows_get_their_keys(old: Database) -> None:
    def keys(connection: Connection) -> Any:
        rows = connection.execute(select(Comment.author_name, Comment.author_name_key)).all()
        assert len(rows) == ROWS
        title = connection.scalar(select(Thread.title_folded))
        return {row.author_name: row.author_name_key for row in rows}, title

    await migrate(old)
    assert await read(old, keys) == (NAMES, "dampfmaschinen")
    drifts: list[str] = []
    await maintenance.verify(old, lambda drift: drifts.append(str(drift)))
    assert drifts == []


@pytest.mark.slow
async def test_upgrade_and_downgrade_restore_tables(old: Database) -> None:
    before = await read(old, described)
    await migrate(old)
    migrated = await read(old, described)
    await downgrade(old, BEFORE)
    assert await read(old, described) == before
    await migrate(old)
    assert await read(old, described) == migrated
    await downgrade(old)
    async with old.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    assert await read(old, described) == migrated
