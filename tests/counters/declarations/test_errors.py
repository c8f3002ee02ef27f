"""A declaration that cannot work is refused with an id, a sentence and a hint."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from sqlalchemy import (
    CHAR,
    Boolean,
    Computed,
    Date,
    FetchedValue,
    Float,
    ForeignKey,
    Index,
    Integer,
    Interval,
    Numeric,
    String,
    Uuid,
    func,
    text,
    true,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Session, column_property, mapped_column, relationship, synonym
from support.pairs import ZERO, counter, joined, key, pair, reference

from tallied.counters import Count, Counters, Derived, Latest, Max, Sum
from tallied.errors import CounterDeclarationError

Declare = Callable[[], Any]


class Colour(Enum):
    zinc = "z"
    amber = "a"


def models(parent: Any = None, source: Any = None) -> tuple[Any, Any]:
    """Return a pair of classes with more columns, which `parent` and `source` add to or replace."""
    usual = {"other": mapped_column(Integer, unique=True), "size": mapped_column(Integer)}
    usual |= {"s": counter("s"), "latest": mapped_column(Integer)}
    also = {"size": mapped_column(Integer), "latest": mapped_column(Integer)}
    return pair(usual | (parent or {}), also | {"s": counter("s")} | (source or {}))


def count(parent: Any = None, source: Any = None, **options: Any) -> list[Any]:
    Parent, Source = models(parent, source)
    return [Count(Parent.n, via=Source.parent, **options)]


def total(of: Any = None, where: Any = None, target: str = "s", **changes: Any) -> list[Any]:
    """Declare a sum; `of` and `where` are functions of the parent and the source."""
    Parent, Source = models(**changes)
    options = {} if where is None else {"where": where(Parent, Source)}
    of = Source.size if of is None else of(Parent, Source)
    return [Sum(getattr(Parent, target), of=of, via=Source.parent, **options)]


def extreme(type_: Any = Integer, **options: Any) -> list[Any]:
    Parent, Source = models(
        {"latest": mapped_column(type_, **options)}, {"size": mapped_column(type_)}
    )
    return [Max(Parent.latest, of=Source.size, via=Source.parent)]


def sum_of(type_: Any, target: Any = Integer) -> list[Any]:
    stored = mapped_column(target, nullable=False, server_default=ZERO)
    return total(parent={"s": stored}, source={"size": mapped_column(type_)})


def keyed_by(type_: Any) -> list[Any]:
    foreign_key = mapped_column(type_, ForeignKey("parent.id"), index=True)
    return count({"id": mapped_column(type_, primary_key=True)}, {"parent_id": foreign_key})


def versioned(column: Any) -> list[Any]:
    return count({"__mapper_args__": {"version_id_col": column}, "v": column})


def tree(declare: Callable[[Any, Any], Any]) -> Any:
    """Declare counters of a parent that refers to another parent."""
    up = {"up_id": reference("parent.id"), "up": relationship("Parent", remote_side="Parent.id")}
    return declare(*models(up))


def of_another_pair() -> Any:
    return [Count(models()[0].n, via=models()[1].parent)]


def by_a_collection() -> Any:
    Parent, Source = models({"sources": relationship("Source", viewonly=True)})
    return [Count(Source.size, via=Parent.sources)]


def mapped_twice() -> Any:
    Parent, Source = models()
    # Nothing else refers to it, and a class that is collected is not mapped.
    Parent.light = type("Light", (Parent.__bases__[0],), {"__table__": Source.__table__})
    return [Count(Parent.n, via=Source.parent)]


def written_as_secondary() -> Any:
    Parent, Source = models(source={"tag_id": mapped_column(ForeignKey("tag.id"))})
    tags = relationship(Parent, secondary=Source.__table__, overlaps="parent")
    tag = {"__tablename__": "tag", "id": key(), "parents": tags}
    Parent.written_by = type("Tag", (Parent.__bases__[0],), tag)  # as above
    return [Count(Parent.n, via=Source.parent)]


def expression(of_source: bool) -> Any:
    Parent, Source = models()
    if of_source:
        Source.double = column_property(Source.__table__.c.size * 2)
        return [Sum(Parent.n, of=Source.double, via=Source.parent)]
    Parent.double = column_property(Parent.__table__.c.n * 2)
    return [Sum(Parent.double, of=Source.size, via=Source.parent)]


def in_the_table_of_the_base() -> Any:
    Joined, Source = joined("parent.id", more=counter("more"))
    return [Count(Joined.n, via=Source.parent)]


def copy(of: Any = None, **changes: Any) -> list[Any]:
    """Declare a copy of a column of the parent in each source."""
    Parent, Source = models(**changes)
    return [Sum(Source.s, of=Parent.size if of is None else of(Source), via=Source.parent)]


def copy_in_two_tables() -> Any:
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "source"}
    Parent, Source = models(source={"kind": mapped_column(String), "__mapper_args__": identity})
    columns = {"id": mapped_column(ForeignKey("source.id"), primary_key=True), "m": counter("m")}
    identity = {"polymorphic_identity": "sub"}
    sub: Any = type(
        "Sub", (Source,), {"__tablename__": "sub", "__mapper_args__": identity, **columns}
    )
    return [Sum(sub.m, of=Parent.size, via=sub.parent)]


def copy_from_table_of_the_base() -> Any:
    Joined, Source = joined("joined.id")
    Source.s = counter("s")
    return [Sum(Source.s, of=Joined.n, via=Source.parent)]


def circle(through_a_third: bool) -> Any:
    Parent, Source = models({"total": counter("total")}, {"m": counter("m")})
    copied = Sum(Source.s, of=Parent.size, via=Source.parent)
    if not through_a_third:
        return [copied, Sum(Parent.total, of=Source.s, via=Source.parent)]
    columns = {"id": key(), "source_id": reference("source.id"), "source": relationship(Source)}
    Third: Any = type("Third", (Parent.__bases__[0],), {"__tablename__": "third", **columns})
    total = Sum(Parent.total, of=Source.m, via=Source.parent)
    return [copied, total, Count(Source.m, via=Third.source)]


def of_generated_column(declare: Callable[[Any, Any], Any]) -> Any:
    """Declare a counter of what the database generates from another counter."""
    up = {"up_id": reference("top.id"), "up": relationship("Top")}
    Parent, Source = models(up | {"score": mapped_column(Integer, Computed("n * 10"))})
    columns = {"__tablename__": "top", "id": key(), "n": counter()}
    Top = type("Top", (Parent.__bases__[0],), columns)
    return [Count(Parent.n, via=Source.parent), declare(Top, Parent)]


WRONG: dict[str, Declare | list[Declare]] = {
    "E001 Source.size is declared via Parent.sources, which is not": by_a_collection,
    "E001 Source.s is declared via Source.parent_id, which is not": lambda: [
        Count((source := models()[1]).s, via=source.parent_id)
    ],
    "E002 Source.parent has post_update": lambda: count(
        source={"parent": relationship("Parent", post_update=True)}
    ),
    "E002 Parent.sources has post_update": lambda: count(
        {"sources": relationship("Source", post_update=True, overlaps="parent")}
    ),
    "E002 Source.second has post_update": lambda: count(
        source={"second": relationship("Parent", post_update=True, overlaps="parent")}
    ),
    "E003 Source.parent does not refer to the primary key of Parent": lambda: count(
        source={"parent_id": reference("parent.other")}
    ),
    "E004 Parent.n is recounted by source.parent_id": [
        lambda: count(source={"parent_id": mapped_column(ForeignKey("parent.id"))}),
        lambda: count(
            source={
                "parent_id": mapped_column(ForeignKey("parent.id")),
                "__table_args__": (Index("ix", "size", "parent_id"),),
            }
        ),
    ],
    "E004 Source.s is found by source.parent_id": lambda: copy(
        source={"parent_id": mapped_column(ForeignKey("parent.id"))}
    ),
    "E005 Parent.n is not a column of Parent": of_another_pair,
    "E006 Parent.n is nullable": lambda: count({"n": mapped_column(Integer, server_default=ZERO)}),
    "E006 Source.s is nullable": lambda: copy(source={"s": mapped_column(Integer)}),
    "E007 Parent.n has no server default": lambda: count(
        {"n": mapped_column(Integer, nullable=False)}
    ),
    "E007 Source.s has no server default": lambda: copy(
        source={"s": mapped_column(Integer, nullable=False)}
    ),
    "E008 Parent.latest is not nullable": lambda: extreme(nullable=False),
    "E008 Source.s is not nullable": lambda: [
        (lambda P, S: Latest(S.s, of=P.size, via=S.parent))(*models())
    ],
    "E009 Parent takes xmin for its version_id_col": lambda: versioned(
        mapped_column("xmin", Integer, FetchedValue(), system=True)
    ),
    "E009 Parent takes v for its version_id_col": lambda: versioned(
        mapped_column(Integer, server_onupdate=FetchedValue(for_update=True))
    ),
    "E010 Parent.s is computed from Parent.n": lambda: total(lambda P, S: P.n),
    "E010 Parent.s is computed from Source.parent": lambda: total(lambda P, S: S.parent),
    "E010 Parent.n is computed from Source.double": lambda: expression(of_source=True),
    "E010 Source.s is computed from Source.latest": lambda: copy(lambda S: S.latest),
    "E011 Parent.s sums Source.size": [
        lambda: sum_of(Float),
        lambda: sum_of(Boolean),
        lambda: sum_of(String),
        lambda: sum_of(Interval),
        lambda: sum_of(Uuid),
        lambda: sum_of(Date),
    ],
    "E011 Parent.s keeps fewer digits than Source.size": [
        lambda: sum_of(Numeric(10, 2)),
        lambda: sum_of(Numeric(10, 2), Numeric(10, 1)),
    ],
    "E012 The where of Parent.s cannot be evaluated": [
        lambda: total(where=lambda P, S: func.length(S.size) > 2),
        lambda: total(where=lambda P, S: P.n > 2),
        lambda: total(where=lambda P, S: text("1 = 1")),
    ],
    "E012 The where of Parent.s names no column": lambda: total(where=lambda P, S: true()),
    "E013 Parent.n is declared twice": lambda: count() * 2,
    "E014 Parent.s is, through Parent.s, computed from itself": lambda: tree(
        lambda P, S: [Sum(P.s, of=P.s, via=P.up)]
    ),
    "E015 The where of Parent.s depends on the counter n": lambda: tree(
        lambda P, S: [Count(P.n, via=S.parent), Count(P.s, via=P.up, where=P.n > 2)]
    ),
    "E016 Parent.double is stored in": lambda: expression(of_source=False),
    "E016 Joined.n is stored in parent": in_the_table_of_the_base,
    "E017 Parent.latest compares Source.size": [
        lambda: extreme(String),
        lambda: extreme(String(collation="NOCASE")),
        lambda: extreme(EnumType(Colour, name="colour")),
        lambda: extreme(EnumType("zinc", "amber", name="colour")),
    ],
    "E018 Light is mapped to a table": mapped_twice,
    "E019 Tag.parents writes rows of source": written_as_secondary,
    "E021 The key of Parent": [
        lambda: keyed_by(CHAR(5)),
        lambda: keyed_by(String(collation="NOCASE")),
        lambda: keyed_by(CITEXT()),
    ],
    "E022 Source.s counts along Source.parent": lambda: [
        (lambda P, S: Count(S.s, via=S.parent))(*models())
    ],
    "E023 Sub.m and the foreign key of Sub.parent": copy_in_two_tables,
    "E023 Source.s copies Joined.n, which is stored": copy_from_table_of_the_base,
    "E024 Counters of Source and Parent": [
        lambda: circle(through_a_third=False),
        lambda: circle(through_a_third=True),
    ],
    "E026 Parent.n starts at 5": lambda: count(
        {"n": mapped_column(Integer, nullable=False, server_default=text("(5)"))}
    ),
    "E026 Parent.latest starts at 0": lambda: extreme(server_default="0"),
    "E040 Top.n depends on Parent.score,": [
        lambda: of_generated_column(lambda T, P: Sum(T.n, of=P.score, via=P.up)),
        lambda: of_generated_column(lambda T, P: Count(T.n, via=P.up, where=P.score > 20)),
    ],
}


async def count_later(value: str) -> int:
    return len(value)


def derive(*names: str, compute: Any = len) -> Any:
    """Derive attributes of a book, given as ``target of source``."""
    at = mapped_column(String, onupdate="now")
    title: Any = mapped_column(String)
    columns = {"title": title, "half": mapped_column(Integer), "at": at, "name": synonym("title")}
    columns |= {"double": mapped_column(Integer, Computed("size * 2"))}
    _, Source = models(source=columns | {"loud": column_property(func.upper(title))})
    split = (name.split(" of ") for name in names)
    return [
        Derived(getattr(Source, target), of=getattr(Source, of), compute=compute)
        for target, of in split
    ]


def derive_counter(*, inner: bool, apart: bool = False) -> Any:
    """Derive a counter, or derive from one; `apart` in another set of counters."""
    Parent, Source = models({"label": mapped_column(String)})
    counted = Count(Parent.n, via=Source.parent)
    names = ("label", "n") if inner else ("n", "label")
    target, of = (getattr(Parent, name) for name in names)
    if apart:
        Counters(counted).install(type("Other", (Session,), {}))
    derived = Derived(target, of=of, compute=str if inner else len)
    return [derived] if apart else [counted, derived]


def derive_from_another_class() -> Any:
    Parent, Source = models(source={"title": mapped_column(String)})
    return [Derived(Parent.size, of=Source.title, compute=len)]


def derive_from_table() -> Any:
    Source = models(source={"title": mapped_column(String)})[1]
    return [Derived(Source.size, of=Source.__table__.c.title, compute=len)]


WRONG |= {
    "E030 A derived column was declared with Source.parent,": lambda: derive("size of parent"),
    "E030 A derived column was declared with Source.loud,": lambda: derive("size of loud"),
    "E030 A derived column was declared with Source.name,": lambda: derive("size of name"),
    "E030 A derived column was declared with source.title,": derive_from_table,
    "E030 A derived column was declared with Source.double,": lambda: derive("half of double"),
    "E030 A derived column was declared with Source.at,": lambda: derive("size of at"),
    "E031 Parent.size is derived from Source.title": derive_from_another_class,
    "E031 Source.size is derived from Source.size": lambda: derive("size of size"),
    "E032 Source.size is derived twice": lambda: derive("size of title", "size of title"),
    "E032 Source.half and Source.size would be derived": lambda: derive(
        "size of title", "half of size"
    ),
    "E032 Source.size and Source.title would be derived": lambda: derive(
        "half of size", "size of title"
    ),
    "E033 The compute of Source.size": [
        lambda: derive("size of title", compute=7),
        lambda: derive("size of title", compute=count_later),
    ],
    "E034 Parent.n is derived from Parent.label": lambda: derive_counter(inner=False),
    "E034 Parent.label is derived from Parent.n": [
        lambda: derive_counter(inner=True),
        lambda: derive_counter(inner=True, apart=True),
    ],
}
CASES = [
    (start, declare)
    for start, declared in WRONG.items()
    for declare in (declared if isinstance(declared, list) else [declared])
]


@pytest.mark.parametrize(("start", "declare"), CASES, ids=[start for start, _ in CASES])
def test_wrong_declaration_is_refused(start: str, declare: Declare) -> None:
    code, _, sentence = start.partition(" ")
    with pytest.raises(CounterDeclarationError) as caught:
        Counters(*declare()).install(type("Own", (Session,), {}))
    error = caught.value
    assert error.id == f"counters.{code}"
    assert error.sentence.startswith(sentence)
    assert error.sentence.endswith(".")
    assert error.hint.endswith(".")
    assert error.findings[0] == (error.id, error.sentence, error.hint)
    lines = [f"({id}) {sentence} HINT: {hint}" for id, sentence, hint in error.findings]
    page = f"See docs/reference/counters.md#{code.lower()}"
    assert str(error).splitlines() == [*lines, page]


def test_one_error_names_all_that_is_wrong() -> None:
    Parent, Source = models(
        {
            "n": mapped_column(Integer),
            "s": mapped_column(Integer, nullable=False, server_default="3"),
            "latest": counter("latest"),
            "visitors": counter("visitors"),
            "name": mapped_column(String),
        },
        {"parent_id": mapped_column(ForeignKey("parent.id"))},
    )
    columns = {"id": key(), "parent_id": reference("parent.id"), "parent": relationship(Parent)}
    Visit: Any = type("Visit", (Parent.__bases__[0],), {"__tablename__": "visit", **columns})
    counters = Counters(
        Count(Parent.n, via=Source.parent),
        Sum(Parent.s, of=Source.size, via=Source.parent),
        Max(Parent.latest, of=Source.size, via=Source.parent),
        Count(Parent.visitors, via=Visit.parent),
        Derived(Parent.visitors, of=Parent.name, compute=len),
    )
    with pytest.raises(CounterDeclarationError) as raised:
        counters.install(type("Own", (Session,), {}))
    ids = [id.removeprefix("counters.") for id, _, _ in raised.value.findings]
    assert ids == ["E004", "E006", "E007", "E004", "E026", "E004", "E008", "E026", "E034"]
    assert raised.value.id == "counters.E004"
    for _, sentence, hint in raised.value.findings:
        assert f"{sentence} HINT: {hint}" in str(raised.value)
