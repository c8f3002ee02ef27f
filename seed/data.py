"""Fill a database with threads and comments of realistic sizes, times and authors.

All is written as the application itself writes, through units of work, so it is the
counter engine that counts, and an interrupted run leaves counters that are exact: those of
the batches that it has written, or nothing at all where everything is written at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from random import Random
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import func, insert, select
from uuid_utils.compat import uuid7

from ..database import Database, UnitOfWork
from ..errors import BadUserInput
from ..models import Base, Comment, Flag, Reaction, ReactionTotal, Revision, Thread
from ..models.base import now
from . import tombstones
from .activity import Activity, Item, write_authors
from .text import Writer

UNIT = 2000
"""Rows that are written in one unit of work."""

AGE = timedelta(days=180)
"""How far back the oldest thread may lie."""

Work: TypeAlias = Callable[[UnitOfWork], Awaitable[None]]
Write: TypeAlias = Callable[[Work], Awaitable[None]]

TABLES: Sequence[type[Base]] = (Thread, Comment, Revision, Flag, ReactionTotal, Reaction)
"""In the order in which their rows are inserted."""


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

    A few threads are hot, many are small, some are empty. People reply, react, edit and flag; some
    comments are deleted, and some wait for a moderator.

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
        done, authors = 0, list[UUID]()
        writer = Writer(random)
        if threads:
            await write(partial(write_authors, writer=writer, ids=authors))
        activity = Activity(random, authors)
        for batch in _batches(_items(writer, activity, threads, comments), UNIT):
            await write(partial(_write_batch, batch=batch))
            keys = (item.values.get("parent_id") for item in batch)
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


async def _write_batch(unit: UnitOfWork, batch: list[Item]) -> None:
    rows: dict[type[Base], list[dict[str, Any]]] = {entity: [] for entity in TABLES}
    for item in batch:
        for entity, values in ((item.entity, item.values), *item.others):
            rows[entity].append(values)
    for entity, values_of_rows in rows.items():
        if values_of_rows:
            # Otherwise each change of the columns with a value is a statement more.
            statement = insert(entity).execution_options(render_nulls=True)
            await unit.session.execute(statement, values_of_rows)


async def count_threads(database: Database) -> int:
    """Return the number of threads."""
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(Thread)) or 0


def _items(writer: Writer, activity: Activity, threads: int, comments: int) -> Iterator[Item]:
    random, end = writer.random, now()
    starts = sorted(end - AGE * random.random() for _ in range(threads))
    for start, size in zip(starts, _sizes(random, threads, comments), strict=True):
        language = writer.language()
        topic = random.choice(language.topics)
        thread = _new(start, title=writer.title(language, topic), updated_at=start)
        yield Item(Thread, {**thread, "author_id": activity.author()})
        activity.begin_thread()
        for time in _times(random, start, end, size):
            spoken = language if random.random() < 0.85 else writer.language()
            author_id, name = activity.author(), writer.author(spoken)
            values = _new(
                time,
                thread_id=thread["id"],
                author_id=author_id,
                author_name=name if author_id is None else None,
                message=writer.message(spoken, topic),
                edited_at=None,
            )
            original = None
            if random.random() < 0.03:
                values["edited_at"] = time + (end - time) * random.random() ** 3
                original = writer.message(spoken, topic)
            yield activity.add(values, end, original)


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


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch
