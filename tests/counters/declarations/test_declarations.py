"""Valid declarations are accepted, and count once they are installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Integer, create_engine, text
from sqlalchemy.orm import InstrumentedAttribute, Session, mapped_column, sessionmaker
from support.pairs import assert_verified, counter, install, pair
from support.recount import shown

from tallied.counters import Count, Counters, Latest, Sum
from tallied.models import Comment, Thread
from tallied.models.counters import counters


def models(parent: Any = None, source: Any = None) -> tuple[Any, Any]:
    """Return a pair with a second counter ``s``; the source has a ``size``."""
    usual, size = {"s": counter("s")}, {"size": mapped_column(Integer, default=2)}
    return pair(usual | (parent or {}), size | (source or {}))


def test_valid_declaration_is_accepted() -> None:
    Parent, Source = models()
    count = Count(Parent.n, via=Source.parent)
    total = Sum(Parent.s, of=Source.size, via=Source.parent, where=Source.size > 2)
    Counters(count, total).install(type("Own", (Session,), {}))


@pytest.mark.parametrize(
    "start", ["0", text("0"), text("'0'"), text("(0)"), text("0::integer"), "0.0"]
)
def test_count_may_start_at_zero_in_any_spelling(start: Any) -> None:
    Parent, Source = models({"n": mapped_column(Integer, nullable=False, server_default=start)})
    Counters(Count(Parent.n, via=Source.parent)).install(type("Own", (Session,), {}))


def test_extreme_may_start_at_explicit_null() -> None:
    Parent, Source = models({"latest": mapped_column(Integer, server_default=text("NULL"))})
    latest = Latest(Parent.latest, of=Source.size, via=Source.parent)
    Counters(latest).install(type("Own", (Session,), {}))


@pytest.mark.parametrize("declaration", [[], (), "Parent.n", 5, Count])
def test_anything_but_a_declaration_is_refused(declaration: Any) -> None:
    """A list of declarations would otherwise be none, and nothing would be counted."""
    sentence = f"not {type(declaration).__name__}; unpack a list with"
    with pytest.raises(TypeError, match=sentence):
        Counters(declaration)
    with pytest.raises(TypeError, match=sentence):
        Counters().extend(declaration)


@pytest.mark.parametrize(
    "declare",
    [
        lambda parent, source: Count(parent, via=source.parent),
        lambda parent, source: Count(parent.n, via=source),
        lambda parent, source: Count(parent.n, via="Source.parent"),
        lambda parent, source: Sum(parent.s, of=source.size + 2, via=source.parent),
        lambda parent, source: Sum(parent.s, of="size", via=source.parent),
    ],
)
def test_anything_but_an_attribute_is_refused(declare: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TypeError, match="takes columns and relationships as attributes of a"):
        declare(*models())


def test_declaration_without_install_changes_nothing() -> None:
    Parent, Source = models()
    Counters(Count(Parent.n, via=Source.parent))
    assert Parent(n=5).n == 5


def test_sets_of_counters_on_two_session_classes_are_separate(engine: Engine) -> None:
    Parent, Source = models()
    Parent.metadata.create_all(engine)
    one, two = sessionmaker(engine), sessionmaker(engine)
    Counters(Count(Parent.n, via=Source.parent)).install(one, allow_uncounted=True)
    total = Sum(Parent.s, of=Source.size, via=Source.parent)
    Counters(total).install(two, allow_uncounted=True)
    for make, sizes, expected in (
        (one, (4, 5, 6), (3, 0)),
        (two, (7, 8), (3, 15)),
        (lambda: Session(engine), (9,), (3, 15)),
    ):
        with make() as session:
            parent = session.get(Parent, 1) or Parent(id=1)
            session.add(parent)
            session.add_all(Source(parent=parent, size=size) for size in sizes)
            session.commit()
            assert (parent.n, parent.s) == expected


def test_installing_twice_counts_once(engine: Engine) -> None:
    Parent, Source = models()
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    counters.install(Own)
    with Own(engine) as session:
        parent = Parent()
        session.add_all([parent, *(Source(parent=parent) for _ in range(3))])
        session.commit()
        session.add(Source(parent=parent))
        session.commit()
        assert parent.n == 4


def test_attribute_names_may_differ_from_column_names(engine: Engine) -> None:
    Parent, Source = models(
        {"n": counter("Number Of"), "s": counter("Sum")},
        {
            "parent_id": mapped_column("Parent Id", ForeignKey("parent.id"), index=True),
            "size": mapped_column("SIZE", Integer),
        },
    )
    large = Source.size > 3
    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Sum(Parent.s, of=Source.size, via=Source.parent, where=large),
    )
    with Own(engine) as session:
        one, two = Parent(), Parent()
        session.add_all([one, two])
        sources = [Source(parent=one, size=size) for size in range(2, 7)]
        session.add_all(sources)
        session.commit()
        assert (one.n, one.s) == (5, 15)
        sources[3].parent = two
        sources[4].size = 3
        session.commit()
        assert ((one.n, one.s), (two.n, two.s)) == ((4, 4), (1, 5))
        assert_verified(session, counters)


def test_tables_may_live_in_a_schema() -> None:
    schema = {"__table_args__": {"schema": "side"}}
    foreign_key = mapped_column(ForeignKey("side.parent.id"), index=True)
    Parent, Source = models(schema, schema | {"parent_id": foreign_key})
    plain = create_engine("sqlite://")
    engine = plain.execution_options(schema_translate_map={"side": "elsewhere"})
    maker = sessionmaker(engine)
    total = Sum(Parent.s, of=Source.size, via=Source.parent)
    counters = Counters(Count(Parent.n, via=Source.parent), total)
    counters.install(maker)
    with engine.connect() as connection:
        connection.exec_driver_sql("ATTACH ':memory:' AS elsewhere")
        Parent.metadata.create_all(connection)
        with maker(bind=connection) as session:
            one, two = Parent(), Parent()
            session.add_all([one, two])
            sources = [Source(parent=one, size=size) for size in range(2, 7)]
            session.add_all(sources)
            session.flush()
            sources[3].parent = two
            session.delete(sources[0])
            assert_verified(session, counters)
            assert ((one.n, one.s), (two.n, two.s)) == ((3, 13), (1, 5))
    plain.dispose()


@pytest.mark.slow
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
    declared = counters.declared
    assert all(isinstance(counter.target, InstrumentedAttribute) for counter in declared)
    sources = {str(counter): str(counter.of) for counter in declared}
    assert (
        sources.items()
        >= {
            "Thread.comment_count": "None",
            "Thread.word_count": str(Comment.word_count),
            "Thread.last_comment_at": str(Comment.created_at),
            "Author.comment_count": "None",
            "Author.word_count": str(Comment.word_count),
        }.items()
    )
    assert shown(Thread(title="T")) == (0, 0, None)
