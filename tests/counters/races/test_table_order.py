"""Contract point 4: the parents' tables are written in one order, who refers to others first.

A thread refers to its author, and a deletion of the thread lowers the author's counters while
the thread is locked. So everyone writes the thread before the author; in the order of the tables'
names, who has locked a thread and who edits a comment in it would wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.races import Actor, outcome, settle
from support.recount import drifted
from support.sessions import Counted

from tallied.counters import Count, Counters
from tallied.models import Author, Base, Comment, Thread
from tallied.models.counters import counters

THREAD, ADA, MINE = [UUID(int=n + (7 << 76) + (2 << 62)) for n in range(1, 4)]


@pytest.fixture
def actors(server: Engine) -> Iterator[tuple[Actor, Actor]]:
    with server.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    with Counted(server) as session:
        session.add(Author(id=ADA, subject="ada"))
        session.add(Thread(id=THREAD, title="T"))
        session.flush()
        session.add(Comment(id=MINE, thread_id=THREAD, author_id=ADA, message="two words"))
        session.commit()
    pair = (Actor(server, Counted), Actor(server, Counted))
    yield pair
    for actor in pair:
        actor.close(server)


def lock(session: Session) -> None:
    row = select(Thread.id).where(Thread.id == THREAD).with_for_update(key_share=True)
    session.execute(row).all()


def add(session: Session) -> None:
    session.add(Comment(thread_id=THREAD, author_id=ADA, message="three more words"))
    session.flush()


def edit(session: Session) -> None:
    session.get_one(Comment, MINE).message = "five words in its place"
    session.flush()


def remove(session: Session) -> None:
    session.delete(session.get_one(Comment, MINE))
    session.flush()


@pytest.mark.parametrize("change", [add, edit, remove])
def test_who_has_locked_a_thread_writes_in_it_undisturbed(
    server: Engine, actors: tuple[Actor, Actor], change: Any
) -> None:
    one, two = actors
    for actor in actors:
        actor.begin()
    one.done(lock)
    second = two.do(change)
    assert settle(two, second, server) == "blocked"
    assert outcome(one.do(add)) == "ok"
    one.done(lambda session: session.commit())
    assert outcome(second) == "ok"
    two.done(lambda session: session.commit())
    with server.connect() as connection:
        assert drifted(connection) == 0
        assert [str(drift) for drift in counters.verify(connection)] == []


def test_tallied_writes_threads_before_authors() -> None:
    assert [mapper.class_ for mapper in counters.parents] == [Thread, Author]


def test_tables_that_refer_to_each_other_have_an_order() -> None:
    class Models(DeclarativeBase):
        pass

    class Crew(Models):
        __tablename__ = "crew"
        id: Mapped[int] = mapped_column(primary_key=True)
        ship_id: Mapped[int] = mapped_column(ForeignKey("ship.id"))
        size: Mapped[int] = mapped_column(server_default="0")

    class Port(Models):
        __tablename__ = "port"
        id: Mapped[int] = mapped_column(primary_key=True)
        size: Mapped[int] = mapped_column(server_default="0")

    class Ship(Models):
        __tablename__ = "ship"
        id: Mapped[int] = mapped_column(primary_key=True)
        crew_id: Mapped[int] = mapped_column(ForeignKey("crew.id"))
        port_id: Mapped[int] = mapped_column(ForeignKey("port.id"))
        elsewhere: Mapped[int | None] = mapped_column(ForeignKey("not_mapped.id"))
        size: Mapped[int] = mapped_column(server_default="0")

    class Sailor(Models):
        __tablename__ = "sailor"
        id: Mapped[int] = mapped_column(primary_key=True)
        crew_id: Mapped[int] = mapped_column(ForeignKey("crew.id"), index=True)
        port_id: Mapped[int] = mapped_column(ForeignKey("port.id"), index=True)
        ship_id: Mapped[int] = mapped_column(ForeignKey("ship.id"), index=True)
        crew: Mapped[Crew] = relationship()
        port: Mapped[Port] = relationship()
        ship: Mapped[Ship] = relationship()

    engine = Counters(
        Count(Port.size, via=Sailor.port),
        Count(Ship.size, via=Sailor.ship),
        Count(Crew.size, via=Sailor.crew),
    )
    engine.install(type("Sailing", (Session,), {}))
    assert [mapper.class_ for mapper in engine.parents] == [Ship, Crew, Port]
