"""Whoever comments and whoever points an article elsewhere end exact, whoever comes first.

The schedules are those of ``test_races.py``; ``within`` stops when the thread is written and
the articles are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.orm import Session
from support.magazine import (
    Article,
    Host,
    HostSession,
    Issue,
    Teaser,
    comment,
    issues,
    magazine,
    make_tables,
    stored,
    thread_of,
    truth,
)
from support.races import TIMEOUT, Actor, Operation, in_savepoint, outcome, race, settle
from support.sessions import sync_engine

from tallied.counters.declarations.counter import Change
from tallied.counters.sql import copies
from tallied.counters.sql.counter_updates import write
from tallied.counters.sql.rows import read
from tallied.counters.unit_of_work import flush
from tallied.counters.unit_of_work import pending_changes as settle_module
from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

X, Y = (UUID(int=n + (7 << 76) + (2 << 62)) for n in (1, 2))
LINKED, FREE, THIRD = 100, 101, 102
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


def prepare(session: Session) -> None:
    """Two threads; one article points to the second, and the others to none."""
    session.add_all([thread_of(10, 3, 4, id=X), thread_of(5, 6, id=Y), Issue(id=1)])
    session.flush()
    session.add_all([Article(id=key, issue_id=1) for key in (FREE, THIRD)])
    session.add(Article(id=LINKED, thread_id=Y, issue_id=1))
    session.add(Teaser(thread_id=Y))
    session.commit()


def load(session: Session) -> dict[Any, Any]:
    """What a unit has in memory before it acts."""
    found: dict[Any, Any] = {key: session.get(Article, key) for key in (LINKED, FREE, THIRD)}
    found |= {key: session.get(Thread, key) for key in (X, Y)}
    first = select(Comment).where(Comment.thread_id == X).order_by(Comment.id).limit(1)
    return found | {"comment": session.scalars(first).one_or_none()}


def insert(session: Session, loaded: Any, who: int) -> None:
    session.add(comment(2 + who, thread_id=X))
    session.flush()


def insert_both(session: Session, loaded: Any, who: int) -> None:
    for key in ((X, Y), (Y, X))[who]:
        session.add(comment(2 + who, thread_id=key))
    session.flush()


def edit(session: Session, loaded: Any, who: int) -> None:
    if loaded["comment"] is not None:
        loaded["comment"].message = "w " * (20 + who)
    session.flush()


def move(session: Session, loaded: Any, who: int) -> None:
    if loaded["comment"] is not None:
        loaded["comment"].thread_id = Y
    session.flush()


def bulk_remove(session: Session, loaded: Any, who: int) -> None:
    session.execute(delete(Comment).where(Comment.thread_id == X, Comment.word_count > 3 + who))


def link(session: Session, loaded: Any, who: int) -> None:
    loaded[FREE].thread_id = X
    session.flush()


def link_new(session: Session, loaded: Any, who: int) -> None:
    session.add(Teaser(thread_id=X))
    session.add(Article(thread_id=X, issue_id=1))
    session.flush()


def relink(session: Session, loaded: Any, who: int) -> None:
    loaded[LINKED].thread_id = X
    session.flush()


def unlink(session: Session, loaded: Any, who: int) -> None:
    loaded[LINKED].thread_id = None
    session.flush()


def bulk_link(session: Session, loaded: Any, who: int) -> None:
    session.execute(update(Article).where(Article.id == THIRD).values(thread_id=X))


def remove_article(session: Session, loaded: Any, who: int) -> None:
    session.delete(loaded[LINKED])
    session.flush()


def remove_thread(session: Session, loaded: Any, who: int) -> None:
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


def names(pair: tuple[Operation, Operation]) -> str:
    return "-".join(each.__name__ for each in pair)


@pytest.fixture(scope="module")
def server(postgresql: Any) -> Iterator[Engine]:
    """One PostgreSQL database for all races; each starts with the same rows."""
    engine = sync_engine(postgresql.render_as_string(hide_password=False))
    make_tables(engine)
    yield engine
    Host.metadata.drop_all(engine)
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def level() -> str:
    """The isolation level of both."""
    return "READ COMMITTED"


@pytest.fixture
def actors(server: Engine, level: str) -> Iterator[tuple[Actor, Actor]]:
    empty(server)
    with HostSession(server) as session:
        prepare(session)
    pair = tuple(Actor(server, HostSession, isolation_level=level) for _ in range(2))
    yield pair
    for actor in pair:
        actor.close(server)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for metadata in (Host.metadata, Base.metadata):
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())


def run(server: Engine, actors: Any, pair: Any, schedule: str) -> tuple[str, str]:
    return race(
        server,
        actors,
        pair,
        schedule,
        load=load,
        stop=("UPDATE article", "SELECT article", "UPDATE teaser", "SELECT teaser"),
        writes_nothing=WRITES_NOTHING,
    )


def is_exact(engine: Engine) -> bool:
    with engine.connect() as connection:
        held, counted = issues(connection)
        exact = stored(connection) == truth(connection) and held == counted
        assert exact == (list(magazine.verify(connection, only=[Article, Issue])) == [])
        return exact and list(magazine.verify(connection)) == []


@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("pair", PAIRS, ids=names)
def test_a_race_about_links_ends_exact(
    server: Engine, actors: tuple[Actor, Actor], pair: Any, schedule: str
) -> None:
    run(server, actors, pair, schedule)
    assert is_exact(server)


OFTEN = [pair for pair in PAIRS if set(pair) & {insert, move} or pair == (unlink, relink)]


@pytest.mark.parametrize("schedule", ["after", "within"])
@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("pair", OFTEN, ids=names)
def test_a_race_about_links_ends_exact_on_every_level(
    server: Engine, actors: tuple[Actor, Actor], pair: Any, schedule: str
) -> None:
    run(server, actors, pair, schedule)
    assert is_exact(server)


@pytest.mark.parametrize("pair", OFTEN, ids=names)
def test_a_race_about_links_ends_exact_in_savepoints(
    server: Engine, actors: tuple[Actor, Actor], pair: Any
) -> None:
    run(server, actors, tuple(map(in_savepoint, pair)), "within")
    assert is_exact(server)


# What each protection is for


def written_for_nothing(changes: dict[Any, Change]) -> bool:
    """Whether rows are written only since somebody has come to point to them."""
    return all(change.must_write and not any(change.added.values()) for change in changes.values())


def test_without_the_lock_of_the_thread_a_link_is_lost(
    server: Engine, actors: tuple[Actor, Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlocked(connection: Any, mapper: Any, counters: Any, changes: Any, also: Any) -> Any:
        if written_for_nothing(changes):
            return {}
        return write(connection, mapper, counters, changes, also)

    monkeypatch.setattr(settle_module, "write", unlocked)
    monkeypatch.setattr(flush, "lock_pointed", lambda *_: None)
    run(server, actors, (insert, link), "within")
    assert not is_exact(server)


@pytest.mark.parametrize("level", ["REPEATABLE READ"])
def test_with_a_lock_that_changes_nothing_a_link_is_lost_to_an_older_snapshot(
    server: Engine, actors: tuple[Actor, Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(connection: Any, mapper: Any, counters: Any, changes: Any, also: Any) -> Any:
        if written_for_nothing(changes):
            read(connection, mapper, (), list(changes), lock=True)
            return {}
        return write(connection, mapper, counters, changes, also)

    monkeypatch.setattr(settle_module, "write", locked)
    run(server, actors, (link, insert), "after")
    assert not is_exact(server)


def both(
    server: Engine, actors: tuple[Actor, Actor], first: Operation, second: Operation
) -> list[str]:
    """The first stops when what is pointed to is written; the second goes as far as it gets."""
    one, two = actors
    for actor in actors:
        actor.begin()
    loaded = [actor.done(load) for actor in actors]
    one.stop_before("UPDATE article", "SELECT article", "UPDATE teaser", "SELECT teaser")
    ran = one.do(lambda session: first(session, loaded[0], 0))
    assert settle(one, ran, server) == "standing"
    ran_too = two.do(lambda session: second(session, loaded[1], 1))
    assert settle(two, ran_too, server) == "blocked"
    one.go_on()
    return ends(actors, (ran, ran_too))


def ends(actors: tuple[Actor, Actor], futures: tuple[Future[Any], ...]) -> list[str]:
    """How two flushes have ended, of which one may have waited for the other's commit."""
    assert wait(futures, timeout=TIMEOUT, return_when=FIRST_COMPLETED).done
    results = {}
    for place in sorted((0, 1), key=lambda place: not futures[place].done()):
        results[place] = outcome(futures[place])
        ok = results[place] == "ok"
        actors[place].done(lambda session, ok=ok: session.commit() if ok else session.rollback())
    return [results[0], results[1]]


def remove_both(session: Session, loaded: Any, who: int) -> None:
    """As a relationship back to the articles would: the pointer goes before the thread does."""
    loaded[LINKED].thread_id = None
    session.delete(loaded[Y])
    session.flush()


CROSSING = [(insert_both, relink), (insert_both, remove_both)]


@pytest.mark.parametrize("pair", CROSSING, ids=names)
def test_commenting_and_linking_do_not_deadlock(
    server: Engine, actors: tuple[Actor, Actor], pair: Any
) -> None:
    assert both(server, actors, *pair) == ["ok", "ok"]
    assert is_exact(server)


@pytest.mark.parametrize("pair", CROSSING, ids=names)
def test_without_the_early_lock_commenting_and_linking_deadlock(
    server: Engine, actors: tuple[Actor, Actor], pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "lock_pointed", lambda *_: None)
    assert sorted(both(server, actors, *pair)) == ["ok", "retry"]
    assert is_exact(server)


TRIGGER = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
CREATE TRIGGER wait_for_the_test BEFORE UPDATE ON article
FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""


def opposite(server: Engine, actors: tuple[Actor, Actor]) -> list[str]:
    """The host edits two articles by their keys, while their threads' comments come."""
    with HostSession(server) as session:  # they are stored in the opposite order
        session.execute(delete(Article))
        session.add(Article(id=THIRD, thread_id=X))
        session.flush()
        session.add(Article(id=LINKED, thread_id=Y))
        session.commit()

    def edit_articles(session: Session) -> None:
        for key in (LINKED, THIRD):
            session.get_one(Article, key).headline = "Another"
        session.flush()

    with server.connect() as connection:
        connection.execute(text(TRIGGER))
        connection.execute(text("SET lock_timeout = '10s'"))
        connection.commit()
        connection.execute(text("SELECT pg_advisory_lock(42)"))
        try:
            one, two = actors
            one.begin()
            ran = one.do(edit_articles)
            assert settle(one, ran, server) == "blocked"
            two.begin()
            ran_too = two.do(lambda session: insert_both(session, {}, 1))
            assert settle(two, ran_too, server) == "blocked"
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.commit()
            return ends(actors, (ran, ran_too))
        finally:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.execute(text("DROP FUNCTION wait_for_the_test() CASCADE"))
            connection.commit()


def test_articles_are_locked_in_the_order_of_their_keys(
    server: Engine, actors: tuple[Actor, Actor]
) -> None:
    assert opposite(server, actors) == ["ok", "ok"]
    assert is_exact(server)


def test_without_the_order_of_articles_they_deadlock(
    server: Engine, actors: tuple[Actor, Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_lock", lambda *_: {})
    # Once both go on, one may still be through before the other comes to its second lock.
    assert any(sorted(opposite(server, actors)) == ["ok", "retry"] for _ in range(5))
