"""Widen the counters to 64 bits, so that no sum of words outgrows its column.

PostgreSQL writes each table and its indexes anew for that, under a lock that keeps readers out
until it is done. Every integer of SQLite has 64 bits already; nothing changes there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "tallied_0004"
down_revision = "tallied_0003"
branch_labels = None
depends_on = None

COUNTERS = ("comment_count", "word_count")
TABLES = ("tallied_thread", "tallied_author")
MAX_INTEGER = 2**31 - 1


def upgrade() -> None:
    change_type("BIGINT")


def downgrade() -> None:
    for table in TABLES:
        require_small_counters(table)
    change_type("INTEGER")


def change_type(name: str) -> None:
    """Change both counters of a table in one statement, which writes the table anew once."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table in TABLES:
        actions = ", ".join(f"ALTER COLUMN {counter} TYPE {name}" for counter in COUNTERS)
        op.execute(f"ALTER TABLE {table} {actions}")


def require_small_counters(name: str) -> None:
    """Refuse to go back where a counter does not fit into 32 bits.

    :raises CommandError: naming the table.
    """
    table = sa.table(name, *map(sa.column, COUNTERS))
    largest = sa.select(*(sa.func.max(table.c[counter]) for counter in COUNTERS))
    if any((value or 0) > MAX_INTEGER for value in op.get_bind().execute(largest).one()):
        raise CommandError(
            f"{name} has counters above {MAX_INTEGER:,}, which are too large for revision"
            f" {down_revision}; stay at {revision}."
        )
