"""Tie each article to its discussion, and show on it how many comments that has.

Tallied's own tables must be there: ``tallied migrate`` comes first. The discussions of the
articles that are published already are opened by ``threads.open_discussions``, not here: it
works with the models, which will go on changing, and a migration must not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "magazine_0002"
down_revision = "magazine_0001"
branch_labels = None
depends_on = None

KEY = "fk_article_thread_id_tallied_thread"


def upgrade() -> None:
    # SQLite would not say so before the first article is written.
    if not sa.inspect(op.get_bind()).has_table("tallied_thread"):
        raise CommandError("There are no tables of Tallied's yet; run `tallied migrate` first.")
    with op.batch_alter_table("article", reflect_kwargs={"resolve_fks": False}) as batch:
        batch.add_column(sa.Column("thread_id", sa.Uuid(), nullable=True))
        batch.add_column(
            sa.Column("comment_count", sa.Integer(), server_default=sa.text("0"), nullable=False)
        )
        batch.create_foreign_key(KEY, "tallied_thread", ["thread_id"], ["id"], ondelete="SET NULL")
        batch.create_index("ix_article_thread_id", ["thread_id"], unique=True)


def downgrade() -> None:
    """Leave the comments in Tallied's tables, but forget which article they are on."""
    with op.batch_alter_table("article", reflect_kwargs={"resolve_fks": False}) as batch:
        batch.drop_index("ix_article_thread_id")
        batch.drop_constraint(KEY, type_="foreignkey")
        batch.drop_column("comment_count")
        batch.drop_column("thread_id")
