"""The users and the articles, as they were before there were discussions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "magazine_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("session_key", sa.String(50), nullable=False),
        sa.Column("is_editor", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_account"),
        sa.UniqueConstraint("name", name="uq_user_account_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "article",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("headline", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("published_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_article"),
        sa.ForeignKeyConstraint(
            ["author_id"], ["user_account.id"], name="fk_article_author_id_user_account"
        ),
    )
    op.create_index("ix_article_author_id", "article", ["author_id"])
    op.create_index("ix_article_published_on_id", "article", ["published_on", "id"])


def downgrade() -> None:
    op.drop_table("article")
    op.drop_table("user_account")
