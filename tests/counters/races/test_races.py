"""Contract points 3 and 4: exact under every interleaving of two transactions.

Every pair of operations runs in both orders on three schedules:

``after``
    Both have loaded the rows; the first flushes and keeps its transaction open; the
    second flushes, and waits or not; the first commits; the second goes on.
``within``
    The first stops inside its flush, when its rows are written and its thread is not;
    the second runs as far as it gets; then the first goes on and commits.
``stale``
    Both have loaded the rows in an earlier transaction; the first does all and
    commits; the second acts on the state of its memory. This one applies to SQLite too,
    where units are queued.

A unit that the database asks to retry is run again from its start, as the unit of work
does it. Nothing afterwards repairs a counter.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.schema import AddConstraint
from support.races import (
    LEVELS,
    Actor,
    actors_on,
    in_savepoint,
    is_of_one_operation,
    label,
    parameters,
    uuids,
)
from support.races import race as run
from support.recount import drifted
from support.sessions import Counted, sync_engine

from tallied.counters.declarations.kinds import Additive
from tallied.counters.session import locked_rows as held_rows
from tallied.counters.session.locked_rows import LockedRows
from tallied.counters.sql import counter_updates
from tallied.counters.sql.rows import read
from tallied.counters.unit_of_work import flush
from tallied.models import Base, Comment, Thread
from tallied.models.counters import counters

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

X, Y, Z, CONTESTED, OTHER = uuids(5)

Objects = dict[str, Any]
Actors = tuple[Actor, ...]


def words(number: int) -> str:
    return " ".join(["word"] * number)


def prepare(session: Session) -> None:
    """Store three threads; the first has the contested comment of ten words."""
    for key, sizes in ((X, (10, 3, 4)), (Y, (5, 6)), (Z, (7, 8, 9))):
        session.add(Thread(id=key, title="T"))
        for number, size in enumerate(sizes):
            fixed = {X: CONTESTED, Y: OTHER}.get(key) if number == 0 else None
            extra = {"id": fixed} if fixed else {}
            session.add(Comment(thread_id=key, author_name="A", message=words(size), **extra))
    session.commit()


def load(session: Session) -> Objects:
    """Load what a unit has in memory before it acts."""
    return {
        "contested": session.get(Comment, CONTESTED),
        "other": session.get(Comment, OTHER),
        "x": session.get(Thread, X),
        "y": session.get(Thread, Y),
    }


def insert(session: Session, loaded: Objects, place: int) -> None:
    session.add(Comment(thread_id=X, author_name="B", message=words(2 + place)))
    session.flush()


def edit(session: Session, loaded: Objects, place: int) -> None:
    if loaded["contested"] is not None:
        loaded["contested"].message = words(20 + 10 * place)
    session.flush()


def move(session: Session, loaded: Objects, place: int) -> None:
    if loaded["contested"] is not None:
        loaded["contested"].thread_id = (Y, Z)[place]
    session.flush()


def remove(session: Session, loaded: Objects, place: int) -> None:
    if loaded["contested"] is not None:
        session.delete(loaded["contested"])
    session.flush()


def remove_thread(session: Session, loaded: Objects, place: int) -> None:
    if loaded["x"] is not None:
        session.delete(loaded["x"])
    session.flush()


def edit_both(session: Session, loaded: Objects, place: int) -> None:
    """Edit a comment in two threads, in the opposite order of the other actor."""
    for name in (("contested", "other"), ("other", "contested"))[place]:
        if loaded[name] is not None:
            loaded[name].message = words(15 + place)
            session.flush()


def insert_both(session: Session, loaded: Objects, place: int) -> None:
    for key in ((X, Y), (Y, X))[place]:
        session.add(Comment(thread_id=key, author_name="B", message=words(2 + place)))
    session.flush()


def bulk_update(session: Session, loaded: Objects, place: int) -> None:
    size = 12 + place
    statement = update(Comment).where(Comment.thread_id == X)
    session.execute(statement.values(message=words(size), word_count=size))


def bulk_delete(session: Session, loaded: Objects, place: int) -> None:
    session.execute(delete(Comment).where(Comment.thread_id == X, Comment.word_count > 3 + place))


def edit_locked(session: Session, loaded: Objects, place: int) -> None:
    if comment := counters.lock(session, Comment, CONTESTED):
        comment.message = words(20 + 10 * place)
    session.flush()


def move_locked(session: Session, loaded: Objects, place: int) -> None:
    if comment := counters.lock(session, Comment, CONTESTED):
        comment.thread_id = (Y, Z)[place]
    session.flush()


def remove_locked(session: Session, loaded: Objects, place: int) -> None:
    if comment := counters.lock(session, Comment, CONTESTED):
        session.delete(comment)
    session.flush()


Operation = Callable[[Session, Objects, int], None]

OPERATIONS: list[Operation] = [
    insert,
    edit,
    move,
    remove,
    bulk_update,
    bulk_delete,
    remove_thread,
]
SEVERAL: list[Operation] = [edit_both, insert_both]
PAIRS = list(itertools.product(OPERATIONS, repeat=2))
LOCKED: list[Operation] = [edit_locked, move_locked, remove_locked]
MORE_PAIRS = [p for p in itertools.product(OPERATIONS + SEVERAL, repeat=2) if p not in PAIRS]
MORE_PAIRS += [
    p for p in itertools.product(OPERATIONS + LOCKED, repeat=2) if p[0] in LOCKED or p[1] in LOCKED
]


@pytest.fixture
def actors(server: Engine, level: str) -> Iterator[Any]:
    with actors_on(server, Counted, prepare, Base.metadata, isolation_level=level) as actors:
        yield actors


def race(server: Engine, actors: Actors, pair: Any, schedule: str) -> tuple[str, str]:
    """Run `pair` on `schedule`, and return the two outcomes."""
    stop = ("UPDATE tallied_thread", "WITH tallied_delta")
    return run(server, actors, pair, schedule, load=load, stop=stop, writes_nothing={remove_thread})


def assert_exact_after(server: Engine, actors: Actors, pair: Any, schedule: str) -> None:
    before = comments(server)
    outcomes = race(server, actors, pair, schedule)
    assert drifted(server) == 0
    if pair == (insert, insert):
        assert outcomes == ("ok", "ok")
        assert comments(server) == before + 2


@pytest.mark.parametrize("schedule", ["after", "within", "stale"])
@pytest.mark.parametrize("pair", parameters(MORE_PAIRS, plain=is_of_one_operation))
def test_race_of_two_operations_ends_exact(
    server: Engine, actors: Actors, pair: Any, schedule: str
) -> None:
    assert_exact_after(server, actors, pair, schedule)


@pytest.mark.parametrize("pair", parameters(PAIRS, plain=is_of_one_operation))
def test_unit_on_stale_memory_ends_exact(server: Engine, actors: Actors, pair: Any) -> None:
    assert_exact_after(server, actors, pair, "stale")


SAVEPOINT = pytest.param(True, id="savepoint", marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("savepoint", [pytest.param(False, id="plain"), SAVEPOINT])
@pytest.mark.parametrize("level", parameters(LEVELS, plain=LEVELS[0].__eq__))
@pytest.mark.parametrize("pair", parameters(PAIRS, plain=is_of_one_operation))
def test_race_ends_exact_on_every_level_and_in_savepoints(
    server: Engine, actors: Actors, pair: Any, savepoint: bool, schedule: str
) -> None:
    if savepoint:
        pair = tuple(map(in_savepoint, pair))
    assert_exact_after(server, actors, pair, schedule)


@pytest.mark.parametrize("pair", parameters(PAIRS + MORE_PAIRS, plain=is_of_one_operation))
def test_race_on_stale_memory_ends_exact_on_sqlite(
    sqlite_template: Path, tmp_path: Path, pair: Any
) -> None:
    engine = sync_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}")
    with (
        Counted(engine) as first,
        Counted(engine, expire_on_commit=False, autoflush=False) as one,
        Counted(engine, expire_on_commit=False, autoflush=False) as two,
    ):
        prepare(first)
        loaded = []
        for session in (one, two):
            loaded.append(load(session))
            session.commit()
        for place, session in enumerate((one, two)):
            with contextlib.suppress(StaleDataError, IntegrityError):
                pair[place](session, loaded[place], place)
                session.commit()
            session.rollback()
        assert drifted(engine) == 0
    engine.dispose()


def comments(server: Engine) -> int:
    with server.connect() as connection:
        return connection.execute(select(func.count()).select_from(Comment)).scalar_one()


def unlocked(*args: Any, lock: bool, **kwargs: Any) -> Any:
    return read(*args, lock=False, **kwargs)


@pytest.mark.parametrize(
    "pair",
    [(edit, edit), (edit, remove), (remove, remove), (move, move), (move, remove)],
    ids=label,
)
def test_race_without_row_lock_is_lost(
    server: Engine, actors: Actors, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "read", unlocked)
    monkeypatch.setattr(flush, "locks_trees", lambda *_: False)
    with contextlib.suppress(AssertionError):
        race(server, actors, pair, "after")
    assert drifted(server) > 0


def edit_after_savepoint(one: Actor, two: Actor) -> None:
    """Lock the comment in a savepoint that is rolled back; edit it after the other's edit."""

    def lock(session: Session) -> None:
        with session.begin_nested() as savepoint:
            assert counters.lock(session, Comment, CONTESTED) is not None
            savepoint.rollback()

    for actor in (one, two):
        actor.begin()
    one.run(lock)
    for place, actor in ((1, two), (0, one)):
        actor.run(lambda session, place=place: edit(session, load(session), place))
        actor.run(Session.commit)


def test_lock_of_rolled_back_savepoint_is_taken_again(server: Engine, actors: Actors) -> None:
    edit_after_savepoint(*actors)
    assert drifted(server) == 0


def test_race_without_forgetting_savepoint_locks_is_lost(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LockedRows, "forget", lambda self: None)
    monkeypatch.setattr(held_rows, "is_open", lambda transaction: True)
    edit_after_savepoint(*actors)
    assert drifted(server) > 0


def test_race_with_absolute_values_is_lost(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absolute(self: Additive, column: Any, change: Any) -> Any:
        alias = column.table.alias()
        read_before = select(alias.c[column.name]).where(alias.c.id == column.table.c.id)
        return read_before.scalar_subquery() + change

    monkeypatch.setattr(Additive, "updated", absolute)
    # Two that take numbers of one thread would wait for each other before they read.
    monkeypatch.setattr(flush, "number_objects", lambda *_: None)
    monkeypatch.setattr(flush, "is_unnumbered", lambda *_: False)
    counter_updates._update_one.cache_clear()
    race(server, actors, (insert, insert), "after")
    counter_updates._update_one.cache_clear()
    assert drifted(server) > 0


def test_foreign_key_keeps_comments_from_outliving_a_thread(server: Engine, actors: Actors) -> None:
    assert race(server, actors, (remove_thread, insert), "after") == ("ok", "gone")
    assert orphans(server) == 0


def test_comment_outlives_its_thread_without_foreign_key(server: Engine, actors: Actors) -> None:
    (foreign_key,) = Comment.__table__.c.thread_id.foreign_keys
    key = foreign_key.constraint
    with server.begin() as connection:
        # DropConstraint of 2.0 would keep it out of the tables of later tests.
        connection.exec_driver_sql(f"ALTER TABLE tallied_comment DROP CONSTRAINT {key.name}")
    try:
        assert race(server, actors, (remove_thread, insert), "after") == ("ok", "ok")
        assert orphans(server) > 0
    finally:
        with server.begin() as connection:
            connection.execute(Comment.__table__.delete())
            # By default, the tables of later tests would be created without it.
            connection.execute(AddConstraint(key, isolate_from_table=False))


def orphans(server: Engine) -> int:
    """Count the comments whose thread does not exist."""
    query = select(func.count()).where(Comment.thread_id.not_in(select(Thread.id)))
    with server.connect() as connection:
        return connection.execute(query).scalar_one()
