"""Conditions and values that Python and the database may evaluate differently."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from sqlalchemy import (
    CHAR,
    Boolean,
    Date,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Integer,
    Numeric,
    String,
    TypeDecorator,
    and_,
    case,
    cast,
    collate,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    tuple_,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.orm import Session, mapped_column
from support.pairs import assert_verified, counter, install, pair

from tallied.counters import Count, Counters, Latest, Max, Sum
from tallied.errors import CounterDeclarationError

Condition = Callable[[Any], Any]

SAME: dict[str, Condition] = {
    "=": lambda s: s.a == 1,
    "<>": lambda s: s.a != 1,
    "two columns": lambda s: s.a < s.b,
    "equal columns": lambda s: s.a == s.b,
    "= NULL": lambda s: s.a == null(),
    "IS NOT NULL": lambda s: s.a.is_not(None),
    "plus": lambda s: s.a + s.b == 3,
    "minus": lambda s: s.a - s.b > 0,
    "times": lambda s: s.a * s.b > 2,
    "NOT (… AND …)": lambda s: ~and_(s.a == 1, s.b == 2),
    "NOT (… OR …)": lambda s: ~or_(s.a == 1, s.b == 2),
    "AND, OR": lambda s: and_(s.a > 0, or_(s.b.is_(None), s.b < 2)),
    "NOT in NOT": lambda s: ~and_(s.a > 0, ~(s.b > 0)),
    "comparison of comparisons": lambda s: (s.a > 0) != (s.b > 0),
    "IN with NULL": lambda s: s.a.in_([1, None]),
    "NOT IN with NULL": lambda s: s.a.not_in([1, None]),
    "NOT (IN with NULL)": lambda s: ~s.a.in_([1, None]),
    "IN nothing": lambda s: s.a.in_([]),
    "NOT IN nothing": lambda s: s.a.not_in([]),
    "IN of tuples": lambda s: tuple_(s.a, s.b).in_([(1, 2), (0, 5)]),
    "text": lambda s: s.text == "xz",
    "joined text": lambda s: s.text + "q" == "xzq",
    "concat()": lambda s: s.text.concat("z") == "xz",
    "= TRUE": lambda s: s.flag == True,  # noqa: E712
    "<> TRUE": lambda s: s.flag != True,  # noqa: E712
    "IS TRUE": lambda s: s.flag.is_(True),
    "IS NOT TRUE": lambda s: s.flag.is_not(True),
    "NOT IS TRUE": lambda s: not_(s.flag.is_(True)),
    "a flag": lambda s: s.flag,
    "NOT of a flag": lambda s: ~s.flag,
    "a flag and more": lambda s: and_(s.flag, s.a > 0),
    "decimal": lambda s: s.price == Decimal("0.30"),
    "decimal arithmetic": lambda s: s.price * 2 > 3,
}

NEVER = {"NOT IN with NULL", "NOT (IN with NULL)", "IN nothing"}
"""The conditions that no row meets: in SQL, NOT IN a list with a NULL is unknown."""

REFUSED: dict[str, Condition] = {
    "modulo": lambda s: s.a % 2 == 1,
    "modulo of a decimal": lambda s: s.price % 2 > 0,
    "division": lambda s: s.a / 2 > 1,
    "division by what may be 0": lambda s: s.a / s.b > 1,
    "integer division": lambda s: s.a // 2 == -2,
    "negation": lambda s: -s.a > 1,
    "bits": lambda s: s.a.bitwise_and(1) == 1,
    "IS DISTINCT FROM": lambda s: s.a.is_distinct_from(s.b),
    "IS of a column": lambda s: s.a.is_(s.b),
    "BETWEEN": lambda s: s.a.between(0, 2),
    "startswith": lambda s: s.text.startswith("x"),
    "startswith a wildcard": lambda s: s.text.startswith("x_"),
    "endswith": lambda s: s.text.endswith("Z"),
    "contains": lambda s: s.text.contains("z"),
    "LIKE": lambda s: s.text.like("x%"),
    "ILIKE": lambda s: s.text.ilike("X%"),
    "ordered text": lambda s: s.text < "b",
    "COLLATE": lambda s: collate(s.text, "NOCASE") == "XZ",
    "collated column": lambda s: s.collated == "xz",
    "float": lambda s: s.ratio == 0.1,
    "float column and decimal": lambda s: s.ratio == Decimal("0.1"),
    "decimal in floats": lambda s: s.price.in_([0.3]),
    "CHAR": lambda s: s.code == "a",
    "CHAR in a list": lambda s: s.code.in_(["a", "b"]),
    "decimal and float": lambda s: s.price > 0.3,
    "decimal times float": lambda s: s.price * 0.5 > Decimal("0.1"),
    "CASE": lambda s: case((s.a > 0, True), else_=False),
    "function": lambda s: func.coalesce(s.a, 0) > 0,
    "CAST": lambda s: cast(s.a, String) == "1",
    "subquery": lambda s: s.a.in_(select(literal(1))),
    "literal SQL": lambda s: s.a == literal_column("1"),
}


def columns() -> dict[str, Any]:
    return {
        "a": mapped_column(Integer),
        "b": mapped_column(Integer),
        "text": mapped_column(String),
        "collated": mapped_column(String(collation="NOCASE")),
        "flag": mapped_column(Boolean),
        "price": mapped_column(Numeric(10, 2)),
        "ratio": mapped_column(Float),
        "code": mapped_column(CHAR(3)),
    }


def test_condition_holds_alike_in_python_and_sql(engine: Engine) -> None:
    """One counter for each condition and one parent for each row; verify evaluates in SQL."""
    attributes = {name: (f"n{place}", SAME[name]) for place, name in enumerate(SAME)}
    attributes_ = columns()
    del attributes_["collated"]  # PostgreSQL knows no NOCASE
    Parent, Source = pair({n: counter(n) for n, _ in attributes.values()}, attributes_)
    counters, Own = install(
        engine,
        *(
            Count(getattr(Parent, n), via=Source.parent, where=condition(Source))
            for n, condition in attributes.values()
        ),
    )
    texts = itertools.cycle(["xz", None, "Xz", "x", "", "xza"])
    flags = itertools.cycle([True, False, None])
    prices = itertools.cycle([Decimal("0.30"), None, Decimal("-1.25"), Decimal("2.00")])
    with Own(engine) as session:
        for a, b in itertools.product([None, -3, 0, 1, 2, 5], repeat=2):
            values = {"text": next(texts), "flag": next(flags), "price": next(prices)}
            session.add(Source(parent=Parent(), a=a, b=b, **values))
        assert_verified(session, counters)
        met = dict.fromkeys(attributes, 0)
        for parent in session.scalars(select(Parent)):
            for name, (attribute, _) in attributes.items():
                met[name] += getattr(parent, attribute)
        assert {name for name, size in met.items() if not size} == NEVER


@pytest.mark.parametrize("name", REFUSED)
def test_condition_that_databases_see_differently_is_refused(name: str) -> None:
    Parent, Source = pair(source=columns())
    counters = Counters(Count(Parent.n, via=Source.parent, where=REFUSED[name](Source)))

    class Own(Session):
        pass

    with pytest.raises(CounterDeclarationError, match=r"counters\.E012") as caught:
        counters.install(Own)
    assert "cannot be evaluated" in caught.value.sentence


class Lower(TypeDecorator[str]):
    """Text that is stored in lower case."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value.lower() if value else value


class Capped(TypeDecorator[int]):
    """A number that is stored as ten at most."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
        return None if value is None else min(value, 10)


class Words(TypeDecorator[list[str]]):
    """A list, which has no hash, as text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Any) -> str | None:
        return None if value is None else " ".join(value)

    def process_result_value(self, value: str | None, dialect: Any) -> list[str] | None:
        return None if value is None else value.split()


def test_condition_on_values_without_hash_is_tried_each_time(engine: Engine) -> None:
    Parent, Source = pair(source={"words": mapped_column(Words, nullable=True)})
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent, where=Source.words.is_not(None))
    )
    with Own(engine) as session:
        parent = Parent()
        session.add(parent)
        session.flush()
        session.add_all(Source(parent=parent, words=words) for words in (["a"], None, ["a"]))
        assert_verified(session, counters)
        assert parent.n == 2


def test_value_that_a_type_decorator_changes_is_read_back(engine: Engine) -> None:
    Parent, Source = pair(
        {"reds": counter("reds")},
        {"colour": mapped_column(Lower), "size": mapped_column(Capped)},
    )
    counters, Own = install(
        engine,
        Count(Parent.reds, via=Source.parent, where=Source.colour == "red"),
        Sum(Parent.n, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        parent = Parent()
        source = Source(parent=parent, colour="RED", size=50)
        session.add_all([source, Source(parent=parent, colour="Red", size=3)])
        assert_verified(session, counters)
        assert (parent.reds, parent.n) == (2, 13)
        source.size = 4
        assert_verified(session, counters)
        assert (parent.reds, parent.n) == (2, 7)


def test_keys_that_a_type_decorator_changes_find_one_parent(engine: Engine) -> None:
    code = mapped_column(Lower, ForeignKey("parent.code"), index=True)
    Parent, Source = pair(
        {
            "id": None,
            "code": mapped_column(Lower, primary_key=True),
            "greatest": mapped_column(Integer),
        },
        {"parent_id": code, "size": mapped_column(Integer)},
    )
    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Max(Parent.greatest, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        parent = Parent(code="ab")
        session.add(parent)
        session.flush()
        session.add(Source(parent_id="AB", size=5))
        assert_verified(session, counters)
        session.add_all([Source(parent_id="AB", size=6), Source(parent_id="ab", size=7)])
        assert_verified(session, counters)
        session.refresh(parent)
        assert (parent.n, parent.greatest) == (3, 7)


class Colour(Enum):
    red = "r"
    blue = "b"


def test_enum_assigned_by_name_is_read_back(engine: Engine) -> None:
    Parent, Source = pair(source={"colour": mapped_column(EnumType(Colour, name="colour"))})
    red = Count(Parent.n, via=Source.parent, where=Source.colour == Colour.red)
    counters, Own = install(engine, red)
    with Own(engine) as session:
        parent = Parent()
        sources = [Source(parent=parent, colour=colour) for colour in ("red", "red", Colour.red)]
        session.add_all(sources)
        assert_verified(session, counters)
        assert parent.n == 3
        sources[0].colour = "blue"
        assert_verified(session, counters)
        assert parent.n == 2


@pytest.mark.parametrize("aware", [True, False])
def test_time_with_zone_shows_as_it_is_stored(engine: Engine, aware: bool) -> None:
    Parent, Source = pair(
        {"last": mapped_column(DateTime(timezone=aware))},
        {"at": mapped_column(DateTime(timezone=aware))},
    )
    counters, Own = install(engine, Latest(Parent.last, of=Source.at, via=Source.parent))
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with Own(engine) as session:
        parent = Parent()
        sources = [Source(parent=parent, at=noon + timedelta(hours=n)) for n in (1, 2)]
        for source in sources:
            session.add(source)
            assert_verified(session, counters)
        session.commit()
        assert parent.last == sources[1].at
        sources[0].at = noon + timedelta(hours=3)
        assert_verified(session, counters)
        session.commit()
        east = noon.astimezone(timezone(timedelta(hours=5))) + timedelta(days=1)
        session.add_all([Source(parent=parent, at=at) for at in (east, noon + timedelta(hours=20))])
        assert_verified(session, counters)
        sources[0].at = noon - timedelta(hours=9)
        assert_verified(session, counters)


@pytest.mark.filterwarnings("ignore:Dialect sqlite.* does .*not.* support Decimal")
def test_number_from_float_or_text_shows_as_it_is_stored(engine: Engine) -> None:
    price = Numeric(12, 2)
    Parent, Source = pair(
        {
            "total": mapped_column(price, server_default="0", nullable=False),
            "greatest": mapped_column(price),
        },
        {"price": mapped_column(price)},
    )
    counters, Own = install(
        engine,
        Sum(Parent.total, of=Source.price, via=Source.parent),
        Max(Parent.greatest, of=Source.price, via=Source.parent),
    )
    with Own(engine) as session:
        parent = Parent()
        session.add(Source(parent=parent, price=Decimal("1.25")))
        source = Source(parent=parent, price=3.5)
        session.add(source)
        for value in (4.75, "5.25"):
            assert_verified(session, counters)
            source.price = value
        assert_verified(session, counters)
        assert (parent.total, parent.greatest) == (Decimal("6.50"), Decimal("5.25"))


def test_date_from_datetime_shows_as_it_is_stored(engine: Engine) -> None:
    Parent, Source = pair({"last": mapped_column(Date)}, {"day": mapped_column(Date)})
    counters, Own = install(engine, Latest(Parent.last, of=Source.day, via=Source.parent))
    with Own(engine) as session:
        parent = Parent()
        for days in (
            [date(2026, 3, 1)],
            [datetime(2026, 3, 2, 3)],
            [datetime(2026, 3, 2, 4), date(2026, 3, 3)],
        ):
            session.add_all([Source(parent=parent, day=day) for day in days])
            assert_verified(session, counters)
        assert parent.last == date(2026, 3, 3)
