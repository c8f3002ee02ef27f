"""Create the threads and their comments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "tallied_0001"
down_revision = None
branch_labels = ("tallied",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallied_thread",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("word_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_comment_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallied_thread")),
    )
    for name, columns in THREAD_INDEXES.items():
        op.create_index(op.f(name), "tallied_thread", columns)
    op.create_table(
        "tallied_comment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("thread_id", sa.Uuid(), nullable=False),
        sa.Column("author_name", sa.String(100), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("word_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["thread_id"],
            ["tallied_thread.id"],
            name=op.f("fk_tallied_comment_thread_id_tallied_thread"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallied_comment")),
    )
    op.create_index(
        op.f("ix_tallied_comment_thread_id_created_at_id"),
        "tallied_comment",
        ["thread_id", "created_at", "id"],
    )


def downgrade() -> None:
    op.drop_table("tallied_comment")
    op.drop_table("tallied_thread")


THREAD_INDEXES: dict[str, list[str | sa.TextClause]] = {
    "ix_tallied_thread_created_at_id": ["created_at", "id"],
    "ix_tallied_thread_last_activity_id": [sa.text("coalesce(last_comment_at, created_at)"), "id"],
    "ix_tallied_thread_comment_count_id": ["comment_count", "id"],
    "ix_tallied_thread_word_count_id": ["word_count", "id"],
}
