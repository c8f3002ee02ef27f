"""Deletions lock what counts for a row before the row, as other writers do: no deadlock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, String, bindparam, delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.pairs import assert_verified, counter, install, key, pair, reference
from support.races import Actor, meet, outcome, uuids, wait_for_state
from support.recount import drifted
from support.sessions import Counted
from support.statements import recorded

from tallied.counters import Count, Sum
from tallied.counters.registry.deletion_lock_order import DeletionLockOrder
from tallied.models import Author, Base, Comment, Thread
from tallied.models.counters import counters

DOOMED, KEPT, ADA, BOB, MINE = uuids(5)
Actors = tuple[Actor, ...]

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


def prepare(session: Session) -> None:
    """Store two threads with three comments each, by two authors."""
    session.add_all([Author(id=id, subject=str(id)) for id in (ADA, BOB)])
    for thread in (DOOMED, KEPT):
        session.add(Thread(id=thread, title="T"))
        session.flush()
        for author, words in ((ADA, 3), (BOB, 4), (ADA, 5)):
            key = {"id": MINE} if (thread, words) == (DOOMED, 5) else {}
            message = "word " * words
            session.add(Comment(thread_id=thread, author_id=author, message=message, **key))


RACE = (Counted, prepare, Base.metadata)


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


def meet_deletion(
    server: Engine, actors: Actors, change: Callable[[Session], None], deletion: Delete
) -> list[str]:
    """Stop `change` before it writes a counter, until `deletion` waits; return the outcomes."""
    for actor in actors:
        actor.begin()
    stop = ("UPDATE tallied_", "WITH tallied_delta")
    if change in (insert, edit):  # for an insert, no one waits before the thread itself is locked
        stop = ("UPDATE tallied_thread",)
    return meet(server, actors, [change, deletion], stop=stop)


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", [edit, remove, move, insert])
@pytest.mark.parametrize(("class_", "key"), [(Thread, DOOMED), (Author, ADA)])
def test_deletion_of_parent_waits_for_changes_of_its_comments(
    server: Engine, actors: Actors, class_: Any, key: UUID, change: Any, way: Any
) -> None:
    assert meet_deletion(server, actors, change, way(class_, key)) == ["ok", "ok"]
    assert drifted(server) == 0
    with server.connect() as connection:
        if class_ is Thread:
            query, expected = select(func.count()).select_from(Comment), 4 if change is move else 3
        else:
            query = select(func.count()).where(Comment.author_id.is_(None))
            expected = {remove: 3, insert: 5}.get(change, 4)
        assert connection.scalar(query) == expected


@pytest.mark.parametrize("way", WAYS)
def test_comment_added_before_a_deletion_is_locked_too(
    server: Engine, actors: Actors, way: Any
) -> None:
    """No one changes it after the deletion has read its author."""
    writer, deleter = actors
    third = Actor(server, Counted)
    for actor in (writer, deleter, third):
        actor.begin()
    writer.stop_before("UPDATE tallied_thread")
    running = writer.start(insert)
    assert wait_for_state(writer, running, server) == "stopped"
    deleter.stop_before("DELETE")
    deletion = deleter.start(way(Thread, DOOMED))
    assert wait_for_state(deleter, deletion, server) == "blocked"
    writer.go_on()
    assert outcome(running) == "ok"
    writer.run(Session.commit)
    assert wait_for_state(deleter, deletion, server) == "stopped"

    def give_away(session: Session) -> None:
        added = select(Comment).where(Comment.thread_id == DOOMED, Comment.word_count == 2)
        session.scalars(added).one().author_id = BOB
        session.flush()

    change = third.start(give_away)
    try:
        assert wait_for_state(third, change, server) == "blocked"
        deleter.go_on()
        assert outcome(deletion) == "ok"
        deleter.run(Session.commit)
        assert outcome(change) == "gone"
    finally:
        third.close(server)
    assert drifted(server) == 0


@pytest.mark.parametrize("way", [by_session, by_statement])
def test_deletion_and_edit_deadlock_without_that_order(
    server: Engine, actors: Actors, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeletionLockOrder, "lock", lambda *args: None)
    assert sorted(meet_deletion(server, actors, edit, way(Thread, DOOMED))) == ["ok", "retry"]
    assert drifted(server) == 0


@pytest.mark.parametrize("how", ["session", "statement"])
@pytest.mark.parametrize("referred", ["board.id", "board.slug"])
def test_innermost_rows_are_locked_first(engine: Engine, referred: str, how: str) -> None:
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
        doomed, other = Board(slug="doomed"), Board(slug="kept")
        session.add_all([doomed, other])
        session.flush()
        column = referred.partition(".")[2]
        for at, size in ((doomed, 3), (doomed, 4), (other, 5)):
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
        # A statement locks only rows of tables with counters or sources.
        if engine.dialect.name == "postgresql" and (chain or how == "session"):
            locked = [verb for verb in executed.verbs if verb != "DELETE board"]
            assert locked[:2] == ["SELECT source", "SELECT parent"]
        assert_verified(session, own)
        assert session.scalars(select(func.count()).select_from(Source)).one() == 5


@pytest.mark.parametrize("how", ["session", "statement"])
def test_tree_is_deleted_with_its_root(engine: Engine, how: str) -> None:
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
        for n, under in ((4, 1), (5, 1), (6, 2), (7, 4), (8, 7), (9, 1)):
            session.add(Page(id=n, title=f"Page {n}", parent_id=under))
            session.flush()
        session.commit()
        if how == "session":
            session.delete(session.get_one(Page, 4))
            session.flush()
        else:
            session.execute(delete(Page).where(Page.title == "Page 4"))
        assert_verified(session, pages)
        assert session.scalars(select(Page.id).order_by(Page.id)).all() == [1, 2, 3, 5, 6, 9]
        assert session.get_one(Page, 1).children == 2


def test_statement_on_several_tables_locks_ahead_too(engine: Engine) -> None:
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
