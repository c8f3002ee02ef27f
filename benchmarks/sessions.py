"""How one session ends with every way to keep a counter: a report, not a gate.

``python -m benchmarks.sessions`` prints a row for each scenario and a column for each way, on
SQLite. Every scenario starts from a stored thread with the word count 5, whose comments have 2 and
3 words.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from .databases import blocking_engine, fresh_database
from .strategies import (
    AGGREGATED,
    ATTRIBUTE_EVENTS_AS_PUBLISHED,
    MAPPER_EVENT_AS_PUBLISHED,
    PUBLISHED,
    TALLIED,
    Strategy,
)

STRATEGIES = (
    TALLIED,
    AGGREGATED,
    *PUBLISHED,
    MAPPER_EVENT_AS_PUBLISHED,
    ATTRIBUTE_EVENTS_AS_PUBLISHED,
)
MESSAGE = "four words are here"

Scenario = Callable[[Strategy, Session, Any], None]


def small_comment(strategy: Strategy, session: Session) -> Any:
    """Return the comment of two words, loaded without its thread."""
    return session.scalars(
        select(strategy.Comment).where(strategy.Comment.message == "one two")
    ).one()


def move(strategy: Strategy, session: Session, by_key: bool) -> None:
    """Move the small comment to a new thread."""
    thread = strategy.Thread()
    session.add(thread)
    session.flush()
    name, value = ("thread_id", thread.id) if by_key else ("thread", thread)
    setattr(small_comment(strategy, session), name, value)


def roll_back_savepoint(strategy: Strategy, session: Session, thread: Any) -> None:
    """Add a comment in a savepoint that is rolled back."""
    comment = strategy.Comment(message=MESSAGE, thread=thread)
    savepoint = session.begin_nested()
    session.add(comment)
    session.flush()
    savepoint.rollback()


SCENARIOS: dict[str, Scenario] = {
    "add": lambda w, s, thread: s.add(w.Comment(message=MESSAGE, thread=thread)),
    "add by key": lambda w, s, thread: s.add(w.Comment(message=MESSAGE, thread_id=thread.id)),
    "add with a new thread": lambda w, s, _: s.add(w.Comment(message=MESSAGE, thread=w.Thread())),
    "create without adding": lambda w, s, thread: w.Comment(message=MESSAGE, thread=thread),
    "edit": lambda w, s, _: setattr(small_comment(w, s), "message", f"{MESSAGE} and more"),
    "delete": lambda w, s, _: s.delete(small_comment(w, s)),
    "move": lambda w, s, _: move(w, s, by_key=False),
    "move by key": lambda w, s, _: move(w, s, by_key=True),
    "roll back a savepoint": roll_back_savepoint,
}


def play(strategy: Strategy, scenario: Scenario, engine: Engine) -> str:
    """Play `scenario` and return its end: ``exact``, the name of an error, or the three numbers."""
    threads, comments = strategy.Thread.__table__, strategy.Comment.__table__
    with strategy.Session(engine) as session:
        connection = session.connection()
        insert = threads.insert().values(word_count=5, comment_count=2)
        (key,) = connection.execute(insert).inserted_primary_key
        messages = {"one two": 2, "one two three": 3}
        rows = [{"thread_id": key, "message": m, "word_count": n} for m, n in messages.items()]
        connection.execute(comments.insert(), rows)
        thread = session.get_one(strategy.Thread, key)
        try:
            scenario(strategy, session, thread)
            session.flush()
        except Exception as error:
            return type(error).__name__
        stored = connection.scalar(select(threads.c.word_count).where(threads.c.id == key))
        messages = connection.scalars(select(comments.c.message).where(comments.c.thread_id == key))
        true = sum(len(message.split()) for message in messages)
        if stored == true == thread.word_count:
            return "exact"
        return f"stored {stored}, true {true}, in memory {thread.word_count}"


def measure(engine: Engine) -> dict[str, dict[str, str]]:
    """Return how every scenario ends with every way, by the way's name."""
    for strategy in STRATEGIES:
        strategy.metadata.create_all(engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            strategy.name: {
                name: play(strategy, scenario, engine) for name, scenario in SCENARIOS.items()
            }
            for strategy in STRATEGIES
        }


def main() -> None:
    """Play all scenarios, and print how they end."""
    with fresh_database("sqlite") as url:
        ends = measure(blocking_engine(url))
    table = Table("scenario", *ends)
    for name in SCENARIOS:
        table.add_row(name, *(ends[strategy][name] for strategy in ends))
    Console(width=200).print(table)


if __name__ == "__main__":
    typer.run(main)
