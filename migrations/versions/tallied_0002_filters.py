"""Keep what the filters of threads and comments go by: folded titles, and indexes."""

from __future__ import annotations

import logging
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "tallied_0002"
down_revision = "tallied_0001"
branch_labels = None
depends_on = None

BATCH = 1000
logger = logging.getLogger("alembic.runtime.migration")

thread = sa.table(
    "tallied_thread", sa.column("id", sa.Uuid()), sa.column("title"), sa.column("title_folded")
)


def upgrade() -> None:
    op.add_column(
        "tallied_thread",
        sa.Column("title_folded", sa.Text(), server_default=sa.text("''"), nullable=False),
    )
    fold_titles()
    op.create_index(
        op.f("ix_tallied_comment_thread_id_author_name_created_at_id"),
        "tallied_comment",
        ["thread_id", "author_name", "created_at", "id"],
    )
    if op.get_bind().dialect.name == "postgresql":
        index_titles()


def downgrade() -> None:
    op.drop_index(op.f("ix_tallied_comment_thread_id_author_name_created_at_id"), "tallied_comment")
    op.execute("DROP INDEX IF EXISTS ix_tallied_thread_title_folded")
    op.drop_column("tallied_thread", "title_folded")


def fold_titles() -> None:
    """Fill the new column, so many rows at a time."""
    connection = op.get_bind()
    page = sa.select(thread.c.id, thread.c.title).order_by(thread.c.id).limit(BATCH)
    write = (
        sa.update(thread)
        .where(thread.c.id == sa.bindparam("key"))
        .values(title_folded=sa.bindparam("folded"))
    )
    rows = connection.execute(page).all()
    while rows:
        connection.execute(write, [{"key": id, "folded": fold(title)} for id, title in rows])
        rows = connection.execute(page.where(thread.c.id > rows[-1].id)).all()


def fold(title: str) -> str:
    """Return what tallied.models.thread.fold() returned when this was written."""
    return unicodedata.normalize("NFKC", title).casefold()


def index_titles() -> None:
    """Index the titles by their trigrams, where PostgreSQL has the extension for that."""
    try:
        with op.get_bind().begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            op.create_index(
                op.f("ix_tallied_thread_title_folded"),
                "tallied_thread",
                ["title_folded"],
                postgresql_using="gin",
                postgresql_ops={"title_folded": "gin_trgm_ops"},
            )
    except DBAPIError as error:
        logger.warning(
            "the titles of threads have no index, since pg_trgm cannot be installed (%s); a "
            "filter by title reads them all",
            error.orig,
        )
