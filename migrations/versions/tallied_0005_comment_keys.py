"""Give comments a key of the guest's name, and a unique one of how they were sent.

By the first, names that look the same are the same; by the second, a comment that arrives twice is
one.

Titles are folded anew, too: characters that nobody sees no longer keep one from being found.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

# Absolute, since Alembic loads this file by its path. A later rule comes with a later migration,
# which computes these columns again, so that what is imported need not be what it was.
from tallied.content.characters import name_key
from tallied.models.thread import fold

revision = "tallied_0005"
down_revision = "tallied_0004"
branch_labels = None
depends_on = None

BATCH = 1000
BY_NAME = ("thread_id", "author_name", "created_at", "id")
BY_KEY = ("thread_id", "author_name_key", "created_at", "id")

comment = sa.table(
    "tallied_comment",
    sa.column("id", sa.Uuid()),
    sa.column("author_name", sa.Text()),
    sa.column("author_name_key", sa.Text()),
)
thread = sa.table(
    "tallied_thread",
    sa.column("id", sa.Uuid()),
    sa.column("title", sa.Text()),
    sa.column("title_folded", sa.Text()),
)


def upgrade() -> None:
    op.add_column("tallied_comment", sa.Column("author_name_key", sa.Text()))
    op.execute(sa.update(comment).values(author_name_key=comment.c.author_name))
    compute(comment, "author_name", "author_name_key", name_key)
    compute(thread, "title", "title_folded", fold)
    op.drop_index(index_name(BY_NAME), "tallied_comment")
    op.create_index(index_name(BY_KEY), "tallied_comment", list(BY_KEY))
    op.add_column("tallied_comment", sa.Column("submission_key", sa.String(64)))
    op.create_index(
        op.f("uq_tallied_comment_submission_key"),
        "tallied_comment",
        ["submission_key"],
        unique=True,
    )


def downgrade() -> None:
    op.drop_index(op.f("uq_tallied_comment_submission_key"), "tallied_comment")
    op.drop_column("tallied_comment", "submission_key")
    op.drop_index(index_name(BY_KEY), "tallied_comment")
    op.create_index(index_name(BY_NAME), "tallied_comment", list(BY_NAME))
    op.drop_column("tallied_comment", "author_name_key")


def index_name(columns: tuple[str, ...]) -> str:
    return op.f(f"ix_tallied_comment_{'_'.join(columns)}")


def compute(table: sa.TableClause, source: str, target: str, rule: Callable[[str], str]) -> None:
    """Write a derived column where it differs, so many rows at a time."""
    connection, columns = op.get_bind(), table.c
    page = (
        sa.select(columns.id, columns[source], columns[target])
        .where(columns[source].is_not(None))
        .order_by(columns.id)
        .limit(BATCH)
    )
    write = sa.update(table).where(columns.id == sa.bindparam("key"))
    rows = connection.execute(page).all()
    while rows:
        changed = [
            {"key": id, target: rule(text)} for id, text, known in rows if rule(text) != known
        ]
        if changed:
            connection.execute(write, changed)
        rows = connection.execute(page.where(columns.id > rows[-1].id)).all()
