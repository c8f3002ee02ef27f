"""What Alembic runs around each of its commands, for the magazine's own history.

Tallied's history stands beside it, in a table of its own, and is run by ``tallied migrate``.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from alembic import context
from sqlalchemy import Connection, Table

from magazine.config import Config
from magazine.discussing import make_engine
from magazine.models import Base
from tallied.models import Base as Tallied


def include_name(name: str | None, kind: str, _: object) -> bool:
    """Leave Tallied's tables in the database alone, and where it keeps its revision."""
    return kind != "table" or not (name or "").startswith("tallied_")


def include_object(obj: Any, _: str | None, __: str, ___: bool, ____: object) -> bool:
    """Leave Tallied's tables of the models alone: its own migrations make them."""
    table: Table = obj if isinstance(obj, Table) else obj.table
    return table.metadata is not Tallied.metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=[Base.metadata, Tallied.metadata],
        include_name=include_name,
        include_object=include_object,
        render_as_batch=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_by_command() -> None:
    engine = make_engine(Config.from_environ(os.environ).database)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_by_command())
