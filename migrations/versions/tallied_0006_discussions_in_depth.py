"""Bring replies, and the states of a comment: shown, a placeholder, or neither.

All comments that there are stand at the top level, and are shown.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "tallied_0006"
down_revision = "tallied_0005"
branch_labels = None
depends_on = None

COMMENT, THREAD, AUTHOR = "tallied_comment", "tallied_thread", "tallied_author"
WITHDRAWN_TEXT, REVISION = "tallied_withdrawn_text", "tallied_revision"
REACTION, TOTAL = "tallied_reaction", "tallied_reaction_total"
FLAG, MODERATION_LOG = "tallied_flag", "tallied_moderation_log"
QUOTA, MARK = "tallied_quota", "tallied_mark"
THREAD_COUNTERS = ("top_level_count", "pending_count", "flagged_count")
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SEQ_INDEX = f"ix_{COMMENT}_thread_id_seq"
BATCH = 1000

REFERENCES = ("parent_id", "root_id")  # the columns that refer to another comment

PAGE = ("created_at", "id")
LISTED = sa.or_(sa.column("shown", sa.Boolean()), sa.column("placeholder", sa.Boolean()))
TOP_LEVEL = sa.and_(sa.column("parent_id").is_(None), LISTED)
status = sa.column("status", sa.String())
PUBLISHED = status == sa.literal_column("'published'")
QUEUED = sa.or_(status == sa.literal_column("'pending'"), sa.column("flagged", sa.Boolean()))
INDEXES: dict[str, tuple[tuple[str, ...], sa.ColumnElement[bool]]] = {
    "thread_id_created_at_id_top_level": (("thread_id", *PAGE), TOP_LEVEL),
    "parent_id_created_at_id": (("parent_id", *PAGE), sa.column("parent_id").is_not(None)),
    "root_id": (("root_id",), sa.column("root_id").is_not(None)),
    "created_at_id_published": (PAGE, PUBLISHED),
    "author_id_created_at_id_published": (
        ("author_id", *PAGE),
        sa.and_(sa.column("author_id").is_not(None), PUBLISHED),
    ),
    "created_at_id_queued": (PAGE, QUEUED),
    "thread_id_created_at_id_queued": (("thread_id", *PAGE), QUEUED),
    "in_reply_to_id": (("in_reply_to_id",), sa.column("in_reply_to_id").is_not(None)),
}


def upgrade() -> None:
    for name in REFERENCES:
        add_reference(name)
    for column in new_columns():
        op.add_column(COMMENT, column)
    for name in THREAD_COUNTERS:
        op.add_column(THREAD, counter(name))
    thread = sa.table(THREAD, sa.column("top_level_count"), sa.column("comment_count"))
    op.execute(sa.update(thread).values(top_level_count=thread.c.comment_count))
    op.add_column(THREAD, counter("last_seq"))
    number_comments()
    for suffix, (columns, where) in INDEXES.items():
        op.create_index(
            op.f(f"ix_{COMMENT}_{suffix}"),
            COMMENT,
            list(columns),
            sqlite_where=where,
            postgresql_where=where,
        )
    create_withdrawn_texts()
    create_reactions()
    create_revisions()
    create_marks()
    create_flags()
    create_moderation_log()
    create_quotas()


def add_reference(name: str) -> None:
    """Add a column that refers to another comment.

    SQLite adds it with its constraint in one statement; a batch would write the table anew.
    """
    if op.get_bind().dialect.name == "sqlite":
        key = f"CONSTRAINT {key_name(name)} REFERENCES {COMMENT} (id)"
        op.execute(f"ALTER TABLE {COMMENT} ADD COLUMN {name} CHAR(32) {key}")
    else:
        op.add_column(COMMENT, sa.Column(name, sa.Uuid()))
        op.create_foreign_key(key_name(name), COMMENT, COMMENT, [name], ["id"])


def number_comments() -> None:
    """Number the comments of each thread in the order of their times, so many rows at a time."""
    connection = op.get_bind()
    comment = sa.table(
        COMMENT,
        sa.column("id", sa.Uuid()),
        sa.column("thread_id", sa.Uuid()),
        sa.column("created_at", sa.DateTime(timezone=True)),
        sa.column("seq", sa.BigInteger()),
    )
    place = sa.tuple_(comment.c.thread_id, comment.c.created_at, comment.c.id)
    page = sa.select(*place.clauses).order_by(*place.clauses).limit(BATCH)
    write = sa.update(comment).where(comment.c.id == sa.bindparam("key"))
    thread_id, number = None, 0
    rows = connection.execute(page).all()
    while rows:
        numbered = []
        for row in rows:
            number = number + 1 if row.thread_id == thread_id else 1
            thread_id = row.thread_id
            numbered.append({"key": row.id, "seq": number})
        connection.execute(write, numbered)
        rows = connection.execute(page.where(place > sa.tuple_(*rows[-1]))).all()
    op.create_index(op.f(SEQ_INDEX), COMMENT, ["thread_id", "seq"])
    thread = sa.table(THREAD, sa.column("id", sa.Uuid()), sa.column("last_seq"))
    last = sa.select(sa.func.max(comment.c.seq)).where(comment.c.thread_id == thread.c.id)
    op.execute(sa.update(thread).values(last_seq=sa.func.coalesce(last.scalar_subquery(), 0)))


def create_withdrawn_texts() -> None:
    name = WITHDRAWN_TEXT
    op.create_table(
        name,
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Uuid()),
        sa.Column("author_name", sa.String(100)),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", name=op.f(f"pk_{name}")),
        reference(name, "comment_id", COMMENT, "CASCADE"),
        reference(name, "author_id", AUTHOR, "SET NULL"),
    )
    op.create_index(op.f(f"ix_{name}_author_id"), name, ["author_id"])
    columns = ["withdrawn_at", "comment_id"]
    op.create_index(op.f(f"ix_{name}_withdrawn_at_comment_id"), name, columns)


def create_reactions() -> None:
    op.create_table(
        TOTAL,
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        counter("count"),
        sa.PrimaryKeyConstraint("comment_id", "kind", name=op.f(f"pk_{TOTAL}")),
        reference(TOTAL, "comment_id", COMMENT, "CASCADE"),
    )
    op.create_table(
        REACTION,
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", "author_id", "kind", name=op.f(f"pk_{REACTION}")),
        sa.ForeignKeyConstraint(
            ["comment_id", "kind"],
            [f"{TOTAL}.comment_id", f"{TOTAL}.kind"],
            name=op.f(f"fk_{REACTION}_comment_id_kind_{TOTAL}"),
            ondelete="CASCADE",
        ),
        reference(REACTION, "author_id", AUTHOR, "CASCADE"),
    )
    columns = ["comment_id", "kind", "created_at", "author_id"]
    op.create_index(op.f(f"ix_{REACTION}_{'_'.join(columns)}"), REACTION, columns)
    op.create_index(op.f(f"ix_{REACTION}_author_id"), REACTION, ["author_id"])


def create_revisions() -> None:
    op.create_table(
        REVISION,
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("word_count", sa.Integer(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("editor_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("comment_id", "number", name=op.f(f"pk_{REVISION}")),
        reference(REVISION, "comment_id", COMMENT, "CASCADE"),
        reference(REVISION, "editor_id", AUTHOR, "SET NULL"),
    )
    op.create_index(op.f(f"ix_{REVISION}_editor_id"), REVISION, ["editor_id"])


def create_marks() -> None:
    keys = {"author_id": AUTHOR, "thread_id": THREAD}
    op.create_table(
        MARK,
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in keys),
        sa.Column("last_read_seq", COUNTER, nullable=False),
        sa.PrimaryKeyConstraint(*keys, name=op.f(f"pk_{MARK}")),
        *(reference(MARK, name, table, "CASCADE") for name, table in keys.items()),
    )
    op.create_index(op.f(f"ix_{MARK}_thread_id"), MARK, ["thread_id"])


def create_flags() -> None:
    name = FLAG
    op.create_table(
        name,
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("comment_id", "author_id", name=op.f(f"pk_{name}")),
        reference(name, "comment_id", COMMENT, "CASCADE"),
        reference(name, "author_id", AUTHOR, "CASCADE"),
    )
    op.create_index(op.f(f"ix_{name}_author_id"), name, ["author_id"])


def create_moderation_log() -> None:
    name = MODERATION_LOG
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("thread_id", sa.Uuid(), nullable=False),
        sa.Column("moderator_id", sa.Uuid()),
        sa.Column("former_status", sa.String(20)),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        reference(name, "moderator_id", AUTHOR, "SET NULL"),
    )
    columns = ["comment_id", "created_at"]
    op.create_index(op.f(f"ix_{name}_comment_id_created_at"), name, columns)
    op.create_index(op.f(f"ix_{name}_moderator_id"), name, ["moderator_id"])


def create_quotas() -> None:
    op.create_table(
        QUOTA,
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", "purpose", name=op.f(f"pk_{QUOTA}")),
    )
    op.create_index(op.f(f"ix_{QUOTA}_ends_at"), QUOTA, ["ends_at"])


def reference(table: str, column: str, to: str, ondelete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{to}")
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=ondelete)


def downgrade() -> None:
    require_shown_comments()
    for name in (QUOTA, MODERATION_LOG, FLAG, REVISION, MARK, REACTION, TOTAL, WITHDRAWN_TEXT):
        op.drop_table(name)
    op.drop_index(op.f(SEQ_INDEX), COMMENT)
    for suffix in INDEXES:
        op.drop_index(op.f(f"ix_{COMMENT}_{suffix}"), COMMENT)
    columns = [*REFERENCES, *(column.name for column in new_columns())]
    # SQLite drops no column with a foreign key: Alembic makes the table anew there.
    with op.batch_alter_table(COMMENT, copy_from=comments()) as batch:
        for name in REFERENCES:
            batch.drop_constraint(key_name(name), type_="foreignkey")
        for name in columns:
            batch.drop_column(name)
    for name in ("last_seq", *THREAD_COUNTERS):
        op.drop_column(THREAD, name)


def comments() -> sa.Table:
    """Return the table of comments after the upgrade, without its new indexes."""
    index = f"ix_{COMMENT}"
    return sa.Table(
        COMMENT,
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("thread_id", sa.Uuid(), nullable=False),
        sa.Column("author_name", sa.String(100)),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("word_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True)),
        sa.Column("author_id", sa.Uuid()),
        sa.Column("author_name_key", sa.Text()),
        sa.Column("submission_key", sa.String(64)),
        *(sa.Column(name, sa.Uuid()) for name in REFERENCES),
        *new_columns(),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{COMMENT}")),
        reference(COMMENT, "thread_id", THREAD, "CASCADE"),
        reference(COMMENT, "author_id", AUTHOR, "SET NULL"),
        *(
            sa.ForeignKeyConstraint([name], [f"{COMMENT}.id"], name=key_name(name))
            for name in REFERENCES
        ),
        sa.Index(op.f(f"{index}_thread_id_created_at_id"), "thread_id", *PAGE),
        sa.Index(
            op.f(f"{index}_author_id_thread_id_created_at_id"), "author_id", "thread_id", *PAGE
        ),
        sa.Index(
            op.f(f"{index}_thread_id_author_name_key_created_at_id"),
            "thread_id",
            "author_name_key",
            *PAGE,
        ),
        sa.Index(op.f(f"uq_{COMMENT}_submission_key"), "submission_key", unique=True),
    )


def new_columns() -> list[sa.Column[Any]]:
    """Return the new columns of comments, but for those that refer to another one."""
    return [
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("in_reply_to_id", sa.Uuid()),
        sa.Column("depth", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.String(20), server_default=sa.text("'published'"), nullable=False),
        sa.Column("shown", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("placeholder", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_by", sa.String(20)),
        sa.Column("seq", COUNTER),
        sa.Column("pending_reason", sa.Text()),
        sa.Column("flagged", sa.Boolean(), server_default=sa.false(), nullable=False),
        counter("flag_count"),
        counter("child_count"),
        counter("reply_count"),
        counter("listed_reply_count"),
        counter("thread_reply_count"),
        counter("reaction_count"),
    ]


def counter(name: str) -> sa.Column[int]:
    return sa.Column(name, COUNTER, server_default=sa.text("0"), nullable=False)


def key_name(column: str) -> str:
    return op.f(f"fk_{COMMENT}_{column}_{COMMENT}")


def require_shown_comments() -> None:
    """Refuse to go back where comments are hidden, which the older revision would show.

    :raises CommandError: telling how many there are.
    """
    comment = sa.table(COMMENT, sa.column("shown", sa.Boolean()))
    hidden = sa.select(sa.func.count()).select_from(comment).where(sa.not_(comment.c.shown))
    if count := op.get_bind().scalar(hidden):
        raise CommandError(
            f"{count:,} comments are deleted or hidden, and revision {down_revision} would show "
            f"them; delete their rows, or stay at {revision}."
        )
