"""Numbers that rows take once they first meet a condition."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Engine, Integer, insert, literal, select, text, update
from sqlalchemy.orm import Session, mapped_column, relationship
from support.pairs import assert_verified, counter, install, pair
from support.statements import recorded

from tallied.counters import Number


def declare(engine: Engine) -> tuple[Any, type[Session], Any, Any]:
    """Return counters, their session, and two parents with three sources, of which one is shown."""
    Parent, Source = pair(
        {"last": counter("last"), "sources": relationship("Source", back_populates="parent")},
        {
            "seq": mapped_column(Integer),
            "shown": mapped_column(Boolean, default=True),
            "parent": relationship("Parent", back_populates="sources"),
        },
    )
    number = Number(Source.seq, via=Source.parent, last=Parent.last, where=Source.shown)
    counters, Own = install(engine, number)
    with Own(engine) as session:
        session.add_all([Parent(id=1), Parent(id=2)])
        session.flush()
        shown = (False, True, False)
        session.add_all(Source(id=n, parent_id=1, shown=shown[n - 1]) for n in (1, 2, 3))
        session.commit()
    return counters, Own, Parent, Source


def numbers(session: Session, Source: Any) -> dict[int, int | None]:
    rows = session.connection().execute(select(Source.id, Source.seq).order_by(Source.id))
    return {row.id: row.seq for row in rows}


def test_row_takes_its_number_once_it_is_shown(engine: Engine) -> None:
    counters, Own, Parent, Source = declare(engine)
    with Own(engine) as session:
        parent = session.get_one(Parent, 1)
        assert (numbers(session, Source), parent.last) == ({1: None, 2: 1, 3: None}, 1)
        third, second = session.get_one(Source, 3), session.get_one(Source, 2)
        with recorded(engine) as executed:
            third.seq, second.shown = None, False
            session.flush()
        assert [verb for verb in executed.verbs if "parent" in verb] == []
        third.shown = second.shown = True
        session.flush()
        assert (third.seq, second.seq, parent.last) == (2, 1, 2)
        session.execute(update(Source).values(shown=True))
        assert (numbers(session, Source), parent.last) == ({1: 3, 2: 1, 3: 2}, 3)
        assert_verified(session, counters)


def test_rows_of_statements_take_numbers_once_shown(engine: Engine) -> None:
    counters, Own, Parent, Source = declare(engine)
    with Own(engine) as session:
        rows = [{"id": n, "parent_id": 1, "shown": n % 2 == 0} for n in (4, 5, 6)]
        session.execute(insert(Source), rows)
        assert numbers(session, Source) == {1: None, 2: 1, 3: None, 4: 2, 5: None, 6: 3}
        first = session.get_one(Source, 1)
        first.shown = literal(True)
        session.flush()
        assert numbers(session, Source)[1] == 4
        session.execute(update(Source), [{"id": 3, "shown": True}, {"id": 5, "shown": True}])
        assert sorted(numbers(session, Source).values()) == [1, 2, 3, 4, 5, 6]  # type: ignore[type-var]
        assert session.get_one(Parent, 1).last == 6
        assert_verified(session, counters)


def test_hidden_row_leaves_its_number_when_it_moves(engine: Engine) -> None:
    counters, Own, Parent, Source = declare(engine)
    with Own(engine) as session:
        first, second, third = (session.get_one(Source, n) for n in (1, 2, 3))
        second.shown = False
        session.flush()
        second.parent_id = first.parent_id = 2
        session.flush()
        assert (second.seq, first.seq, session.get_one(Parent, 2).last) == (None, None, 0)
        second.shown, third.parent_id, third.shown = True, 2, True
        session.flush()
        assert sorted((second.seq, third.seq)) == [1, 2]
        session.execute(update(Source).where(Source.id == 2).values(shown=False))
        session.execute(update(Source).where(Source.id < 3).values(parent_id=1))
        assert numbers(session, Source) == {1: None, 2: None, 3: third.seq}
        session.rollback()
        assert numbers(session, Source) == {1: None, 2: 1, 3: None}
        assert_verified(session, counters)


def test_rebuild_numbers_the_shown_rows_alone(engine: Engine) -> None:
    counters, Own, Parent, Source = declare(engine)
    with Own(engine) as session:
        table = Source.__table__.name
        session.execute(text(f"UPDATE {table} SET shown = (id <> 3), seq = NULL"))
        session.commit()
        (drift,) = counters.verify(session.connection())
        assert drift.difference == -2
        session.rollback()
        with engine.connect() as connection:
            counters.rebuild(connection)
        assert numbers(session, Source) == {1: 2, 2: 3, 3: None}
        assert session.get_one(Parent, 1).last == 3
        assert_verified(session, counters)
        with counters.pause(session):
            session.add(Source(id=9, parent_id=1, shown=False))
            session.get_one(Source, 3).shown = True
            session.flush()
        assert numbers(session, Source) == {1: 2, 2: 3, 3: 4, 9: None}
        assert_verified(session, counters)
