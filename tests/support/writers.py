"""Threads that change comments in every way until they are stopped."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from tallied.database import asks_for_retry
from tallied.models import Comment, Thread

from .comments import comment, thread_of
from .sessions import Counted, store_once

WRITERS = 8

_sqlite = threading.Lock()


def store_threads(engine: Engine) -> list[UUID]:
    """Store 20 threads with three comments each, and return their keys in order."""
    store_once(engine, add_threads)
    with engine.connect() as connection:
        return list(connection.scalars(select(Thread.id).order_by(Thread.id)))


def add_threads(session: Session) -> None:
    session.add_all(thread_of(2, 3, 5) for _ in range(20))


def turn(engine: Engine) -> AbstractContextManager[Any]:
    """Return the lock by which the writers of one process queue for an SQLite file."""
    return _sqlite if engine.dialect.name == "sqlite" else nullcontext()


def spoil(engine: Engine) -> None:
    """Make all counters of all threads wrong, while others write."""
    with turn(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # or it would deadlock with the writers
            connection.execute(text("LOCK TABLE tallied_thread IN EXCLUSIVE MODE"))
        connection.execute(
            update(Thread.__table__).values(
                comment_count=Thread.comment_count + 13,
                word_count=Thread.word_count - 1000,
                last_comment_at=None,
            )
        )


def act(session: Session, threads: list[UUID]) -> None:
    """Make one random change."""
    thread_id = random.choice(threads)
    if random.random() < 0.4:
        session.add(comment(random.randint(2, 9), thread_id=thread_id))
        return
    query = select(Comment).where(Comment.thread_id == thread_id).limit(1)
    picked = session.scalars(query).first()
    if picked is None:
        return
    kind = random.choice(["edit", "move", "delete"])
    if kind == "edit":
        picked.message = "w " * random.randint(2, 9)
    elif kind == "move":
        picked.thread_id = random.choice(threads)
    else:
        session.delete(picked)


@contextmanager
def writing(engine: Engine, threads: list[UUID]) -> Iterator[list[int]]:
    """Run writers until the block ends; yield how often each has committed."""
    stop = threading.Event()
    commits = [0] * WRITERS
    errors: list[BaseException] = []

    def write(number: int) -> None:
        while not stop.is_set():
            try:
                with turn(engine), Counted(engine) as session:
                    act(session, threads)
                    session.commit()
                commits[number] += 1
            except (StaleDataError, IntegrityError):
                pass
            except OperationalError as error:
                if not asks_for_retry(error):
                    errors.append(error)
                    return
            time.sleep(random.uniform(0, 0.004))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield commits
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert errors == []
