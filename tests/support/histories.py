"""The common part of random histories of one session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine, MetaData, select
from sqlalchemy.orm import Session, SessionTransaction

SIZES = st.integers(min_value=2, max_value=9)
PICKS = st.integers(min_value=0, max_value=1000)


class History(RuleBasedStateMachine):
    """One session, its flushes, and its transactions.

    Where all that was done since the last flush is of the kind that shows at once, what memory
    showed before the flush must also be what the flush confirms.
    """

    engine: Engine

    def __init__(self, session: Session, emptied: Iterable[MetaData]) -> None:
        super().__init__()
        self.session = session
        self.savepoints: list[SessionTransaction] = []
        self.flushed = self.shows_at_once = True
        with self.engine.begin() as connection:
            for metadata in emptied:
                for table in reversed(metadata.sorted_tables):
                    connection.execute(table.delete())

    def all(self, class_: Any) -> list[Any]:
        """Return all stored objects of a class; they stay loaded."""
        rows = list(self.session.scalars(select(class_).order_by(class_.id)))
        self.loaded = [*getattr(self, "loaded", [])[-50:], *rows]
        return [item for item in rows if item not in self.session.deleted]

    def one(self, class_: Any, pick: int) -> Any:
        result = self.all(class_)
        return result[pick % len(result)] if result else None

    def assert_agrees(self) -> None:
        """Assert that memory, column and recount are equal."""
        raise NotImplementedError

    def shown(self) -> dict[Any, Any]:
        """Return what memory shows, which a flush must confirm."""
        raise NotImplementedError

    def rolled_back_savepoint(self) -> None:
        """React to the rollback of a savepoint."""

    def ended(self) -> None:
        """Return a transaction has been committed or rolled back."""

    def touched(self, *, shows_at_once: bool = True) -> None:
        """Note a change that is not flushed yet."""
        self.flushed = False
        self.shows_at_once = self.shows_at_once and shows_at_once

    def settled(self) -> None:
        """Note that nothing is left to flush."""
        self.flushed = self.shows_at_once = True

    @rule()
    def flush(self) -> None:
        before = self.shown()
        self.session.flush()
        if self.shows_at_once:
            after = self.shown()
            for obj, values in before.items():
                assert obj not in self.session or after[obj] == values
        else:  # collections still hold what was deleted, and act on it in the next flush
            self.assert_agrees()
            self.session.expire_all()
        self.settled()

    @precondition(lambda self: self.flushed)
    @rule()
    def expire(self) -> None:
        self.session.expire_all()

    @precondition(lambda self: len(self.savepoints) < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self.savepoints.append(self.session.begin_nested())
        self.settled()

    @precondition(lambda self: self.savepoints)
    @rule()
    def roll_back_savepoint(self) -> None:
        self.savepoints.pop().rollback()
        self.rolled_back_savepoint()
        self.settled()

    @precondition(lambda self: self.savepoints)
    @rule()
    def release_savepoint(self) -> None:
        self.savepoints.pop().commit()
        self.settled()

    @precondition(lambda self: not self.savepoints)
    @rule(rolled_back=st.booleans())
    def end(self, rolled_back: bool) -> None:
        self.session.rollback() if rolled_back else self.session.commit()
        self.settled()
        self.ended()

    @invariant()
    def agrees(self) -> None:
        if self.flushed:
            self.assert_agrees()
