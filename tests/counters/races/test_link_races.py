"""Comments and articles that come to point to another thread end exact in either order.

The schedules are those of ``test_races.py``; ``within`` stops when the thread is written and
the articles are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session
from support.comments import comment, thread_of
from support.magazine import (
    Article,
    Host,
    HostSession,
    Issue,
    Teaser,
    issues,
    magazine,
    make_tables,
    stored,
    truth,
)
from support.races import (
    LEVELS,
    Actor,
    Operation,
    actors_on,
    in_savepoint,
    is_of_one_operation,
    label,
    meet,
    parameters,
    race,
    update_gate,
    uuids,
)
from support.sessions import sync_engine

from tallied.counters.declarations.change import Change
from tallied.counters.sql.counter_updates import write
from tallied.counters.sql.rows import read
from tallied.counters.unit_of_work import flush
from tallied.counters.unit_of_work import pending_changes as settle_module
from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

X, Y = uuids(2)
LINKED, FREE, THIRD = 100, 101, 102
STOP = ("UPDATE article", "SELECT article", "UPDATE teaser", "SELECT teaser")
Actors = tuple[Actor, ...]


def prepare(session: Session) -> None:
    """Store two threads; one article points to the second, and the others to none."""
    session.add_all([thread_of(10, 3, 4, id=X), thread_of(5, 6, id=Y), Issue(id=1)])
    session.flush()
    session.add_all([Article(id=key, issue_id=1) for key in (FREE, THIRD)])
    session.add(Article(id=LINKED, thread_id=Y, issue_id=1))
    session.add(Teaser(thread_id=Y))
    session.commit()


def load(session: Session) -> dict[Any, Any]:
    """Load what a unit has in memory before it acts."""
    objects: dict[Any, Any] = {key: session.get(Article, key) for key in (LINKED, FREE, THIRD)}
    objects |= {key: session.get(Thread, key) for key in (X, Y)}
    first = select(Comment).where(Comment.thread_id == X).order_by(Comment.id).limit(1)
    return objects | {"comment": session.scalars(first).one_or_none()}


def insert(session: Session, loaded: Any, place: int) -> None:
    session.add(comment(2 + place, thread_id=X))
    session.flush()


def insert_both(session: Session, loaded: Any, place: int) -> None:
    for key in ((X, Y), (Y, X))[place]:
        session.add(comment(2 + place, thread_id=key))
    session.flush()


def edit(session: Session, loaded: Any, place: int) -> None:
    if loaded["comment"] is not None:
        loaded["comment"].message = "w " * (20 + place)
    session.flush()


def move(session: Session, loaded: Any, place: int) -> None:
    if loaded["comment"] is not None:
        loaded["comment"].thread_id = Y
    session.flush()


def bulk_remove(session: Session, loaded: Any, place: int) -> None:
    session.execute(delete(Comment).where(Comment.thread_id == X, Comment.word_count > 3 + place))


def link(session: Session, loaded: Any, place: int) -> None:
    loaded[FREE].thread_id = X
    session.flush()


def link_new(session: Session, loaded: Any, place: int) -> None:
    session.add(Teaser(thread_id=X))
    session.add(Article(thread_id=X, issue_id=1))
    session.flush()


def relink(session: Session, loaded: Any, place: int) -> None:
    loaded[LINKED].thread_id = X
    session.flush()


def unlink(session: Session, loaded: Any, place: int) -> None:
    loaded[LINKED].thread_id = None
    session.flush()


def bulk_link(session: Session, loaded: Any, place: int) -> None:
    session.execute(update(Article).where(Article.id == THIRD).values(thread_id=X))


def remove_article(session: Session, loaded: Any, place: int) -> None:
    session.delete(loaded[LINKED])
    session.flush()


def remove_thread(session: Session, loaded: Any, place: int) -> None:
    for thread in (loaded[X], loaded[Y]):
        if thread is not None:
            session.delete(thread)
            session.flush()
            return


COMMENTING: list[Operation] = [insert, insert_both, edit, move, bulk_remove]
LINKING: list[Operation] = [
    link,
    link_new,
    relink,
    unlink,
    bulk_link,
    remove_article,
    remove_thread,
]
PAIRS = [
    pair
    for pair in itertools.product(COMMENTING + LINKING, repeat=2)
    if not set(pair) <= set(COMMENTING)
]
WRITES_NOTHING = {remove_thread, unlink, remove_article}


@pytest.fixture(scope="module")
def server(postgresql: Any) -> Iterator[Engine]:
    """One PostgreSQL database for all races; each starts with the same rows."""
    engine = sync_engine(postgresql.render_as_string(hide_password=False))
    Base.metadata.create_all(engine)
    make_tables(engine)
    yield engine
    Host.metadata.drop_all(engine)
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def actors(server: Engine, level: str) -> Iterator[Any]:
    tables = (Host.metadata, Base.metadata)
    with actors_on(server, HostSession, prepare, *tables, isolation_level=level) as actors:
        yield actors


def run(server: Engine, actors: Actors, pair: Any, schedule: str) -> tuple[str, str]:
    return race(server, actors, pair, schedule, load=load, stop=STOP, writes_nothing=WRITES_NOTHING)


def is_exact(engine: Engine) -> bool:
    with engine.connect() as connection:
        stored_counts, counted = issues(connection)
        exact = stored(connection) == truth(connection) and stored_counts == counted
        assert exact == (list(magazine.verify(connection, only=[Article, Issue])) == [])
        return exact and list(magazine.verify(connection)) == []


def is_plain(pair: Any) -> bool:
    return is_of_one_operation(pair) or pair[1] is link


@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("pair", parameters(PAIRS, plain=is_plain))
def test_race_about_links_ends_exact(
    server: Engine, actors: Actors, pair: Any, schedule: str
) -> None:
    run(server, actors, pair, schedule)
    assert is_exact(server)


PLAIN = (insert, link)
OFTEN = parameters(
    (pair for pair in PAIRS if set(pair) & {insert, move} or pair == (unlink, relink)),
    plain=PLAIN.__eq__,
)


@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("pair", OFTEN)
def test_race_about_links_ends_exact_on_every_level(
    server: Engine, actors: Actors, pair: Any, schedule: str
) -> None:
    run(server, actors, pair, schedule)
    assert is_exact(server)


@pytest.mark.parametrize("pair", OFTEN)
def test_race_about_links_ends_exact_in_savepoints(
    server: Engine, actors: Actors, pair: Any
) -> None:
    run(server, actors, tuple(map(in_savepoint, pair)), "within")
    assert is_exact(server)


# Races without a protection


def is_written_for_lock(changes: dict[Any, Change]) -> bool:
    """Return whether rows are written only because others have come to point to them."""
    return all(change.must_write and not any(change.added.values()) for change in changes.values())


def test_link_is_lost_without_the_lock_of_its_thread(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlocked(connection: Any, mapper: Any, counters: Any, changes: Any, also: Any) -> Any:
        if is_written_for_lock(changes):
            return {}
        return write(connection, mapper, counters, changes, also)

    monkeypatch.setattr(settle_module, "write", unlocked)
    monkeypatch.setattr(flush, "lock_referenced_rows", lambda *_: None)
    run(server, actors, (insert, link), "within")
    assert not is_exact(server)


@pytest.mark.parametrize("level", ["REPEATABLE READ"])
def test_link_is_lost_to_older_snapshot_if_only_locked(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(connection: Any, mapper: Any, counters: Any, changes: Any, also: Any) -> Any:
        if is_written_for_lock(changes):
            read(connection, mapper, (), list(changes), lock=True)
            return {}
        return write(connection, mapper, counters, changes, also)

    monkeypatch.setattr(settle_module, "write", locked)
    run(server, actors, (link, insert), "after")
    assert not is_exact(server)


def cross(server: Engine, actors: Actors, pair: tuple[Operation, Operation]) -> list[str]:
    """Stop the first after the thread is written; let the second go until it waits."""
    for actor in actors:
        actor.begin()
    loaded = [actor.run(load) for actor in actors]
    steps = [lambda session, n=n: pair[n](session, loaded[n], n) for n in (0, 1)]  # type: ignore[misc]
    return meet(server, actors, steps, stop=STOP)


def remove_both(session: Session, loaded: Any, place: int) -> None:
    """Remove the pointer before the thread, as a relationship back to the articles would."""
    loaded[LINKED].thread_id = None
    session.delete(loaded[Y])
    session.flush()


CROSSING = [(insert_both, relink), (insert_both, remove_both)]


@pytest.mark.parametrize("pair", CROSSING, ids=label)
def test_comment_and_link_do_not_deadlock(server: Engine, actors: Actors, pair: Any) -> None:
    assert cross(server, actors, pair) == ["ok", "ok"]
    assert is_exact(server)


@pytest.mark.parametrize("pair", CROSSING, ids=label)
def test_comment_and_link_deadlock_without_early_lock(
    server: Engine, actors: Actors, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "lock_referenced_rows", lambda *_: None)
    assert sorted(cross(server, actors, pair)) == ["ok", "retry"]
    assert is_exact(server)


def edit_articles(session: Session) -> None:
    for key in (LINKED, THIRD):
        session.get_one(Article, key).headline = "Another"
    session.flush()


def cross_articles(server: Engine, actors: Actors) -> list[str]:
    """Edit two articles in the order of their keys, and add a comment to the thread of each.

    The index by which the second finds the articles has them in the opposite order. Both wait
    with their first article locked, so that each comes to want that of the other.
    """
    with HostSession(server) as session:
        session.execute(delete(Article))
        session.add_all([Article(id=THIRD, thread_id=X), Article(id=LINKED, thread_id=Y)])
        session.commit()
    actors[0].begin()
    actors[1].begin("enable_seqscan", "enable_bitmapscan")
    steps = [edit_articles, lambda session: insert_both(session, {}, 1)]
    with update_gate(server, "article") as release:
        return meet(server, actors, steps, release=release, states=("blocked", "blocked"))


def test_articles_are_locked_in_the_order_of_their_keys(server: Engine, actors: Actors) -> None:
    assert cross_articles(server, actors) == ["ok", "ok"]
    assert is_exact(server)


def test_articles_deadlock_without_the_order_of_keys(
    server: Engine, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_module, "lock_copies", lambda *_: {})
    assert sorted(cross_articles(server, actors)) == ["ok", "retry"]
