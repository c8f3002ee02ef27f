"""Alembic's part of a migration."""

from __future__ import annotations

from pathlib import Path

from alembic.command import downgrade, upgrade
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["downgrade", "make_config", "upgrade"]


def make_config(connection: Connection, schema: str | None = None) -> Config:
    """Return the configuration for the migrations of a database."""
    config = Config(attributes={"connection": connection, "schema": schema})
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config
