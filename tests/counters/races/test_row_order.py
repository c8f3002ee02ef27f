"""Contract points 3 and 4: rows and parents are locked in the order of their keys.

Two transactions are planned so that each would take two rows in the opposite order of the
other. Both are made to wait at the first that they take. If that were not the same row for the
two, they would deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.orm import Session
from support.races import Actor, actors_on, meet, update_gate, uuids
from support.recount import drifted
from support.sessions import Counted

from tallied.counters.sql import counter_updates
from tallied.counters.sql.counter_updates import _update_many
from tallied.models import Author, Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

X, Y, A, B, ADA, BEN = uuids(6)
Actors = tuple[Actor, ...]

BY_INDEX = ["enable_seqscan", "enable_bitmapscan"]
BY_PLACE = ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"]
BY_LIST = [*BY_INDEX, "enable_hashjoin", "enable_mergejoin"]
"""What the planner must not use, so that it finds rows by index, by place, in a list's order."""


def prepare(session: Session) -> None:
    """Store two comments of one thread; in the table, the second key comes first."""
    session.add_all([Thread(id=Y, title="T"), Thread(id=X, title="T")])
    session.flush()
    for id, size in ((B, 3), (A, 2)):
        at = datetime(2026, 1, size, tzinfo=UTC)
        values = {"author_name": "A", "message": "word " * size, "created_at": at}
        session.add(Comment(id=id, thread_id=X, **values))
        session.flush()
    session.add_all([Author(id=BEN, subject="Ben"), Author(id=ADA, subject="Ada")])
    session.flush()
    # So many that a plan looks for the few by the index.
    session.add_all(Thread(title=f"Thread {number}") for number in range(400))
    session.add_all(Author(subject=f"Author {number}") for number in range(400))
    session.commit()
    session.execute(text("ANALYZE tallied_comment, tallied_thread, tallied_author"))


@pytest.fixture
def actors(server: Engine) -> Iterator[Any]:
    with actors_on(server, Counted, prepare, Base.metadata, number=3) as actors:
        yield actors


def edit(session: Session, place: int) -> None:
    for id in ((A, B), (B, A))[place]:
        session.get_one(Comment, id).message = "word " * (7 + place)
    session.flush()


def remove(session: Session, place: int) -> None:
    for id in ((A, B), (B, A))[place]:
        if comment := session.get(Comment, id):
            session.delete(comment)
    session.flush()


def bulk_update(session: Session, place: int) -> None:
    chosen = update(Comment).where(Comment.thread_id == X)
    session.execute(chosen.values(message="four words in it", word_count=4))


def bulk_delete(session: Session, place: int) -> None:
    session.execute(delete(Comment).where(Comment.thread_id == X))


def update_by_keys(session: Session, place: int) -> None:
    rows = [{"id": id, "word_count": 7} for id in ((A, B), (B, A))[place]]
    session.execute(update(Comment), [row | {"message": "word " * 7} for row in rows])


def delete_thread(session: Session, place: int) -> None:
    if thread := session.get(Thread, X):
        session.delete(thread)
    session.flush()


def insert(session: Session, place: int) -> None:
    """Insert comments of two authors into a thread of its own, whose lock nobody else needs."""
    for author in ((ADA, BEN), (BEN, ADA))[place]:
        message = "word " * (3 + place)
        session.add(Comment(thread_id=(X, Y)[place], author_id=author, message=message))
    session.flush()


def meet_at_comment(server: Engine, actors: Actors, act: Callable[[Session, int], None]) -> Any:
    """Run `act` in two actors with different plans, while the first comment is locked."""
    *pair, holder = actors
    holder.begin()
    row = select(Comment.id).where(Comment.id == A).with_for_update()
    holder.run(lambda session: session.execute(row).all())
    for actor, disabled in zip(pair, (BY_INDEX, BY_PLACE), strict=True):
        actor.begin(*disabled)
    steps = [partial(act, place=place) for place in (0, 1)]
    release = partial(holder.run, Session.rollback)
    return meet(server, pair, steps, release=release, states=("blocked", "blocked"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "act", [edit, remove, bulk_update, bulk_delete, update_by_keys, delete_thread]
)
def test_rows_are_locked_by_key_whatever_the_plans(
    server: Engine, actors: Actors, act: Any
) -> None:
    assert meet_at_comment(server, actors, act) == ["ok", "ok"]
    assert drifted(server) == 0


def insert_for_both(server: Engine, actors: Actors) -> list[str]:
    """Insert for two authors in two actors, in opposite order, each in one flush."""
    for actor in actors[:2]:
        actor.begin(*BY_LIST)
    steps = [partial(insert, place=place) for place in (0, 1)]
    with update_gate(server, "tallied_author") as release:
        states = ("blocked", "blocked")
        return meet(server, actors[:2], steps, release=release, states=states)


def test_two_authors_in_opposite_order_do_not_deadlock(server: Engine, actors: Actors) -> None:
    assert insert_for_both(server, actors) == ["ok", "ok"]
    assert drifted(server) == 0


def test_two_authors_deadlock_without_the_order_of_parents(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlocked(*args: Any) -> Any:
        return _update_many.__wrapped__(*args[:-1], False)

    monkeypatch.setattr(counter_updates, "_update_many", unlocked)
    assert sorted(insert_for_both(server, actors)) == ["ok", "retry"]
    assert drifted(server) == 0
