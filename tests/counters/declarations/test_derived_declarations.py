"""Derived columns are declared beside counters or without them, and verified in part."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Integer, String, select, update
from sqlalchemy.orm import mapped_column
from support.pairs import assert_verified, counter, install, pair

from tallied.counters import Count, Derived, Sum
from tallied.counters.maintenance.derived_columns import pages, repair
from tallied.errors import CounterAssignmentError


def models() -> tuple[Any, Any]:
    """Return a pair of which the source has a ``title``, a ``size`` and a ``half``."""
    columns = {"title": mapped_column(String), "size": mapped_column(Integer)}
    return pair({"words": counter("words")}, columns | {"half": mapped_column(Integer)})


def test_extension_may_add_derived_columns_alone(engine: Engine) -> None:
    Parent, Source = models()
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    extension = counters.extend(
        Derived(Source.size, of=Source.title, compute=len),
        Sum(Parent.words, of=Source.size, via=Source.parent),
    )
    extension.install(Own)
    assert counters.installed_on(Own) is extension
    more = extension.extend(Derived(Source.half, of=Source.title, compute=lambda t: len(t) // 2))
    more.install(Own)
    assert counters.installed_on(Own) is more
    with Own(engine) as session:
        parent = Parent()
        session.add_all(Source(title=title, parent=parent) for title in ("seven..", "four"))
        assert_verified(session, more)
        session.execute(update(Source).where(Source.size == 4).values(title="of nine.."))
        assert_verified(session, more)
        session.refresh(parent)
        assert (parent.n, parent.words) == (2, 16)
        assert session.scalars(select(Source.half).order_by(Source.half)).all() == [3, 4]


def test_derived_columns_need_no_counters(engine: Engine) -> None:
    Book = models()[1]
    counters, Own = install(engine, Derived(Book.size, of=Book.title, compute=len))
    counters.install(Own)
    assert counters.installed_on(Own) is counters
    with Own(engine) as session:
        session.add(book := Book(title="four"))
        session.execute(update(Book).values(title="seven.."))
        with pytest.raises(CounterAssignmentError):
            book.size = 5
        session.commit()
        session.connection().execute(update(Book.__table__).values(size=99))
        assert list(counters.verify(session.connection(), derived=False)) == []
        (drift,) = counters.verify(session.connection(), only=["Source.size"])
        result = (drift.counter, drift.key, drift.stored, drift.true)
        assert result == ("Source.size", (book.id,), 99, 7)
        session.commit()
        (declared,) = counters.derived
        assert repair(session, declared, [drift.key]) == 1
        assert session.scalar(select(Book.size)) == 7


def test_verify_of_derived_columns_takes_a_condition(engine: Engine) -> None:
    Parent, Source = models()
    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Derived(Source.size, of=Source.title, compute=len),
        Sum(Parent.words, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        parents = [Parent() for _ in range(3)]
        sources = [Source(title="four", parent=parent) for parent in parents]
        session.add_all(sources)
        session.flush()
        session.connection().execute(update(Source.__table__).values(size=5))
        second = Parent.id == parents[1].id
        drifts = counters.verify(session.connection(), only=[Parent, Source], where=second)
        assert [(drift.counter, drift.key) for drift in drifts] == [
            ("Parent.words", (parents[1].id,)),
            ("Source.size", (sources[1].id,)),
        ]
        sampled = counters.verify(session.connection(), sample=2)
        assert sum(drift.counter == "Source.size" for drift in sampled) == 2
        session.commit()
        (size,) = counters.derived
    with engine.connect() as connection:
        wrong = [key for page in pages(connection, size, size=2) for key in page.wrong]
    assert len(wrong) == 3
