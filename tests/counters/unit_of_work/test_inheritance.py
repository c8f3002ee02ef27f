"""Rows of subclasses in one table or several: each counts once, for its own class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Integer, String, delete, select, text, update
from sqlalchemy.ext.declarative import ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship
from support.pairs import assert_verified, counter, install, key, pair, reference, trio
from support.staff import LOADING, staff

from tallied.counters import Count, Sum
from tallied.errors import CounterError, UncountedStatementError


@pytest.mark.parametrize("form", ["object", "class", "table"])
def test_delete_of_single_table_parent_counts_its_cascade(engine: Engine, form: str) -> None:
    typed = {
        "kind": mapped_column(String),
        "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "base"},
    }
    Parent, Source, Club = trio(typed)
    special = {"__mapper_args__": {"polymorphic_identity": "special"}}
    Special: Any = type("Special", (Parent,), special)
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Club.n, via=Source.other)
    )
    with Own(engine) as session:
        parent, club, other = Special(), Club(), Parent()
        session.add_all([Source(parent=parent, other=club) for _ in range(3)])
        session.add_all([Source(parent=other, other=club) for _ in range(2)])
        session.commit()
        assert club.n == 5
        if form == "object":
            session.delete(parent)
        elif form == "class":
            session.execute(delete(Special))
        else:
            session.execute(delete(Parent.__table__).where(Parent.kind == "special"))
        session.flush()
        if parent in session:  # a statement on the table tells the session of no object
            session.expunge(parent)
        assert_verified(session, counters)
        assert (club.n, other.n) == (2, 2)


@pytest.mark.filterwarnings("ignore:Flushing object .* with incompatible polymorphic identity")
@pytest.mark.parametrize(("name", "kind"), [("Source", "image"), ("Image", "source")])
def test_new_row_of_another_class_is_refused(engine: Engine, name: str, kind: str) -> None:
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "source"}
    Parent, Source = pair(source={"kind": mapped_column(String), "__mapper_args__": identity})
    Image: Any = type("Image", (Source,), {"__mapper_args__": {"polymorphic_identity": "image"}})
    counters, Own = install(engine, Count(Parent.n, via=Image.parent))
    with Own(engine) as session:
        session.add_all([parent := Parent(), Image(parent=parent), Source(parent=parent)])
        session.commit()
        class_ = Image if name == "Image" else Source
        session.add(class_(parent=parent, kind=kind))
        with pytest.raises(UncountedStatementError, match=rf"{name}\.kind is '{kind}'"):
            session.flush()
        session.rollback()
        assert parent.n == 1
        assert_verified(session, counters)


def test_table_update_with_another_class_in_its_where_is_counted(engine: Engine) -> None:
    """SQLAlchemy attributes the statement to the class that the condition names."""
    Parent, Source = pair({"title": mapped_column(String)}, {"size": mapped_column(Integer)})
    counters, Own = install(engine, Sum(Parent.n, of=Source.size, via=Source.parent))
    source = Source.__table__
    with Own(engine) as session:
        first, second = Parent(title="first"), Parent(title="second")
        sizes = ((first, 4), (first, 5), (second, 6))
        session.add_all([Source(parent=parent, size=size) for parent, size in sizes])
        session.flush()
        named = (source.c.parent_id == Parent.id, Parent.title == "first")
        session.execute(update(source).where(*named).values(size=source.c.size + 10))
        assert_verified(session, counters)
        assert (first.n, second.n) == (29, 6)
        subquery = select(Parent.id).where(Parent.title == "first")
        session.execute(delete(source).where(source.c.parent_id.in_(subquery), source.c.size == 15))
        assert_verified(session, counters)
        assert (first.n, second.n) == (14, 6)


@pytest.mark.parametrize("has_table", [False, True])
def test_relationship_to_subclass_skips_rows_of_its_base(engine: Engine, has_table: bool) -> None:
    typed = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}
    join = "foreign(Source.parent_id) == Special.id"
    Parent, Source = pair(
        {"kind": mapped_column(String), "__mapper_args__": typed},
        {"special": relationship("Special", primaryjoin=join, viewonly=True)},
    )
    columns = {"m": counter("m"), "__mapper_args__": {"polymorphic_identity": "special"}}
    if has_table:
        columns |= {
            "__tablename__": "special",
            "id": mapped_column(ForeignKey("parent.id"), primary_key=True),
        }
    Special: Any = type("Special", (Parent,), columns)
    counters, Own = install(engine, Count(Special.m, via=Source.special))
    with Own(engine) as session:
        parent, special = Parent(), Special()
        sources = [Source(parent=row) for row in (parent, special, special)]
        session.add_all(sources)
        assert_verified(session, counters)
        assert special.m == 2
        session.add_all(Source(parent_id=row.id) for row in (parent, special))
        assert_verified(session, counters)
        assert special.m == 3
        session.delete(sources[1])
        sources[2].parent_id = parent.id
        assert_verified(session, counters)
        assert special.m == 1


def concrete(base: type[Any]) -> tuple[Any, Any, Any, Any]:
    """Return two classes, each with a concrete subclass that has its own table."""

    class Base(DeclarativeBase):
        pass

    bases = (Base,) if base is object else (base, Base)

    def declare(name: str, parents: Any, **attributes: Any) -> Any:
        identity = {"polymorphic_identity": name, "concrete": True}
        options = identity if base is ConcreteBase else {"concrete": parents is not bases}
        table = {"__tablename__": name.lower(), "__mapper_args__": options}
        return type(name, parents, {"id": key(), **table, **attributes})

    def source(target: Any) -> dict[str, Any]:
        parent_id = reference("parent.id")
        parent = relationship(target, foreign_keys=[parent_id])
        return {"size": mapped_column(Integer), "parent_id": parent_id, "parent": parent}

    Parent = declare("Parent", bases, n=counter())
    Other = declare("Other", (Parent,), n=counter())
    Source = declare("Source", bases, **source(Parent))
    Further = declare("Further", (Source,), **source(Parent))
    return Parent, Other, Source, Further


def assert_stored(session: Session, parent: Any, expected: int) -> None:
    session.flush()
    column = type(parent).__table__.c.n
    assert (parent.n, session.connection().scalar(select(column))) == (expected, expected)


@pytest.mark.parametrize("base", [object, ConcreteBase])
def test_concrete_subclass_counts_for_itself_alone(engine: Engine, base: type[Any]) -> None:
    Parent, Other, Source, Further = concrete(base)
    counters, Own = install(engine, Sum(Parent.n, of=Source.size, via=Source.parent))
    with Own(engine) as session:
        parent, other = Parent(id=50), Other(id=50)
        rows = [Source(id=number, size=number, parent=parent) for number in (4, 5, 6)]
        further = [Further(id=number, size=70, parent_id=50) for number in (4, 5)]
        session.add_all([parent, other])
        session.flush()
        session.add_all([*rows, *further])
        assert_stored(session, parent, 15)
        assert list(counters.verify(session.connection())) == []
        session.delete(other)
        session.delete(further[0])
        rows[0].size = 8
        session.delete(rows[1])
        assert_stored(session, parent, 14)
        assert list(counters.verify(session.connection())) == []
        session.execute(update(Source.__table__).values(size=9))
        session.execute(delete(Further.__table__))
        assert_stored(session, parent, 18)
        assert list(counters.verify(session.connection())) == []
        if base is ConcreteBase:
            with pytest.raises(CounterError, match="loaded from a union or a subquery"):
                counters.lock(session, Source, 6)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("loading", LOADING)
def test_lock_by_the_base_reads_the_subclass_under_its_lock(engine: Engine, loading: str) -> None:
    """PostgreSQL reads an outer-joined table by the snapshot from before the wait for the lock."""
    classes = staff(loading, clerk=False)
    Office, Engineer = classes.Office, classes.Engineer
    counters, Own = install(engine, Sum(Office.pay, of=Engineer.patents, via=Engineer.office))
    with Own(engine) as first, Own(engine) as second, ThreadPoolExecutor(1) as thread:
        engineer = Engineer(office=Office(), patents=3)
        first.add(engineer)
        first.commit()
        engineer.patents = 8
        first.flush()
        second.execute(text("SET LOCAL lock_timeout = '20s'"))
        pid = second.scalar(text("SELECT pg_backend_pid()"))
        waiting = thread.submit(counters.lock, second, classes.Employee, engineer.id)
        blocked = text("SELECT cardinality(pg_blocking_pids(:pid))").bindparams(pid=pid)
        while not first.scalar(blocked):
            assert not waiting.done()
        first.commit()
        locked = waiting.result(20)
        assert locked.patents == 8
        locked.patents += 5
        second.commit()
        assert_verified(first, counters)
        assert first.get_one(Office, engineer.office_id).pay == 13


def test_subclass_of_a_subclass_with_tables_is_counted(engine: Engine) -> None:
    """The key of the third table refers to that of the second, not to that of the first."""
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}
    Parent, Source = pair(
        {"kind": mapped_column(String), "__mapper_args__": identity},
        {"parent_id": reference("third.id"), "parent": relationship("Third")},
    )
    Second: Any = subclass(Parent, "Second", "parent.id")
    Third: Any = subclass(Second, "Third", "second.id", m=counter("m"))
    counters, Own = install(engine, Count(Third.m, via=Source.parent))
    with Own(engine) as session:
        third = Third()
        session.add_all([Source(parent=third), Source(parent=third)])
        session.flush()
        session.execute(delete(Source).where(Source.id == Source.id))
        session.add(Source(parent=third))
        assert_verified(session, counters)
        assert third.m == 1


def subclass(base: Any, name: str, target: str, **columns: Any) -> Any:
    """Return a subclass with a table of its own, whose key refers to the column `target`."""
    return type(
        name,
        (base,),
        {
            "__tablename__": name.lower(),
            "__mapper_args__": {"polymorphic_identity": name.lower()},
            "id": mapped_column(ForeignKey(target), primary_key=True),
            **columns,
        },
    )


def test_change_of_subclass_without_discriminator_is_counted(engine: Engine) -> None:
    Parent, Source = pair({"s": counter("s")}, {"size": mapped_column(Integer)})
    key_of_source = mapped_column(ForeignKey("source.id"), primary_key=True)
    Special: Any = type("Special", (Source,), {"__tablename__": "special", "id": key_of_source})
    counters, Own = install(engine, Sum(Parent.s, of=Special.size, via=Special.parent))
    with Own(engine) as session:
        special = Special(parent=Parent(), size=3)
        session.add(special)
        session.flush()
        special.size = 5
        assert_verified(session, counters)
        assert special.parent.s == 5
