"""A declaration that cannot work is refused with an id, a sentence and a hint."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    Integer,
    create_engine,
    text,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
)
from support.recount import shown

from tallied.counters import Count, Counters, Latest, Sum
from tallied.models import Comment, Thread
from tallied.models.counters import counters

ZERO = text("0")


def models(**changes: Any) -> Any:
    """A parent and a source on a base of their own; `changes` replace attributes."""

    class Base(DeclarativeBase):
        pass

    parent: dict[str, Any] = {
        "__tablename__": "parent",
        "id": mapped_column(Integer, primary_key=True),
        "other": mapped_column(Integer, unique=True),
        "n": mapped_column(Integer, nullable=False, server_default=ZERO),
        "s": mapped_column(Integer, nullable=False, server_default=ZERO),
        "latest": mapped_column(Integer, nullable=True),
    }
    source: dict[str, Any] = {
        "__tablename__": "source",
        "id": mapped_column(Integer, primary_key=True),
        "parent_id": mapped_column(ForeignKey("parent.id"), index=True),
        "size": mapped_column(Integer),
        "parent": relationship("Parent"),
    }
    for name, value in changes.items():
        of, _, attribute = name.partition("__")
        {"parent": parent, "source": source}[of][attribute or name] = value
    Base.Parent = type("Parent", (Base,), parent)
    Base.Source = type("Source", (Base,), source)
    return Base


def count(base: Any) -> Count:
    return Count(base.Parent.n, via=base.Source.parent)


def add(base: Any, **values: Any) -> Sum:
    arguments = {"of": base.Source.size, "via": base.Source.parent} | values
    return Sum(base.Parent.s, **arguments)


def test_valid_declaration_is_accepted() -> None:
    class Own(Session):
        pass

    base = models()
    Counters(count(base), add(base, where=base.Source.size > 2)).install(Own)


@pytest.mark.parametrize(
    "start", ["0", text("0"), text("'0'"), text("(0)"), text("0::integer"), 0.0]
)
def test_count_may_start_at_zero_in_any_spelling(start: Any) -> None:
    class Own(Session):
        pass

    default = str(start) if isinstance(start, float) else start
    column = mapped_column(Integer, nullable=False, server_default=default)
    Counters(count(models(parent__n=column))).install(Own)


def test_extreme_may_start_at_explicit_null() -> None:
    class Own(Session):
        pass

    base = models(parent__latest=mapped_column(Integer, nullable=True, server_default=text("NULL")))
    latest = Latest(base.Parent.latest, of=base.Source.size, via=base.Source.parent)
    Counters(latest).install(Own)


def test_declaration_without_install_changes_nothing() -> None:
    base = models()
    Counters(count(base))
    base.Parent(n=5)


def test_sets_of_counters_on_two_session_classes_are_separate(engine: Engine) -> None:
    base = models()
    base.metadata.create_all(engine)
    one, two = sessionmaker(engine), sessionmaker(engine)
    Counters(count(base)).install(one, allow_uncounted=True)
    Counters(add(base)).install(two, allow_uncounted=True)
    with one() as session:
        parent = base.Parent(id=1)
        session.add(parent)
        session.add_all(base.Source(parent=parent, size=size) for size in (4, 5, 6))
        session.commit()
        assert (parent.n, parent.s) == (3, 0)
    with two() as session:
        parent = session.get(base.Parent, 1)
        session.add_all(base.Source(parent=parent, size=size) for size in (7, 8))
        session.commit()
        assert (parent.n, parent.s) == (3, 15)
    with Session(engine) as session:
        session.add(base.Source(parent_id=1, size=9))
        session.commit()
        parent = session.get(base.Parent, 1)
        assert (parent.n, parent.s) == (3, 15)


def test_installing_twice_counts_once(engine: Engine) -> None:
    base = models()
    base.metadata.create_all(engine)
    maker = sessionmaker(engine)
    installed = Counters(count(base))
    installed.install(maker)
    installed.install(maker)
    with maker() as session:
        parent = base.Parent(id=1)
        session.add_all([parent, *(base.Source(parent=parent, size=2) for _ in range(3))])
        session.commit()
        session.add(base.Source(parent=parent, size=2))
        session.commit()
        assert parent.n == 4


def test_attribute_names_may_differ_from_column_names(engine: Engine) -> None:
    base = models(
        parent__n=mapped_column("Number Of", Integer, nullable=False, server_default=ZERO),
        parent__s=mapped_column("Sum", Integer, nullable=False, server_default=ZERO),
        source__parent_id=mapped_column("Parent Id", ForeignKey("parent.id"), index=True),
        source__size=mapped_column("SIZE", Integer),
    )
    base.metadata.create_all(engine)
    maker = sessionmaker(engine)
    installed = Counters(count(base), add(base, where=base.Source.size > 3))
    installed.install(maker)
    with maker() as session:
        one, two = base.Parent(id=1), base.Parent(id=2)
        session.add_all([one, two])
        session.add_all(base.Source(id=n, parent=one, size=n) for n in range(2, 7))
        session.commit()
        assert (one.n, one.s) == (5, 15)
        session.get(base.Source, 5).parent = two
        session.get(base.Source, 6).size = 3
        session.commit()
        assert ((one.n, one.s), (two.n, two.s)) == ((4, 4), (1, 5))
        assert list(installed.verify(session.connection())) == []


def test_tables_may_live_in_a_schema() -> None:
    base = models(
        parent____table_args__={"schema": "side"},
        source____table_args__={"schema": "side"},
        source__parent_id=mapped_column(ForeignKey("side.parent.id"), index=True),
    )
    plain = create_engine("sqlite://")
    engine = plain.execution_options(schema_translate_map={"side": "elsewhere"})
    maker = sessionmaker(engine)
    installed = Counters(count(base), add(base))
    installed.install(maker)
    with engine.connect() as connection:
        connection.exec_driver_sql("ATTACH ':memory:' AS elsewhere")
        base.metadata.create_all(connection)
        with maker(bind=connection) as session:
            one, two = base.Parent(id=1), base.Parent(id=2)
            session.add_all([one, two])
            session.add_all(base.Source(id=n, parent=one, size=n) for n in range(2, 7))
            session.flush()
            session.get(base.Source, 5).parent = two
            session.delete(session.get(base.Source, 2))
            session.flush()
            assert ((one.n, one.s), (two.n, two.s)) == ((3, 13), (1, 5))
            assert list(installed.verify(session.connection())) == []
    plain.dispose()


def test_import_of_counters_imports_no_model_of_tallied() -> None:
    script = (
        "import sys, tallied.counters;"
        "assert not [m for m in sys.modules if m.startswith('tallied.models')];"
        "import tallied.models.counters;"
        "from tallied.models import Thread;"
        "Thread(word_count=7)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_declarations_are_attributes_that_editors_resolve() -> None:
    targets = [each.target for each in counters.declared]
    assert all(isinstance(each, InstrumentedAttribute) for each in targets)
    assert [str(each) for each in counters.declared] == [
        "Thread.comment_count",
        "Thread.word_count",
        "Thread.last_comment_at",
        "Author.comment_count",
        "Author.word_count",
    ]
    assert shown(Thread(title="T")) == (0, 0, None)
    assert [str(each.of) for each in counters.declared] == [
        "None",
        str(Comment.word_count),
        str(Comment.created_at),
        "None",
        str(Comment.word_count),
    ]
