"""What Alembic runs around each of its commands.

Tallied passes a connection that is in a transaction and holds the lock
(:func:`tallied.migrations.runner.migrate`). The ``alembic`` command, which contributors
use to write a new revision, passes none; then ``TALLIED_DATABASE`` is opened here.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

from alembic import context
from alembic.operations.ops import MigrationScript
from sqlalchemy import Connection

# Absolute, since Alembic loads this file by its path and not as a part of the package.
from tallied.database import Database, UnitOfWork
from tallied.migrations.revisions import known_revisions
from tallied.migrations.runner import VERSION_TABLE, acquire_lock
from tallied.models import Base
from tallied.models.base import UTCDateTime
from tallied.settings import Settings


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """Leave a host's tables alone when revisions are generated."""
    return kind != "table" or name in Base.metadata.tables


def is_built(obj: Any, _: str | None, kind: str, reflected: bool, __: object) -> bool:
    """Leave an index of the models alone that another kind of database has."""
    dialect = context.get_context().dialect.name
    return kind != "index" or reflected or obj.info.get("dialect", dialect) == dialect


def render(kind: str, value: Any, _: object) -> str | Literal[False]:
    """Write the column types of the models as types of SQLAlchemy."""
    if kind == "type" and isinstance(value, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def number(_: object, __: object, directives: list[MigrationScript]) -> None:
    """Give a new migration the next number, by which ``known_revisions`` finds its file."""
    newest = int(known_revisions()[0].removeprefix("tallied_"))
    for script in directives:
        script.rev_id = f"tallied_{newest + 1:04}"


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=context.config.attributes.get("schema"),
        include_name=is_ours,
        include_object=is_built,
        render_item=render,
        # SQLite can add columns. A batch would drop the table, and rows that refer to it with it.
        render_as_batch=False,
        compare_server_default=True,
        process_revision_directives=number,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_on_settings() -> None:
    database = Database(Settings.from_environ(os.environ).database)

    async def work(unit: UnitOfWork) -> None:
        connection = await unit.session.connection()
        await connection.run_sync(acquire_lock)
        await connection.run_sync(run)

    try:
        await database.write(work)
    finally:
        await database.dispose()


open_connection: Connection | None = context.config.attributes.get("connection")
if open_connection is not None:
    run(open_connection)
else:
    asyncio.run(run_on_settings())
