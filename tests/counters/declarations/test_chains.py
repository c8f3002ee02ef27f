"""A chain leads from sums to sums and from extremes to the same extremes, or is refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Max, Min, Sum
from tallied.errors import CounterDeclarationError


class Base(DeclarativeBase):
    """The base of this module."""


class Top(Base):
    __tablename__ = "top"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(server_default="0")
    best: Mapped[int | None]


class Middle(Base):
    __tablename__ = "middle"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(server_default="0")
    size: Mapped[int] = mapped_column(server_default="0")
    best: Mapped[int | None]
    least: Mapped[int | None]
    top_id: Mapped[int | None] = mapped_column(ForeignKey("top.id"), index=True)
    top: Mapped[Top | None] = relationship()


class Row(Base):
    __tablename__ = "row"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
    middle_id: Mapped[int | None] = mapped_column(ForeignKey("middle.id"), index=True)
    middle: Mapped[Middle | None] = relationship()


INNER = {
    "sum": Sum(Middle.total, of=Row.value, via=Row.middle),
    "count": Count(Middle.size, via=Row.middle),
    "max": Max(Middle.best, of=Row.value, via=Row.middle),
    "min": Min(Middle.least, of=Row.value, via=Row.middle),
}
OUTER: dict[str, Any] = {
    "sum": lambda of: Sum(Top.total, of=of, via=Middle.top),
    "max": lambda of: Max(Top.best, of=of, via=Middle.top),
    "min": lambda of: Min(Top.best, of=of, via=Middle.top),
}
KEPT = {("sum", "sum"), ("count", "sum"), ("max", "max"), ("min", "min")}
MIXED = [(inner, outer) for inner in INNER for outer in OUTER if (inner, outer) not in KEPT]


@pytest.mark.parametrize(("inner", "outer"), MIXED)
def test_chain_of_mixed_kinds_is_refused(inner: str, outer: str) -> None:
    counters = Counters(INNER[inner], OUTER[outer](INNER[inner].target))
    with pytest.raises(CounterDeclarationError) as raised:
        counters.install(type("MixedSession", (Session,), {}))
    assert raised.value.id == "counters.E041"


@pytest.mark.parametrize(
    ("inner", "outer", "before", "after"),
    [("sum", "sum", 19, 25), ("count", "sum", 3, 4), ("max", "max", 9, 9), ("min", "min", 3, 3)],
)
def test_chain_of_one_kind_is_counted(
    engine: Engine, inner: str, outer: str, before: int, after: int
) -> None:
    chain = OUTER[outer](INNER[inner].target)
    counters = Counters(INNER[inner], chain)
    Own = type("Own", (Session,), {})
    counters.install(Own, allow_uncounted=True)
    Base.metadata.create_all(engine)
    with Own(engine) as session:
        top = Top()
        one, other = Middle(top=top), Middle(top=top)
        session.add_all([Row(value=value, middle=one) for value in (7, 9)])
        session.add(Row(value=3, middle=other))
        session.commit()
        assert getattr(top, chain.key) == before
        session.add(Row(value=6, middle=other))
        session.commit()
        assert getattr(top, chain.key) == after
        assert list(counters.verify(session.connection())) == []
