"""What an application does with comments: each method is one transaction, from its session on.

Where it goes by key, an object is loaded only to be changed. The published ways need more:
they look at ``comment.thread``, so for them every thread is loaded too (``objects``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Engine, select
from uuid_utils.compat import uuid7

from .strategies import BY_HAND, Strategy

MESSAGE = "seven words are what this one has"
EDITED = "and after it has been edited it has no fewer than twelve"


class SessionHost:
    """Through the ORM, on the sessions of a way.

    :param objects: comments are given threads, and not the keys of threads.
    """

    def __init__(self, engine: Engine, strategy: Strategy, *, objects: bool = False) -> None:
        self.engine = engine
        self.strategy = strategy
        self.objects = objects
        self._values = strategy.values

    def add(self, thread: UUID) -> None:
        """Add a comment to a thread."""
        with self.strategy.Session(self.engine) as session:
            if self.strategy.lock is not None:
                self.strategy.lock(session, thread)
            if self.objects:
                parent = session.get_one(self.strategy.Thread, thread)
                session.add(self.strategy.Comment(thread=parent, **self._values(MESSAGE)))
            else:
                session.add(self.strategy.Comment(thread_id=thread, **self._values(MESSAGE)))
            session.commit()

    def add_many(self, threads: Sequence[UUID]) -> None:
        """Add comments, one for each time that a thread is in `threads`."""
        Thread, Comment = self.strategy.Thread, self.strategy.Comment
        with self.strategy.Session(self.engine) as session:
            if self.objects:
                query = select(Thread).where(Thread.id.in_(set(threads)))
                parents = {thread.id: thread for thread in session.scalars(query)}
                session.add_all(
                    [Comment(thread=parents[id], **self._values(MESSAGE)) for id in threads]
                )
            else:
                session.add_all([Comment(thread_id=id, **self._values(MESSAGE)) for id in threads])
            session.commit()

    def edit(self, comment: UUID) -> None:
        """Give a comment another message, with more words."""
        with self.strategy.Session(self.engine) as session:
            edited = self._get(session, comment)
            for name, value in self._values(EDITED).items():
                setattr(edited, name, value)
            session.commit()

    def move(self, comment: UUID, thread: UUID) -> None:
        """Put a comment into another thread."""
        with self.strategy.Session(self.engine) as session:
            row = self._get(session, comment)
            if self.objects:
                row.thread = session.get_one(self.strategy.Thread, thread)
            else:
                row.thread_id = thread
            session.commit()

    def delete(self, comment: UUID) -> None:
        """Delete a comment."""
        with self.strategy.Session(self.engine) as session:
            session.delete(self._get(session, comment))
            session.commit()

    def _get(self, session: Any, comment: UUID) -> Any:
        row = session.get_one(self.strategy.Comment, comment)
        if self.objects:
            assert row.thread is not None  # loaded, so that a change knows where it comes from
        return row


class DriverHost:
    """By hand, on the driver's own connection out of SQLAlchemy's pool.

    The counter is kept as it should be: the row is locked before it is looked at, and
    what is added is a difference, in the order of the threads' keys.
    """

    INSERT = """
        INSERT INTO comment (id, thread_id, message, word_count, created_at)
        VALUES (:id, :thread_id, :message, :word_count, :created_at)
    """
    COUNT = "UPDATE thread SET word_count = word_count + :words WHERE id = :id"
    LOCK = "SELECT thread_id, word_count FROM comment WHERE id = :id"
    EDIT = "UPDATE comment SET message = :message, word_count = :words WHERE id = :id"
    MOVE = "UPDATE comment SET thread_id = :thread_id WHERE id = :id"
    DELETE = "DELETE FROM comment WHERE id = :id RETURNING thread_id, word_count"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.strategy = BY_HAND
        self.is_sqlite = engine.dialect.name == "sqlite"

    def add(self, thread: UUID) -> None:
        with self._transaction() as cursor:
            cursor.execute(*self._sql(self.INSERT, **self._row(thread)))
            self._count(cursor, {self._key(thread): 7})

    def add_many(self, threads: Sequence[UUID]) -> None:
        words: Counter[Any] = Counter()
        for thread in threads:
            words[self._key(thread)] += 7
        with self._transaction() as cursor:
            insert, _ = self._sql(self.INSERT)
            cursor.executemany(insert, [self._row(thread) for thread in threads])
            self._count(cursor, words)

    def edit(self, comment: UUID) -> None:
        with self._transaction() as cursor:
            thread, stored = self._lock(cursor, comment)
            cursor.execute(*self._sql(self.EDIT, id=self._key(comment), message=EDITED, words=12))
            self._count(cursor, {thread: 12 - stored})

    def move(self, comment: UUID, thread: UUID) -> None:
        with self._transaction() as cursor:
            old, stored = self._lock(cursor, comment)
            new = self._key(thread)
            cursor.execute(*self._sql(self.MOVE, id=self._key(comment), thread_id=new))
            self._count(cursor, {old: -stored, new: stored})

    def delete(self, comment: UUID) -> None:
        with self._transaction() as cursor:
            cursor.execute(*self._sql(self.DELETE, id=self._key(comment)))
            thread, stored = cursor.fetchone()
            self._count(cursor, {thread: -stored})

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            if self.is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            yield cursor
            connection.commit()
        finally:
            connection.close()  # gives it back, and rolls back what was not committed

    def _lock(self, cursor: Any, comment: UUID) -> tuple[Any, int]:
        lock = self.LOCK if self.is_sqlite else f"{self.LOCK} FOR NO KEY UPDATE"
        cursor.execute(*self._sql(lock, id=self._key(comment)))
        thread, words = cursor.fetchone()
        return thread, words

    def _count(self, cursor: Any, words: dict[Any, int]) -> None:
        count, _ = self._sql(self.COUNT)
        values = [{"id": thread, "words": words[thread]} for thread in sorted(words)]
        if len(values) == 1:
            cursor.execute(count, values[0])
        else:
            cursor.executemany(count, values)

    def _row(self, thread: UUID) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "id": self._key(uuid7()),
            "thread_id": self._key(thread),
            "message": MESSAGE,
            "word_count": len(MESSAGE.split()),
            "created_at": f"{now:%Y-%m-%d %H:%M:%S.%f}" if self.is_sqlite else now,
        }

    def _key(self, key: UUID) -> Any:
        return key.hex if self.is_sqlite else key

    def _sql(self, statement: str, **values: Any) -> tuple[str, dict[str, Any]]:
        if not self.is_sqlite:
            statement = re.sub(r":(\w+)", r"%(\1)s", statement)
        return statement, values


Host: TypeAlias = SessionHost | DriverHost
"""The operations; each keeps the counter in whatever way is its own."""
