"""Contract point 4: the parents' tables are written in one order, those that refer to others first.

A thread refers to its author, and a deletion of the thread lowers the author's counters while
the thread is locked. So every unit writes the thread before the author. In the order of the
tables' names, a unit that has locked a thread and one that edits a comment in it would wait for
each other.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from support.races import Actor, uuids, wait_for_state
from support.recount import drifted
from support.sessions import Counted

from tallied.counters import Count, Counters
from tallied.models import Author, Base, Comment, Thread
from tallied.models.counters import counters

THREAD, ADA, MINE = uuids(3)


def prepare(session: Session) -> None:
    session.add_all([Author(id=ADA, subject="ada"), Thread(id=THREAD, title="T")])
    session.flush()
    session.add(Comment(id=MINE, thread_id=THREAD, author_id=ADA, message="two words"))


RACE = (Counted, prepare, Base.metadata)


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
def test_unit_that_has_locked_a_thread_writes_undisturbed(
    server: Engine, actors: tuple[Actor, Actor], change: Any
) -> None:
    one, two = actors
    for actor in actors:
        actor.begin()
    one.run(lock)
    second = two.start(change)
    assert wait_for_state(two, second, server) == "blocked"
    assert one.end(one.start(add)) == "ok"
    assert two.end(second) == "ok"
    assert drifted(server) == 0
    with server.connect() as connection:
        assert [str(drift) for drift in counters.verify(connection)] == []


def test_comments_threads_and_authors_are_written_in_order() -> None:
    written = [mapper.class_ for mapper in counters.parents]
    assert [model for model in written if model in (Comment, Thread, Author)] == [
        Comment,
        Thread,
        Author,
    ]


def test_tables_that_refer_to_each_other_are_ordered() -> None:
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
