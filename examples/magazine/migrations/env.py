"""What Alembic runs around each of its commands, for the magazine's own history.

Tallied's history stands beside it, in a table of its own, and is run by ``tallied migrate``.
"""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from magazine.config import Config
from magazine.discussion import make_engine
from magazine.models import Base
from tallied.migrations.autogenerate import include_name, include_object
from tallied.models import Base as Tallied


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=[Base.metadata, Tallied.metadata],
        include_name=include_name,
        include_object=include_object,
        render_as_batch=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_by_command() -> None:
    engine = make_engine(Config.from_environ(os.environ).database)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


open_connection: Connection | None = context.config.attributes.get("connection")
if open_connection is not None:
    run(open_connection)
else:
    asyncio.run(run_by_command())
