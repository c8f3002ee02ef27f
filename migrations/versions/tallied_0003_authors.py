"""Create the authors; lock threads, and tie them to a host's objects.

SQLite alters no foreign key and no column; there Alembic makes the tables anew, from what
is written here about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "tallied_0003"
down_revision = "tallied_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallied_author",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("word_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallied_author")),
        sa.UniqueConstraint("subject", name=op.f("uq_tallied_author_subject")),
    )
    with threads_alone(), op.batch_alter_table("tallied_thread", copy_from=thread()) as batch:
        for column in new_columns():
            batch.add_column(column)
        batch.create_foreign_key(*author_key("tallied_thread"), ondelete="SET NULL")
    op.create_index(op.f("ix_tallied_thread_author_id"), "tallied_thread", ["author_id"])
    op.create_index(
        op.f("uq_tallied_thread_target_type_target_id"),
        "tallied_thread",
        ["target_type", "target_id"],
        unique=True,
    )
    with op.batch_alter_table("tallied_comment", copy_from=comment()) as batch:
        batch.alter_column("author_name", existing_type=sa.String(100), nullable=True)
        batch.add_column(sa.Column("author_id", sa.Uuid()))
        batch.create_foreign_key(*author_key("tallied_comment"), ondelete="SET NULL")
    op.create_index(
        op.f("ix_tallied_comment_author_id_thread_id_created_at_id"),
        "tallied_comment",
        ["author_id", "thread_id", "created_at", "id"],
    )


def downgrade() -> None:
    op.execute("UPDATE tallied_comment SET author_name = '' WHERE author_name IS NULL")
    op.drop_index(op.f("ix_tallied_comment_author_id_thread_id_created_at_id"), "tallied_comment")
    op.drop_index(op.f("uq_tallied_thread_target_type_target_id"), "tallied_thread")
    op.drop_index(op.f("ix_tallied_thread_author_id"), "tallied_thread")
    with op.batch_alter_table("tallied_comment", copy_from=comment(new=True)) as batch:
        batch.drop_constraint(op.f("fk_tallied_comment_author_id_tallied_author"))
        batch.drop_column("author_id")
        batch.alter_column("author_name", existing_type=sa.String(100), nullable=False)
    with (
        threads_alone(),
        op.batch_alter_table("tallied_thread", copy_from=thread(new=True)) as batch,
    ):
        batch.drop_constraint(op.f("fk_tallied_thread_author_id_tallied_author"))
        for column in new_columns():
            batch.drop_column(column.name)
    op.drop_table("tallied_author")


@contextmanager
def threads_alone() -> Iterator[None]:
    """Cut the comments loose where the table of threads is made anew: they would go with it."""
    name = op.f("fk_tallied_comment_thread_id_tallied_thread")
    anew = op.get_bind().dialect.name == "sqlite"
    if anew:
        with op.batch_alter_table("tallied_comment", copy_from=comment()) as batch:
            batch.drop_constraint(name)
    yield
    if anew:
        with op.batch_alter_table("tallied_comment", copy_from=comment(loose=True)) as batch:
            batch.create_foreign_key(
                name, "tallied_thread", ["thread_id"], ["id"], ondelete="CASCADE"
            )


def author_key(table: str) -> tuple[str, str, list[str], list[str]]:
    """Return the foreign key to an author, which a deleted author leaves empty."""
    return op.f(f"fk_{table}_author_id_tallied_author"), "tallied_author", ["author_id"], ["id"]


def new_columns() -> list[sa.Column[Any]]:
    """Return the columns that threads have from now on."""
    return [
        sa.Column("locked_at", sa.DateTime(timezone=True)),
        sa.Column("author_id", sa.Uuid()),
        sa.Column("target_type", sa.String(50)),
        sa.Column("target_id", sa.String(255)),
    ]


def thread(*, new: bool = False) -> sa.Table:
    """Return the threads as they were, or with new columns, and the indexes that they keep."""
    table = sa.Table(
        "tallied_thread",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("word_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_comment_at", sa.DateTime(timezone=True)),
        sa.Column("title_folded", sa.Text(), server_default=sa.text("''"), nullable=False),
        *(new_columns() if new else []),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallied_thread")),
        *([foreign_key("tallied_thread")] if new else []),
    )
    activity = sa.func.coalesce(table.c.last_comment_at, table.c.created_at)
    sa.Index(op.f("ix_tallied_thread_last_activity_id"), activity, table.c.id)
    for name in ("created_at", "comment_count", "word_count"):
        sa.Index(op.f(f"ix_tallied_thread_{name}_id"), table.c[name], table.c.id)
    return table


def comment(*, new: bool = False, loose: bool = False) -> sa.Table:
    """Return the comments as they were, or with new columns, or without a key to their thread."""
    thread_key = sa.ForeignKeyConstraint(
        ["thread_id"],
        ["tallied_thread.id"],
        name=op.f("fk_tallied_comment_thread_id_tallied_thread"),
        ondelete="CASCADE",
    )
    names = ("thread_id", "author_name", "created_at", "id")
    return sa.Table(
        "tallied_comment",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("thread_id", sa.Uuid(), nullable=False),
        sa.Column("author_name", sa.String(100), nullable=new),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("word_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True)),
        *([sa.Column("author_id", sa.Uuid()), foreign_key("tallied_comment")] if new else []),
        *([] if loose else [thread_key]),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallied_comment")),
        sa.Index(op.f("ix_tallied_comment_thread_id_created_at_id"), names[0], *names[2:]),
        sa.Index(op.f("ix_tallied_comment_thread_id_author_name_created_at_id"), *names),
    )


def foreign_key(table: str) -> sa.ForeignKeyConstraint:
    name, _, columns, _ = author_key(table)
    return sa.ForeignKeyConstraint(columns, ["tallied_author.id"], name=name, ondelete="SET NULL")
