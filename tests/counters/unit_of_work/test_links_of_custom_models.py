"""Copies along a foreign key of custom models."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, ForeignKeyConstraint, Index, Integer, select
from sqlalchemy.orm import mapped_column
from support.pairs import assert_verified, counter, install, pair, reference

from tallied.counters import Count, Latest, Sum
from tallied.errors import CounterAssignmentError, UncountedStatementError


def test_link_by_composite_key_is_kept_on_both_sides(engine: Engine) -> None:
    number = {"primary_key": True, "autoincrement": False}
    Parent, Source = pair(
        {"part": mapped_column(Integer, **number), "id": mapped_column(Integer, **number)}
        | {"size": mapped_column(Integer)},
        {
            "s": counter("s"),
            "latest": mapped_column(Integer),
            "part": mapped_column(Integer),
            "parent_id": mapped_column(Integer),
            "__table_args__": (
                ForeignKeyConstraint(["part", "parent_id"], ["parent.part", "parent.id"]),
                Index("ix_source_parent", "part", "parent_id"),
            ),
        },
    )
    counters, Own = install(
        engine,
        Sum(Source.s, of=Parent.size, via=Source.parent),
        Latest(Source.latest, of=Parent.size, via=Source.parent),
        Count(Parent.n, via=Source.parent),
    )
    with Own(engine) as session:
        one, two = (Parent(part=2, id=number, size=30 * number) for number in (3, 4))
        sources = [Source(parent=one) for _ in range(3)]
        session.add_all([one, two, *sources])
        session.commit()
        assert [(source.s, source.latest) for source in sources] == [(90, 90)] * 3
        one.size, two.size = 50, 60
        sources[0].parent = two
        session.commit()
        assert [source.s for source in sources] == [60, 50, 50]
        assert (one.n, two.n) == (2, 1)
        assert_verified(session, counters)
        with pytest.raises(CounterAssignmentError):
            sources[0].s = 70
        with pytest.raises(UncountedStatementError):
            session.execute(Parent.__table__.update().values(id=9))


def test_copy_is_zero_after_the_database_sets_null(engine: Engine) -> None:
    """No other counter depends on the rows that point."""
    Parent, Source = pair(
        {"size": mapped_column(Integer)},
        {"s": counter("s"), "parent_id": reference("parent.id", ondelete="SET NULL")},
    )
    _, Own = install(engine, Sum(Source.s, of=Parent.size, via=Source.parent))
    with Own(engine) as session:
        one, two = Parent(size=30), Parent(size=40)
        session.add_all([one, two, *(Source(parent=parent) for parent in (one, two, two))])
        session.commit()
        session.delete(one)
        session.commit()
        assert session.scalars(select(Source.s).order_by(Source.s)).all() == [0, 40, 40]
