"""Unusual models and names are counted, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    insert,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    scoped_session,
)
from support.pairs import assert_verified, counter, install, joined, key, pair

from tallied.counters import Count, Counters, Max, Sum
from tallied.errors import CounterDeclarationError, UncountedStatementError


def test_counter_in_two_sets_on_one_session_class_is_refused() -> None:
    class Own(Session):
        pass

    class Narrower(Own):
        pass

    Parent, Source = pair()
    Counters(Count(Parent.n, via=Source.parent)).install(Own)
    for target in (Own, Narrower):
        second = Counters(Count(Parent.n, via=Source.parent))
        with pytest.raises(CounterDeclarationError, match="by another Counters already") as caught:
            second.install(target)
        assert caught.value.id == "counters.E013"


@pytest.mark.parametrize("kind", [Max, Sum])
def test_column_that_only_subclass_of_parent_has_is_refused(kind: Any) -> None:
    parent = {"kind": mapped_column(Integer), "__mapper_args__": {"polymorphic_on": "kind"}}
    Parent, Source = pair(parent, {"size": mapped_column(Integer)})
    more = {"__mapper_args__": {"polymorphic_identity": 1}, "s": counter("s")}
    child = type("Child", (Parent,), more)
    with pytest.raises(CounterDeclarationError, match="E005"):
        Counters(kind(child.s, of=Source.size, via=Source.parent)).install(
            type("Own", (Session,), {})
        )


@pytest.mark.parametrize("name", ["async session", "scoped session of a function"])
def test_install_on_no_session_class_raises_type_error(name: str) -> None:
    class Asynchronous(AsyncSession):
        pass

    targets = {
        "async session": Asynchronous,
        "scoped session of a function": scoped_session(lambda: Session()),
    }
    Parent, Source = pair()
    target: Any = targets[name]
    with pytest.raises(TypeError):
        Counters(Count(Parent.n, via=Source.parent)).install(target)


def test_foreign_key_to_a_joined_subclass_is_counted(engine: Engine) -> None:
    Joined, Source = joined("joined.id", more=counter("more"))
    counters, Own = install(engine, Count(Joined.more, via=Source.parent))
    with Own(engine) as session:
        parent = Joined()
        session.add(parent)
        session.flush()
        session.add_all([Source(parent=parent), Source(parent=parent)])
        assert_verified(session, counters)
        assert parent.more == 2


def test_mapper_with_own_order_of_key_columns_is_counted(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        a: Mapped[Any] = mapped_column(Integer, primary_key=True, autoincrement=False)
        b: Mapped[Any] = mapped_column(Integer, primary_key=True, autoincrement=False)
        n: Mapped[Any] = counter()
        most: Mapped[int | None]
        __mapper_args__ = {"primary_key": [b, a]}  # noqa: RUF012

    class Source(Base):
        __tablename__ = "source"
        __table_args__ = (
            ForeignKeyConstraint(["parent_a", "parent_b"], ["parent.a", "parent.b"]),
            Index("ix_source_parent", "parent_a", "parent_b"),
        )
        id: Mapped[Any] = key()
        parent_a: Mapped[Any] = mapped_column(Integer)
        parent_b: Mapped[Any] = mapped_column(Integer)
        size: Mapped[Any] = mapped_column(Integer, default=4)
        parent: Mapped[Any] = relationship(Parent)

    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Max(Parent.most, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        one, two = Parent(a=1, b=2), Parent(a=2, b=1)
        session.add_all([one, two])
        session.flush()
        source = Source(parent=one)
        session.add(source)
        assert_verified(session, counters)
        source.size = 3
        assert_verified(session, counters)
        source.parent = two
        assert_verified(session, counters)
        session.add_all([Source(parent=one), Source(parent=two, size=7), Source(parent=two)])
        assert_verified(session, counters)
        assert ((one.n, one.most), (two.n, two.most)) == ((1, 4), (3, 7))


# Names that the counters' statements use, and names that SQL reserves
NAMES = [("truth", {}), ("delta", {}), ("locked", {}), ("order", {}), ("order", {"key": "a key"})]


@pytest.fixture(params=NAMES, ids=["truth", "delta", "locked", "order", "keys"])
def odd(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A pair with odd names; with keys, each column's key differs from its name and attribute."""
    table, keyed = request.param
    Parent, Source = pair(
        {
            "__tablename__": table,
            "id": mapped_column("The Id", Integer, primary_key=True),
            "n": counter("kk", **keyed),
            "most": mapped_column("d1", Integer),
        },
        {
            "__tablename__": "S s",
            "parent_id": mapped_column("Parent Id", ForeignKey(f"{table}.The Id"), index=True),
            "size": mapped_column("sz", Integer, default=2, **keyed),
        },
    )
    return Parent, Source


def test_odd_names_of_tables_and_columns_are_counted(engine: Engine, odd: tuple[Any, Any]) -> None:
    Parent, Source = odd
    table = Source.__table__
    size = Source.size.property.columns[0]
    counters, Own = install(
        engine,
        Sum(Parent.n, of=Source.size, via=Source.parent, where=Source.size > 1),
        Max(Parent.most, of=Source.size, via=Source.parent),
    )
    with Own(engine) as session:
        parents = [Parent() for _ in range(3)]
        sources = [Source(parent=owner, size=place + 3) for place, owner in enumerate(parents)]
        session.add_all(sources)
        assert_verified(session, counters)
        sources[0].size = 9
        assert_verified(session, counters)
        second = parents[1].id
        for statement in (
            [update(Source).values(size=4)],
            [update(Source).values({Source.size: 5})],
            [insert(Source), [{"parent_id": second, "size": 8}]],
            [insert(Source).values({Source.parent_id: second, Source.size: 8})],
            [update(table).values({size: 15})],
            [update(table).values({size.key: 16})],
            [update(Source), [{"id": source.id, "size": 7} for source in sources]],
        ):
            session.execute(*statement)
            assert_verified(session, counters)
        with counters.pause(session):
            session.add(Source(parent=parents[0]))
        assert_verified(session, counters)
        assert [(parent.n, parent.most) for parent in parents] == [(9, 7), (39, 16), (7, 7)]


def test_assignment_by_any_name_of_a_counter_is_refused(
    engine: Engine, odd: tuple[Any, Any]
) -> None:
    Parent, Source = odd
    column = Parent.n.property.columns[0]
    _, Own = install(engine, Sum(Parent.n, of=Source.size, via=Source.parent))
    with Own(engine) as session:
        for statement in (
            update(Parent).values({"n": 5}),
            update(Parent).values({Parent.n: 5}),
            update(Parent.__table__).values({column: 5}),
            update(Parent.__table__).values({column.key: 5}),
        ):
            with pytest.raises(UncountedStatementError, match=r"would assign Parent\.n"):
                session.execute(statement)


def test_refused_declaration_is_refused_again(engine: Engine) -> None:
    parent, source = pair()
    second = type("Light", (parent.__bases__[0],), {"__table__": source.__table__})
    counters = Counters(Count(parent.n, via=source.parent))
    for _ in range(2):
        with pytest.raises(CounterDeclarationError, match=r"counters\.E018"):
            counters.install(type("Own", (Session,), {}))
    assert second.__table__ is source.__table__


def test_row_that_becomes_one_of_a_counted_class_is_refused(engine: Engine) -> None:
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "source"}
    parent, source = pair(source={"kind": mapped_column(String), "__mapper_args__": identity})
    image = type("Image", (source,), {"__mapper_args__": {"polymorphic_identity": "image"}})
    counters, own = install(engine, Count(parent.n, via=image.parent))
    with own(engine) as session:
        plain = source(parent=parent())
        session.add(plain)
        session.commit()
        plain.kind = "image"
        with pytest.raises(UncountedStatementError, match="says what class a row is of"):
            session.flush()
        session.rollback()
        assert list(counters.verify(session.connection())) == []
    with Session(engine) as uncounted:
        uncounted.query(source).one().kind = "image"
        with pytest.raises(UncountedStatementError, match="not installed on Session"):
            uncounted.flush()
