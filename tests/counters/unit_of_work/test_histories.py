"""Any operations in any order: memory, column and recount agree after each flush.

Where a step is of the kind that shows at once, what memory showed before the flush
must also be what the flush confirms.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import selectinload
from support.comments import comment, thread_of
from support.histories import PICKS, SIZES, History
from support.recount import assert_exact, drifted, shown
from support.sessions import Counted
from support.state_machines import run_machine

from tallied.errors import CounterAssignmentError
from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings(
    "ignore:Object of type <Comment> not in session", "ignore:DELETE statement on table"
)


class Discussion(History):
    """One session, and the operations that a host may execute in it."""

    def __init__(self) -> None:
        super().__init__(Counted(self.engine, autoflush=False), [Base.metadata])

    def teardown(self) -> None:
        self.session.close()
        with self.engine.connect() as connection:
            assert drifted(connection) == 0
        self.session.close()

    @initialize()
    def begin(self) -> None:
        for sizes in ((2, 3), (4,), (5, 6, 7)):
            self.session.add(thread_of(*sizes))
        self.session.flush()

    # Stored objects

    def threads(self) -> list[Thread]:
        """Return all threads; they stay loaded, with their comments."""
        query = select(Thread).order_by(Thread.id).options(selectinload(Thread.comments))
        self.loaded_threads = list(self.session.scalars(query))
        return self.loaded_threads

    def comments(self) -> list[Comment]:
        if self.flushed:
            self.threads()
        deleted = self.session.deleted
        query = select(Comment).order_by(Comment.id)
        return [item for item in self.session.scalars(query) if item not in deleted]

    def comment(self, pick: int) -> Comment | None:
        comments = self.comments()
        return comments[pick % len(comments)] if comments else None

    # Operations

    @rule(size=SIZES, comments=st.lists(SIZES, max_size=3))
    def create_thread(self, size: int, comments: list[int]) -> None:
        thread = thread_of(*comments)
        thread.title = "N" * size
        self.session.add(thread)
        assert shown(thread)[:2] == (len(comments), sum(comments))
        self.touched()

    @rule(pick=PICKS, size=SIZES, way=st.sampled_from(["key", "thread", "append"]))
    def create_comment(self, pick: int, size: int, way: str) -> None:
        threads = self.threads()
        if not threads:
            return
        thread = threads[pick % len(threads)]
        if way == "append":
            thread.comments.append(comment(size))
        elif way == "thread":
            self.session.add(comment(size, thread=thread))
        else:
            self.session.add(comment(size, thread_id=thread.id))
        self.touched()

    @rule(pick=PICKS, size=SIZES)
    def edit(self, pick: int, size: int) -> None:
        if (comment := self.comment(pick)) is not None:
            comment.message = " ".join(["e"] * size)
            self.touched()

    @rule(pick=PICKS, size=SIZES)
    def assign_words(self, pick: int, size: int) -> None:
        """Assign a derived column, which accepts its current value only."""
        if (comment := self.comment(pick)) is None:
            return
        is_right = size == len(comment.message.split())
        with nullcontext() if is_right else pytest.raises(CounterAssignmentError):
            comment.word_count = size
        self.touched()

    @precondition(lambda self: self.flushed)
    @rule(pick=PICKS, size=SIZES, by_key=st.booleans())
    def edit_by_statement(self, pick: int, size: int, by_key: bool) -> None:
        if (comment := self.comment(pick)) is None:
            return
        id, message = comment.id, " ".join(["s"] * size)
        if by_key:
            self.session.execute(update(Comment), [{"id": id, "message": message}])
        else:
            self.session.execute(update(Comment).where(Comment.id == id).values(message=message))
        self.session.expire_all()

    @rule(pick=PICKS, to=PICKS, by_key=st.booleans())
    def move(self, pick: int, to: int, by_key: bool) -> None:
        threads, comments = self.threads(), self.comments()
        if not threads or not comments:
            return
        comment, thread = comments[pick % len(comments)], threads[to % len(threads)]
        pending = comment in self.session.new or "thread" in vars(comment)
        if by_key:
            comment.thread_id = thread.id
        else:
            comment.thread = thread
        self.touched(shows_at_once=not pending)

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        if (comment := self.comment(pick)) is not None:
            self.session.delete(comment)
            self.touched(shows_at_once=False)

    @precondition(lambda self: self.flushed)
    @rule(pick=PICKS)
    def remove(self, pick: int) -> None:
        threads = [item for item in self.threads() if item.comments]
        if not threads:
            return
        thread = threads[pick % len(threads)]
        thread.comments.remove(thread.comments[pick % len(thread.comments)])
        self.touched(shows_at_once=False)

    @precondition(lambda self: self.flushed)
    @rule(pick=PICKS)
    def delete_thread(self, pick: int) -> None:
        if threads := self.threads():
            self.session.delete(threads[pick % len(threads)])
            self.session.flush()
            self.session.expire_all()

    @rule(pick=PICKS)
    def expunge(self, pick: int) -> None:
        if (comment := self.comment(pick)) is None:
            return
        self.session.expunge(comment)
        self.touched(shows_at_once=False)
        self.flush()
        self.agrees()
        self.session.expire_all()  # collections still hold what was expunged

    @rule(pick=PICKS, size=SIZES)
    def merge(self, pick: int, size: int) -> None:
        if (comment := self.comment(pick)) is not None:
            self.session.merge(Comment(id=comment.id, message=" ".join(["m"] * size)))
            self.touched()

    # Invariants

    def shown(self) -> dict[Any, Any]:
        threads = [item for item in self.session if isinstance(item, Thread)]
        return {thread: shown(thread)[:2] for thread in threads if "comment_count" in vars(thread)}

    def assert_agrees(self) -> None:
        # An object that was collected and loaded again in a savepoint stays in the
        # session when its row is deleted. That is SQLAlchemy's behaviour.
        rows = set(self.session.connection().execute(select(Thread.id)).scalars())
        loaded = [
            item
            for item in self.session
            if isinstance(item, Thread)
            and {"comment_count", "id"} <= vars(item).keys()
            and item.id in rows
        ]
        assert_exact(self.session, *loaded)


@pytest.mark.slow
def test_any_history_ends_exact(engine: Engine, is_exhaustive: bool) -> None:
    run_machine(Discussion, engine=engine, examples=60 if is_exhaustive else 8, steps=25)
