"""Checks of the rights to write: of the database, and of its role on Tallied's tables."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ..database.access import read_table_access
from ..models import Base
from .finding import Finding

_ID = "tallied.W018"


def check_access(connection: Connection, schema: str | None = None) -> Iterator[Finding]:
    """Find what prevents changes, except for missing tables.

    :param connection: in AUTOCOMMIT.
    :param schema: where Tallied's tables are; by default, where their bare names lead.
    """
    access = read_table_access(connection, sorted(Base.metadata.tables), schema)
    if access.mode:
        yield Finding(
            _ID,
            f"The database may only be read: {access.mode}.",
            "Name one that is writable, if changes are wanted; until then, each change is answered"
            " with the code UNAVAILABLE.",
        )
    elif access.denied:
        lacks = "; ".join(f"{right} on {', '.join(on)}" for right, on in access.denied.items())
        yield Finding(
            _ID,
            f"The database's role lacks rights that changes need: {lacks}.",
            "Grant SELECT, INSERT, UPDATE and DELETE on Tallied's tables to it; until then, such a"
            " change is answered with the code UNAVAILABLE.",
        )
