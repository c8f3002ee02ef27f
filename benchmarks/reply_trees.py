"""Threads with trees of replies of any size, stored in bulk by the database itself.

A tree of n comments has n / 10 comments at the top level, each with 3 replies, of which two in
three have 3 replies. Beside it, one comment has n / 10 replies more, and one is above a line of
replies as deep as replies may be. One comment in 30 is flagged. The counters are right.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Integer, Uuid, bindparam, insert, text, update

from tallied.models import Thread
from tallied.models.base import new_id

MAX_DEPTH = 50
"""The greatest depth of a reply, of which the line of replies has all levels."""

START = datetime(2020, 1, 1, tzinfo=UTC)

NUMBERS = {
    "sqlite": """WITH RECURSIVE numbers (n) AS (
        SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :size + :size / 10 + :depth - 1)""",
    "postgresql": """WITH numbers (n) AS (
        SELECT generate_series(0, :size + :size / 10 + :depth - 1))""",
}
ID = {
    "sqlite": "printf('%032x', :base + {})",
    "postgresql": "lpad(to_hex(:base + {}), 32, '0')::uuid",
}
TIME = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '2020-01-01', n || ' seconds')",
    "postgresql": "timestamptz '2020-01-01 00:00:00+00' + n * interval '1 second'",
}

# The comments at the top level are 0 to r - 1, and p is the number of the parent.
TREE = """
INSERT INTO tallied_comment (id, thread_id, author_name, author_name_key, message, word_count,
    created_at, seq, flagged,
    parent_id, root_id, depth, child_count, reply_count, listed_reply_count, thread_reply_count)
{numbers}, parents AS (
    SELECT n, :size / 10 AS r, CASE
        WHEN n < :size / 10 THEN NULL
        WHEN n < :size THEN (n - :size / 10) / 3
        WHEN n < :size + :size / 10 THEN :size / 20
        WHEN n = :size + :size / 10 THEN :size / 10 - 1
        ELSE n - 1 END AS p
    FROM numbers
), places AS (
    SELECT n, r, p, CASE
        WHEN p IS NULL THEN 0
        WHEN n >= :size + :size / 10 THEN n - :size - :size / 10 + 1
        WHEN p < r THEN 1 ELSE 2 END AS depth, CASE
        WHEN p IS NULL THEN NULL
        WHEN n >= :size + :size / 10 THEN r - 1
        WHEN p < r THEN p ELSE (p - r) / 3 END AS root, CASE
        WHEN n < 3 * r THEN 3 + CASE WHEN n = r / 2 THEN r WHEN n = r - 1 THEN 1 ELSE 0 END
        WHEN n >= :size + r AND n < :size + r + :depth - 1 THEN 1
        ELSE 0 END AS replies
    FROM parents
)
SELECT {id}, :thread, 'Ada', 'Ada', 'one two three', 3, {time}, n + 1, n % 30 = 7,
    CASE WHEN p IS NULL THEN NULL ELSE {parent} END,
    CASE WHEN root IS NULL THEN NULL ELSE {root} END,
    depth, replies, replies, replies,
    CASE WHEN n >= r THEN 0 ELSE 3 + CASE WHEN n < 2 * r / 3 THEN 9 ELSE 0 END
        + CASE WHEN n = r / 2 THEN r WHEN n = r - 1 THEN :depth ELSE 0 END END
FROM places ORDER BY n
"""


class StoredTree(NamedTuple):
    """A thread with a tree."""

    thread: UUID
    size: int
    base: int
    """The number of the first comment, which is its id."""

    def comment(self, number: int) -> UUID:
        """Return the id of a comment by its number, from 0."""
        return UUID(int=self.base + number)

    @property
    def answered(self) -> UUID:
        """The comment with so many direct replies."""
        return self.comment(self.size // 20)

    def reply(self, number: int) -> UUID:
        """Return one of these replies by its number, from 0."""
        return self.comment(self.size + number)

    @property
    def deepest(self) -> UUID:
        """The last comment of the line of replies."""
        return self.comment(self.size + self.size // 10 + MAX_DEPTH - 1)


def store_tree(connection: Connection, size: int, number: int = 1) -> StoredTree:
    """Store a thread with a tree.

    :param size: how many comments it has, beside those below two of them; a multiple of 30.
    :param number: another for each tree of a database.
    """
    if size % 30:
        raise ValueError(f"size must be a multiple of 30, not {size}")
    tree, dialect = StoredTree(new_id(), size, number * 100_000_000), connection.dialect.name
    total = size + size // 10 + MAX_DEPTH
    values: dict[str, Any] = {"id": tree.thread, "title": f"A tree of {size:,}"}
    values |= {"created_at": START, "updated_at": START}
    connection.execute(insert(Thread.__table__), values)
    statement = text(
        TREE.format(
            numbers=NUMBERS[dialect],
            time=TIME[dialect],
            id=ID[dialect].format("n"),
            parent=ID[dialect].format("p"),
            root=ID[dialect].format("root"),
        )
    ).bindparams(
        bindparam("thread", tree.thread, Uuid()),
        *(
            bindparam(name, value, Integer(), literal_execute=True)
            for name, value in (("size", size), ("depth", MAX_DEPTH), ("base", tree.base))
        ),
    )
    connection.execute(statement)
    counters: dict[str, Any] = {"comment_count": total, "word_count": 3 * total, "last_seq": total}
    counters |= {"top_level_count": size // 10, "flagged_count": (total - 8) // 30 + 1}
    times = {"last_comment_at": START + timedelta(seconds=total - 1)}
    thread = Thread.__table__
    connection.execute(update(thread).where(thread.c.id == tree.thread).values(counters | times))
    return tree
