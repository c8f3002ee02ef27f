"""From any database to one that the magazine can be served from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from tallied.database.unit_of_work import UnitOfWork
from tallied.discussion import Discussion
from tallied.migrations.runner import migrate as migrate_tallied

from .threads import open_discussions


async def set_up(discussion: Discussion) -> None:
    """Run Tallied's migrations, then the magazine's; open missing discussions."""
    await migrate_tallied(discussion.database)
    await migrate(discussion)
    await open_discussions(discussion)


async def migrate(discussion: Discussion, revision: str = "head") -> None:
    """Bring the magazine's own tables to a later revision, or to none but that."""
    await _run(discussion, command.upgrade, revision)


async def downgrade(discussion: Discussion, revision: str) -> None:
    """Bring the magazine's own tables back to a revision."""
    await _run(discussion, command.downgrade, revision)


async def _run(discussion: Discussion, step: Callable[[Config, str], None], revision: str) -> None:
    # One unit of work: all of it or nothing, on SQLite too.
    async def work(unit: UnitOfWork) -> None:
        connection = await unit.session.connection()
        await connection.run_sync(lambda sync: step(config(sync), revision))

    await discussion.write(work)


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for that connection."""
    return Config(Path(__file__).with_name("alembic.ini"), attributes={"connection": connection})
