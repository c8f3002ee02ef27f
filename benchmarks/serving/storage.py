"""What the benchmark stores before it measures, and looks up afterwards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tallied.database import Database, UnitOfWork
from tallied.migrations.runner import migrate
from tallied.models import Comment, Thread

from ..databases import blocking_engine

MESSAGE = "The message of a comment has some ten words at least. "


async def fill(url: str, threads: int, comments: int) -> list[UUID]:
    """Create the tables, the threads and their comments, and return the keys of the threads."""
    database = Database(url)
    await migrate(database)
    for start in range(0, threads, 100):
        numbers = range(start, min(start + 100, threads))

        async def work(unit: UnitOfWork, numbers: Sequence[int] = numbers) -> None:
            unit.session.add_all(
                Thread(
                    title=f"Thread {number} of the benchmark",
                    comments=[Comment(author_name="Ada", message=MESSAGE) for _ in range(comments)],
                )
                for number in numbers
            )

        await database.write(work)
    async with database.read() as connection:
        if not database.is_sqlite:
            await connection.execute(text("VACUUM ANALYZE"))
        keys = list(await connection.scalars(select(Thread.id)))
    await database.dispose()
    random.Random(1).shuffle(keys)
    return keys


def count_sessions(url: str) -> int | None:
    """Return the number of connections that a PostgreSQL database has ever had."""
    if url.startswith("sqlite"):
        return None
    query = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    engine = blocking_engine(url)
    with engine.connect() as connection:
        sessions: int = connection.scalar(text(query)) or 0
    engine.dispose()
    return sessions


def count_wrong(url: str) -> int:
    """Return the number of threads whose counter differs from their comments."""
    engine = blocking_engine(url)
    true = select(func.count()).where(Comment.thread_id == Thread.id).scalar_subquery()
    query = select(func.count()).select_from(Thread).where(Thread.comment_count != true)
    with Session(engine) as session:
        wrong: int = session.scalar(query) or 0
    engine.dispose()
    return wrong
