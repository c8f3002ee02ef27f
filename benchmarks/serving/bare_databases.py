"""The SQL of Tallied's operations on the drivers themselves, by prepared statements.

A comment is added by one statement on PostgreSQL, and in one turn of a thread on SQLite: quicker
than a unit of work, which has to look at the thread first.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import aiosqlite
import asyncpg
from sqlalchemy import URL

from .storage import SUBJECT

CONNECTIONS = 12

Rows: TypeAlias = Sequence[Any]
Comment: TypeAlias = tuple[UUID, str, str, int, datetime]
"""The id, the author's name, the message, its words and its time."""


THREAD = "id, title, comment_count, word_count, last_comment_at, created_at"
PAGE = (
    f"SELECT {THREAD} FROM tallied_thread"
    " ORDER BY coalesce(last_comment_at, created_at) DESC, id DESC LIMIT $1"
)
COMMENT = "id, message, author_name, word_count, created_at"
TOP_LEVEL = (
    f"SELECT {COMMENT} FROM tallied_comment"
    " WHERE thread_id = $1 AND parent_id IS NULL ORDER BY created_at, id LIMIT $2"
)
AUTHOR = f"(SELECT id FROM tallied_author WHERE subject = '{SUBJECT}')"
AMONG = "= ANY ($1::uuid[])"
"""The condition of a list."""

UNREAD = f"""
    SELECT t.id, (SELECT count(*) FROM (
        SELECT 1 FROM tallied_comment c
        WHERE c.thread_id = t.id AND c.seq > coalesce(m.last_read_seq, 0) AND c.shown
            AND c.author_id IS DISTINCT FROM {AUTHOR}
        ORDER BY c.seq LIMIT 100
    ) unread) FROM tallied_thread t
    LEFT JOIN tallied_mark m ON m.thread_id = t.id AND m.author_id = {AUTHOR}
    WHERE t.id {AMONG}
"""
REACTIONS = (
    f"SELECT comment_id, kind, count FROM tallied_reaction_total"
    f" WHERE count > 0 AND comment_id {AMONG}"
)


class BareDatabase(ABC):
    """The statements of the routes, as far as both databases have the same."""

    COMMENTS: str
    """The first comments of each thread; the last column is the thread's id."""

    @abstractmethod
    async def __aenter__(self) -> None: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    async def fetch(self, query: str, *values: Any) -> Rows:
        """Return the rows of a query, whose parameters are written as of PostgreSQL.

        :param values: those of a list come first.
        """

    @abstractmethod
    async def replies(self, comments: list[Any], size: int) -> Rows:
        """Return the first replies to each comment; the last column is the comment's id."""

    @abstractmethod
    async def add(self, thread: UUID, comment: Comment) -> Rows:
        """Add a comment, and return the thread's new number of comments."""

    @abstractmethod
    async def react(self, comment: UUID, kind: str, time: datetime) -> Rows:
        """Add a reaction to a comment, and return the comment's new number of them.

        One that is there was added by the last round, whose requests were still under way.
        """

    async def page(self, size: int) -> Rows:
        """Return the threads with the latest activity."""
        return await self.fetch(PAGE, size)

    async def comments(self, threads: list[Any], size: int) -> Rows:
        """Return the rows of :attr:`COMMENTS`."""
        return await self.fetch(self.COMMENTS, threads, size)

    async def thread(self, id: UUID) -> Rows | None:
        """Return one thread."""
        rows = await self.fetch(f"SELECT {THREAD} FROM tallied_thread WHERE id = $1", id)
        return rows[0] if rows else None

    async def top_level(self, thread: UUID, size: int) -> Rows:
        """Return the first comments of a thread that are not replies."""
        return await self.fetch(TOP_LEVEL, thread, size)

    async def reactions(self, comments: list[Any]) -> Rows:
        """Return the reactions to these comments: the comment's id, the kind and the number."""
        return await self.fetch(REACTIONS, comments)

    async def unread(self, threads: list[Any]) -> Rows:
        """Return the ids of these threads, each with the number of comments that are unread."""
        return await self.fetch(UNREAD, threads)


class PostgreSQL(BareDatabase):
    """A pool of asyncpg, which prepares each statement once for a connection."""

    COMMENTS = f"""
        SELECT page.id, page.message, page.author_name, page.word_count, page.created_at, t.id
        FROM tallied_thread t LEFT JOIN LATERAL (
            SELECT id, message, author_name, word_count, created_at FROM tallied_comment
            WHERE thread_id = t.id ORDER BY created_at, id LIMIT $2
        ) page ON true
        WHERE t.id {AMONG} ORDER BY page.created_at, page.id
    """
    ADD = """
        WITH counted AS (
            UPDATE tallied_thread SET comment_count = comment_count + 1,
                word_count = word_count + $5, last_comment_at = greatest(last_comment_at, $6)
            WHERE id = $1 RETURNING id, comment_count
        ), added AS (
            INSERT INTO tallied_comment
                (id, thread_id, author_name, author_name_key, message, word_count, created_at)
            SELECT $2, id, $3::varchar, $3::varchar, $4, $5, $6 FROM counted
        ) SELECT comment_count FROM counted
    """

    REPLIES = f"""
        SELECT page.*, top.id FROM unnest($1::uuid[]) top (id) CROSS JOIN LATERAL (
            SELECT {COMMENT} FROM tallied_comment
            WHERE parent_id = top.id ORDER BY created_at, id LIMIT $2
        ) page
    """
    REACT = f"""
        WITH total AS (
            INSERT INTO tallied_reaction_total AS total (comment_id, kind, count)
            VALUES ($1, $2::varchar, 1)
            ON CONFLICT (comment_id, kind) DO UPDATE SET count = total.count + 1
        ), added AS (
            INSERT INTO tallied_reaction (comment_id, kind, created_at, author_id)
            VALUES ($1, $2::varchar, $3, {AUTHOR}) ON CONFLICT DO NOTHING
        ) UPDATE tallied_comment SET reaction_count = reaction_count + 1
        WHERE id = $1 RETURNING reaction_count
    """

    def __init__(self, url: URL) -> None:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._pool = asyncpg.create_pool(
            dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=_keep
        )

    async def __aenter__(self) -> None:
        await self._pool

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def fetch(self, query: str, *values: Any) -> Rows:
        return await self._pool.fetch(query, *values)

    async def replies(self, comments: list[Any], size: int) -> Rows:
        return await self.fetch(self.REPLIES, comments, size)

    async def add(self, thread: UUID, comment: Comment) -> Rows:
        return await self._pool.fetchrow(self.ADD, thread, *comment)

    async def react(self, comment: UUID, kind: str, time: datetime) -> Rows:
        return await self._pool.fetchrow(self.REACT, comment, kind, time)


async def _keep(_: object) -> None:
    """Give a connection back as it is: nothing here changes its session."""


class SQLite(BareDatabase):
    """Connections of aiosqlite to read, and one of a thread to write."""

    COMMENTS = f"""
        SELECT page.id, page.message, page.author_name, page.word_count, page.created_at, t.id
        FROM tallied_thread t LEFT JOIN tallied_comment page ON page.id IN (
            SELECT id FROM tallied_comment WHERE thread_id = t.id ORDER BY created_at, id LIMIT $2
        )
        WHERE t.id {AMONG} ORDER BY page.created_at, page.id
    """
    INSERT = """
        INSERT INTO tallied_comment
            (thread_id, id, author_name, author_name_key, message, word_count, created_at)
        VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)
    """
    COUNT = """
        UPDATE tallied_thread SET comment_count = comment_count + 1,
            word_count = word_count + ?2, last_comment_at = max(coalesce(last_comment_at, ''), ?3)
        WHERE id = ?1 RETURNING comment_count
    """

    REPLIES = f"""
        WITH top (key) AS (SELECT value FROM json_each($1))
        SELECT {COMMENT}, parent_id FROM top JOIN tallied_comment ON id IN (
            SELECT id FROM tallied_comment
            WHERE parent_id = key ORDER BY created_at, id LIMIT $2
        ) ORDER BY created_at, id
    """
    REACT = (
        """INSERT INTO tallied_reaction_total (comment_id, kind, count) VALUES (?1, ?2, 1)
        ON CONFLICT (comment_id, kind) DO UPDATE SET count = count + 1""",
        f"""INSERT INTO tallied_reaction (comment_id, kind, created_at, author_id)
        VALUES (?1, ?2, ?3, {AUTHOR}) ON CONFLICT DO NOTHING""",
        """UPDATE tallied_comment SET reaction_count = reaction_count + 1 WHERE id = ?1
        RETURNING reaction_count""",
    )

    def __init__(self, url: URL) -> None:
        self._file = str(url.database)
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._thread = ThreadPoolExecutor(1)

    async def __aenter__(self) -> None:
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(await aiosqlite.connect(self._file, isolation_level=None))
        self._writer = await self._in_thread(self._open)

    async def __aexit__(self, *_: object) -> None:
        while not self._idle.empty():
            await self._idle.get_nowait().close()
        await self._in_thread(self._writer.close)

    async def fetch(self, query: str, *values: Any) -> Rows:
        first, *others = values
        if isinstance(first, list):
            # A mark has the number after the greatest one so far.
            query = query.replace(AMONG, f"IN ({', '.join('?' * len(first))})").replace("$2", "?1")
            values = (*others, *first)
        elif isinstance(first, UUID):
            values = (first.hex, *others)
        connection = await self._idle.get()
        try:
            return list(await connection.execute_fetchall(query.replace("$", "?"), values))
        finally:
            self._idle.put_nowait(connection)

    async def replies(self, comments: list[Any], size: int) -> Rows:
        return await self.fetch(self.REPLIES, json.dumps(comments), size)

    async def add(self, thread: UUID, comment: Comment) -> Rows:
        id, name, message, words, time = comment
        written = _format_time(time)
        return await self._write(
            (self.INSERT, (thread.hex, id.hex, name, message, words, written)),
            (self.COUNT, (thread.hex, words, written)),
        )

    async def react(self, comment: UUID, kind: str, time: datetime) -> Rows:
        total, reaction, count = self.REACT
        values = (comment.hex, kind, _format_time(time))
        return await self._write((total, values[:2]), (reaction, values), (count, values[:1]))

    async def _write(self, *statements: tuple[str, Rows]) -> Rows:
        """Execute statements in one transaction, and return the row of the last one."""

        def write() -> Rows:
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                for query, values in statements:
                    rows = connection.execute(query, values).fetchall()
            return rows[0]

        return await self._in_thread(write)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, isolation_level=None, timeout=60)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _format_time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S.%f}"


DATABASES: dict[str, Callable[[URL], BareDatabase]] = {"postgresql": PostgreSQL, "sqlite": SQLite}
