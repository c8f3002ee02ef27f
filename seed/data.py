"""Fill a database with threads and comments of realistic sizes, times and authors.

All is written as the application itself writes, through units of work, so it is the
counter engine that counts, and an interrupted run leaves counters that are exact: those of
the batches that it has written, or nothing at all where everything is written at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from random import Random
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from ..database import Database, UnitOfWork
from ..errors import BadUserInput
from ..models import Comment, Thread
from ..models.base import now
from . import tombstones
from .text import Language, Writer

UNIT = 2000
"""Rows that are written in one unit of work."""

AGE = timedelta(days=180)
"""How far back the oldest thread may lie."""

Work: TypeAlias = Callable[[UnitOfWork], Awaitable[None]]
Write: TypeAlias = Callable[[Work], Awaitable[None]]

_Row: TypeAlias = tuple[type[Thread] | type[Comment], dict[str, Any]]


async def seed(
    database: Database,
    *,
    threads: int = 1000,
    comments: int = 100_000,
    random_seed: int | None = None,
    at_once: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Add `threads` threads with `comments` comments in total; existing rows stay.

    A few threads are hot, many are small, some are empty.

    :param random_seed: the same number gives the same texts, authors and sizes; times
        lie in the months before now.
    :param at_once: write everything in one transaction, so that an interruption leaves nothing.
    :param progress: called with how many rows are written, and how many there will be.
    :raises BadUserInput: for comments without a thread to hold them.
    """
    if comments and not threads:
        raise BadUserInput("Comments need at least one thread; ask for more threads.")
    report = progress or (lambda done, total: None)
    total, random = threads + comments, Random(random_seed)
    parents: list[UUID] = []

    async def write_all(write: Write) -> None:
        done = 0
        for batch in _batched(_rows(random, threads, comments), UNIT):
            await write(partial(_write_batch, batch=batch))
            keys = (values.get("parent_id") for _, values in batch)
            parents.extend(key for key in keys if key is not None)
            done += len(batch)
            report(done, total)
        chosen = tombstones.choose(random, parents)
        for start in range(0, len(chosen), UNIT // 10):
            ids = chosen[start : start + UNIT // 10]
            await write(partial(tombstones.delete_comments, random=random, ids=ids))

    async def write_at_once(unit: UnitOfWork) -> None:
        async def write(work: Work) -> None:
            await work(unit)
            await unit.session.flush()
            unit.session.expunge_all()  # or each flush would look through all rows so far

        await write_all(write)

    if at_once:
        await database.write(write_at_once)
    else:
        await write_all(database.write)


async def _write_batch(unit: UnitOfWork, batch: list[_Row]) -> None:
    unit.session.add_all([entity(**values) for entity, values in batch])


async def count_threads(database: Database) -> int:
    """Return the number of threads."""
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Thread)) or 0


def _rows(random: Random, threads: int, comments: int) -> Iterator[_Row]:
    writer, end = Writer(random), now()
    starts = sorted(end - AGE * random.random() for _ in range(threads))
    for start, size in zip(starts, _sizes(random, threads, comments), strict=True):
        language = writer.language()
        topic = random.choice(language.topics)
        thread = _new(start, title=writer.title(language, topic), updated_at=start)
        yield Thread, thread
        for time in _times(random, start, end, size):
            yield Comment, _comment(writer, thread["id"], time, end, language, topic)


def _comment(
    writer: Writer, thread_id: Any, time: datetime, end: datetime, language: Language, topic: str
) -> dict[str, Any]:
    random = writer.random
    spoken = language if random.random() < 0.85 else writer.language()
    return _new(
        time,
        thread_id=thread_id,
        author_id=None,
        author_name=writer.author(spoken),
        message=writer.message(spoken, topic),
        edited_at=time + (end - time) * random.random() ** 3 if random.random() < 0.03 else None,
    )


def _new(time: datetime, **values: Any) -> dict[str, Any]:
    """Return a row of that time, with a key that sorts by it."""
    return {"id": uuid7(nanoseconds=int(time.timestamp() * 1e9)), "created_at": time, **values}


def _sizes(random: Random, threads: int, comments: int) -> list[int]:
    """Return the number of comments of each thread, by Zipf's law; one thread in ten gets none."""
    weights = [rank**-0.8 for rank in range(1, threads + 1)]
    for rank in range(9, threads, 10):
        weights[rank] = 0.0
    random.shuffle(weights)
    sizes = [0] * threads
    for index in random.choices(range(threads), weights, k=comments) if comments else ():
        sizes[index] += 1
    return sizes


def _times(random: Random, start: datetime, end: datetime, size: int) -> list[datetime]:
    """Return times of comments, most of which follow soon after the thread was created."""
    span = (end - start) * random.uniform(0.05, 1.0)
    return sorted(start + span * random.random() ** 3 for _ in range(size))


def _batched(rows: Iterator[_Row], size: int) -> Iterator[list[_Row]]:
    while batch := list(islice(rows, size)):
        yield batch
