"""Deletions lock what counts for a row before the row, as everyone else does: no deadlock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, String, bindparam, delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.pairs import assert_verified, counter, install, key, pair, reference
from support.races import Actor, outcome, settle
from support.recount import drifted
from support.sessions import Counted, sync_engine
from support.statements import recorded

from tallied.counters import Count, Sum
from tallied.counters.registry.deletion_lock_order import DeletionLockOrder
from tallied.models import Author, Base, Comment, Thread
from tallied.models.counters import counters

DOOMED, KEPT, ADA, BOB, MINE = [UUID(int=n + (7 << 76) + (2 << 62)) for n in range(1, 6)]

Delete = Callable[[Session], Any]


def by_session(class_: Any, id: UUID) -> Delete:
    def delete_it(session: Session) -> None:
        session.delete(session.get_one(class_, id))
        session.flush()

    return delete_it


def by_statement(class_: Any, id: UUID) -> Delete:
    return lambda session: session.execute(delete(class_).where(class_.id == id))


def under_lock(class_: Any, id: UUID) -> Delete:
    def delete_it(session: Session) -> None:
        session.delete(counters.lock(session, class_, id, deleting=True))
        session.flush()

    return delete_it


WAYS = [by_session, by_statement, under_lock]


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """A database without tables, for models of a test's own."""
    engine = sync_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def actors(server: Engine) -> Iterator[tuple[Actor, Actor]]:
    with server.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    with Counted(server) as session:
        session.add_all([Author(id=id, subject=str(id)) for id in (ADA, BOB)])
        for thread in (DOOMED, KEPT):
            session.add(Thread(id=thread, title="T"))
            session.flush()
            for author, words in ((ADA, 3), (BOB, 4), (ADA, 5)):
                mine = {"id": MINE} if (thread, words) == (DOOMED, 5) else {}
                session.add(
                    Comment(thread_id=thread, author_id=author, message="word " * words, **mine)
                )
        session.commit()
    pair = (Actor(server, Counted), Actor(server, Counted))
    yield pair
    for actor in pair:
        actor.close(server)


def edit(session: Session) -> None:
    session.get_one(Comment, MINE).message = "seven words are more than there were"
    session.flush()


def remove(session: Session) -> None:
    session.delete(session.get_one(Comment, MINE))
    session.flush()


def move(session: Session) -> None:
    session.get_one(Comment, MINE).thread_id = KEPT
    session.flush()


def insert(session: Session) -> None:
    session.add(Comment(thread_id=DOOMED, author_id=ADA, message="two words"))
    session.flush()


def meet(
    server: Engine,
    actors: tuple[Actor, Actor],
    change: Callable[[Session], None],
    delete_it: Delete,
) -> list[str]:
    """`change` stops before it writes a counter, until `delete_it` waits; how the two ended."""
    one, two = actors
    for actor in actors:
        actor.begin()
    one.stop_before("UPDATE tallied_", "WITH tallied_delta")
    if change in (insert, edit):  # for an insert, nobody waits before the thread itself is wanted
        one.stop_before("UPDATE tallied_thread")
    first = one.do(change)
    assert settle(one, first, server) == "standing"
    second = two.do(delete_it)
    assert settle(two, second, server) == "blocked"
    one.go_on()
    ended = [outcome(first)]
    one.done(lambda session: session.commit() if ended == ["ok"] else session.rollback())
    ended.append(outcome(second))
    two.done(lambda session: session.commit() if ended[1] == "ok" else session.rollback())
    return ended


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", [edit, remove, move, insert])
def test_who_deletes_a_thread_waits_for_who_writes_in_it(
    server: Engine, actors: tuple[Actor, Actor], change: Any, way: Any
) -> None:
    assert meet(server, actors, change, way(Thread, DOOMED)) == ["ok", "ok"]
    with server.connect() as connection:
        assert drifted(connection) == 0
        left = select(func.count()).select_from(Comment)
        assert connection.execute(left).scalar() == (4 if change is move else 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", [edit, remove, move, insert])
def test_who_deletes_an_author_waits_for_who_changes_their_comments(
    server: Engine, actors: tuple[Actor, Actor], change: Any, way: Any
) -> None:
    assert meet(server, actors, change, way(Author, ADA)) == ["ok", "ok"]
    with server.connect() as connection:
        assert drifted(connection) == 0
        nobodys = select(func.count()).where(Comment.author_id.is_(None))
        assert connection.execute(nobodys).scalar() == {remove: 3, insert: 5}.get(change, 4)


@pytest.mark.parametrize("way", WAYS)
def test_a_comment_that_comes_in_between_is_locked_too(
    server: Engine, actors: tuple[Actor, Actor], way: Any
) -> None:
    """It is no longer changed once the deletion has read whose it is."""
    writer, deleter = actors
    third = Actor(server, Counted)
    for actor in (writer, deleter, third):
        actor.begin()
    writer.stop_before("UPDATE tallied_thread")
    running = writer.do(insert)
    assert settle(writer, running, server) == "standing"
    deleter.stop_before("DELETE")
    deletion = deleter.do(way(Thread, DOOMED))
    assert settle(deleter, deletion, server) == "blocked"
    writer.go_on()
    assert outcome(running) == "ok"
    writer.done(lambda session: session.commit())
    assert settle(deleter, deletion, server) == "standing"

    def give_away(session: Session) -> None:
        mine = select(Comment).where(Comment.thread_id == DOOMED, Comment.word_count == 2)
        session.scalars(mine).one().author_id = BOB
        session.flush()

    change = third.do(give_away)
    try:
        assert settle(third, change, server) == "blocked"
        deleter.go_on()
        assert outcome(deletion) == "ok"
        deleter.done(lambda session: session.commit())
        assert outcome(change) == "gone"
    finally:
        third.close(server)
    with server.connect() as connection:
        assert drifted(connection) == 0


@pytest.mark.parametrize("way", [by_session, by_statement])
def test_without_that_order_the_two_deadlock(
    server: Engine, actors: tuple[Actor, Actor], way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeletionLockOrder, "lock", lambda *args: None)
    assert sorted(meet(server, actors, edit, way(Thread, DOOMED))) == ["ok", "retry"]
    with server.connect() as connection:
        assert drifted(connection) == 0


@pytest.mark.parametrize("how", ["session", "statement"])
@pytest.mark.parametrize("referred", ["board.id", "board.slug"])
def test_the_innermost_rows_are_locked_first(engine: Engine, referred: str, how: str) -> None:
    board = {
        "__tablename__": "board",
        "id": key(),
        "slug": mapped_column(String, unique=True),
        "n": counter(),
    }
    Parent, Source = pair(
        {
            "board_ref": reference(referred, ondelete="CASCADE"),
            "board": relationship("Board", viewonly=referred == "board.slug"),
        },
        {"parent_id": reference("parent.id", ondelete="CASCADE")},
    )
    Board: Any = type("Board", (Parent.__bases__[0],), board)
    chain = [Sum(Board.n, of=Parent.n, via=Parent.board)] if referred == "board.id" else []
    own, Own = install(engine, Count(Parent.n, via=Source.parent), *chain)
    with Own(engine) as session:
        doomed, kept = Board(slug="doomed"), Board(slug="kept")
        session.add_all([doomed, kept])
        session.flush()
        column = referred.partition(".")[2]
        for at, size in ((doomed, 3), (doomed, 4), (kept, 5)):
            parent = Parent(board_ref=getattr(at, column))
            session.add_all(Source(parent=parent) for _ in range(size))
        session.commit()
        doomed = session.scalars(select(Board).where(Board.slug == "doomed")).one()
        with recorded(engine) as executed:
            if how == "session":
                session.delete(doomed)
                session.flush()
            else:
                session.execute(delete(Board).where(Board.slug == "doomed"))
        # By statement, the engine looks only at tables that something is counted by or in.
        if engine.dialect.name == "postgresql" and (chain or how == "session"):
            locked = [verb for verb in executed.verbs if verb != "DELETE board"]
            assert locked[:2] == ["SELECT source", "SELECT parent"]
        assert_verified(session, own)
        assert session.scalars(select(func.count()).select_from(Source)).one() == 5


@pytest.mark.parametrize("how", ["session", "statement"])
def test_a_tree_goes_with_its_root(engine: Engine, how: str) -> None:
    class Own(DeclarativeBase):
        pass

    class Page(Own):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        children: Mapped[int] = counter("children")
        parent_id: Mapped[int | None] = reference("page.id", ondelete="CASCADE")
        parent: Mapped[Page | None] = relationship(remote_side=[id])

    pages, OwnSession = install(engine, Count(Page.children, via=Page.parent))
    with OwnSession(engine) as session:
        session.add_all(Page(id=n, title=f"Page {n}") for n in (1, 2, 3))
        session.flush()
        for n, under in ((4, 1), (5, 1), (6, 2), (7, 4), (8, 7)):
            session.add(Page(id=n, title=f"Page {n}", parent_id=under))
            session.flush()
        session.commit()
        if how == "session":
            session.delete(session.get_one(Page, 4))
            session.flush()
        else:
            session.execute(delete(Page).where(Page.title == "Page 4"))
        assert_verified(session, pages)
        assert session.scalars(select(Page.id).order_by(Page.id)).all() == [1, 2, 3, 5, 6]
        assert session.get_one(Page, 1).children == 1


def test_a_statement_about_several_tables_locks_ahead_too(engine: Engine) -> None:
    Parent, Source = pair(
        {"title": mapped_column(String)}, {"parent_id": reference("parent.id", ondelete="CASCADE")}
    )
    own, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        for title, size in (("a", 3), ("b", 2), ("c", 4)):
            parent = Parent(title=title)
            session.add_all(Source(parent=parent) for _ in range(size))
        session.commit()
        many = select(Source.parent_id).group_by(Source.parent_id).having(func.count() > 2)
        named = Parent.title == bindparam("title")
        with recorded(engine) as executed:
            session.execute(delete(Parent).where(Parent.id.in_(many), named), {"title": "c"})
        if engine.dialect.name == "postgresql":
            assert executed.verbs[0] == "SELECT source"
            assert "FOR UPDATE" in executed[0]
        assert_verified(session, own)
        assert session.scalars(select(Parent.title).order_by(Parent.title)).all() == ["a", "b"]
