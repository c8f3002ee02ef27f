"""Values that the counters may take for known or locked, and that the database has changed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest
from sqlalchemy import (
    Date,
    DateTime,
    Engine,
    Enum,
    FetchedValue,
    ForeignKey,
    Integer,
    String,
    TypeDecorator,
    delete,
    func,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Session, mapped_column, relationship, undefer
from support.pairs import assert_verified, install, new_counters, pair

from tallied.counters import Count, Latest, Sum


def optional() -> Any:
    return mapped_column(ForeignKey("parent.id"), index=True, nullable=True)


def declare_sum(source: dict[str, Any]) -> tuple[Any, ...]:
    """Return the classes, the counters and the session class of a sum of ``Source.w``."""
    Parent, Source = pair(None, {"w": mapped_column(Integer, nullable=True)} | source)
    return Parent, Source, *new_counters(Sum(Parent.n, of=Source.w, via=Source.parent))


def sum_of(engine: Engine, source: dict[str, Any]) -> tuple[Any, ...]:
    """Return the same, with the tables."""
    declared = declare_sum(source)
    declared[0].metadata.create_all(engine, checkfirst=False)
    return declared


# Relationships that write a foreign key without an event


def test_post_update_of_an_uncounted_key_is_allowed(engine: Engine) -> None:
    favourite: dict[str, Any] = {
        "favourite_id": mapped_column(ForeignKey("source.id", use_alter=True, name="fav")),
        "favourite": relationship(
            "Source", post_update=True, foreign_keys="Parent.favourite_id", overlaps="parent"
        ),
    }
    single: Any = relationship("Parent", foreign_keys="Source.parent_id")
    Parent, Source = pair(favourite, {"parent": single})
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        source = Source(parent=Parent())
        source.parent.favourite = source
        session.add_all([source, Source(parent=source.parent), Source(parent=source.parent)])
        assert_verified(session, counters)
        assert source.parent.n == 3


# Unset values of new rows


@pytest.mark.parametrize("eager", [True, False, "auto"])
def test_unset_values_of_new_rows_are_counted_as_stored(engine: Engine, eager: Any) -> None:
    Parent, Source, counters, Own = sum_of(
        engine,
        {
            "parent_id": optional(),
            "w": mapped_column(Integer, nullable=True, server_default=text("5")),
            "__mapper_args__": {"eager_defaults": eager},
        },
    )
    with Own(engine) as session:
        parent = Parent()
        session.add(parent)
        session.flush()
        latest = select(func.max(Parent.id)).scalar_subquery()
        session.add_all(
            [
                Source(parent_id=latest, w=3),
                Source(parent=parent, w=select(func.abs(-8)).scalar_subquery()),
                Source(parent=parent, w=null()),
                Source(parent=parent, w=None),
                Source(parent_id=parent.id),
                Source(w=7),
            ]
        )
        assert_verified(session, counters)
        assert parent.n == 3 + 8 + 5 + 5


TRIGGERS = {
    "sqlite": [
        "create trigger i after insert on source "
        "begin update source set w = 7 where id = new.id; end",
        "create trigger u after update of note on source "
        "begin update source set w = w + 1 where id = new.id; end",
    ],
    "postgresql": [
        "create function f() returns trigger language plpgsql as "
        "$$ begin if TG_OP = 'INSERT' then new.w := 7; else new.w := old.w + 1; end if; "
        "return new; end $$",
        "create trigger i before insert or update of note on source "
        "for each row execute function f()",
    ],
}


@pytest.mark.parametrize("eager", [True, False, "auto"])
def test_value_set_by_a_trigger_is_counted_as_fetched(
    engine: Engine, backend: str, eager: Any
) -> None:
    by_trigger: Any = mapped_column(
        Integer, FetchedValue(), FetchedValue(for_update=True), nullable=True
    )
    Parent, Source, counters, Own = sum_of(
        engine,
        {
            "w": by_trigger,
            "note": mapped_column(String),
            "__mapper_args__": {"eager_defaults": eager},
        },
    )
    with engine.begin() as connection:
        for trigger in TRIGGERS[backend]:
            connection.execute(text(trigger))
    with Own(engine) as session:
        source = Source(parent=Parent(), note="a")
        session.add(source)
        assert_verified(session, counters)
        assert source.parent.n == 7
        source.note = "b"
        assert_verified(session, counters)
        assert source.parent.n == 8
        session.execute(update(Source).values(note="c"))
        assert_verified(session, counters)
        assert source.parent.n == 9


# Rows that have changed since they were locked


@pytest.mark.parametrize("how", ["stale", "pending"])
def test_deferred_value_is_counted_as_read_under_the_lock(engine: Engine, how: str) -> None:
    _, Source, counters, Own = sum_of(engine, {"w": mapped_column(Integer, deferred=True)})
    Parent = counters.declared[0].parent.class_
    with Own(engine, expire_on_commit=False, autoflush=False) as session:
        session.add(Source(id=1, parent=Parent(), w=3))
        session.commit()
        session.expunge_all()
        source = session.get(Source, 1, options=[undefer(Source.w)])
        session.commit()
        with Own(engine) as other:
            other.get_one(Source, 1).w = 10
            other.commit()
        if how == "pending":
            source.w = 20
        assert counters.lock(session, Source, 1) is source
        source.w = 4
        assert_verified(session, counters)


def test_lock_ends_with_a_write_of_another_session(
    engine: Engine,
) -> None:
    Parent, Source, counters, Own = sum_of(engine, {})
    with engine.begin() as connection, Own(connection) as one, Own(connection) as other:
        one.add(Source(id=1, parent=Parent(), w=3))
        one.flush()
        source = counters.lock(one, Source, 1)
        other.get_one(Source, 1).w = 10
        other.flush()
        source.w = 20
        assert_verified(one, counters)


def test_lock_ends_with_its_savepoint_or_a_statement(engine: Engine) -> None:
    Parent, Source, counters, Own = sum_of(engine, {})
    with Own(engine) as session:
        source = Source(parent=Parent(), w=3)
        session.add(source)
        session.commit()
        with session.begin_nested():
            counters.lock(session, Source, source.id)
        source.w = 8
        assert_verified(session, counters)
        counters.lock(session, Source, source.id)
        savepoint = session.begin_nested()
        source.w = 9
        session.flush()
        savepoint.rollback()
        source.w = 10
        assert_verified(session, counters)
        counters.lock(session, Source, source.id)
        session.execute(text("update source set w = 77"))
        session.execute(text("update parent set n = 77"))
        source.w = 11
        assert_verified(session, counters)


# Values that the database converts


class Plain(TypeDecorator[Any]):
    """A decorator that changes no value, and so checks none."""

    impl = String
    cache_ok = True


class PlainInteger(Plain):
    impl = Integer
    cache_ok = True


class PlainDate(Plain):
    impl = Date
    cache_ok = True


class PlainDateTime(Plain):
    impl = DateTime
    cache_ok = True


def parent_with(session: Session, Parent: Any) -> Any:
    """Return a stored parent, so that its sources are counted by an UPDATE."""
    parent = Parent()
    session.add(parent)
    session.flush()
    return parent


@pytest.mark.parametrize("value", [1.5, 2, True], ids=str)
def test_number_of_decorated_type_is_summed_as_stored(engine: Engine, value: Any) -> None:
    Parent, Source, counters, Own = sum_of(engine, {"w": mapped_column(PlainInteger)})
    with Own(engine) as session:
        parent = parent_with(session, Parent)
        session.add_all([Source(parent=parent, w=value), Source(parent=parent, w=value)])
        assert_verified(session, counters)


def test_text_of_decorated_type_is_compared_as_stored(engine: Engine) -> None:
    Parent, Source = pair(None, {"kind": mapped_column(Plain)})
    five = Count(Parent.n, via=Source.parent, where=Source.kind == "5")
    counters, Own = install(engine, five)
    with Own(engine) as session:
        parent = parent_with(session, Parent)
        value: Any = 5 if engine.dialect.name == "sqlite" else "5"
        session.add_all([Source(parent=parent, kind=value), Source(parent=parent, kind=value)])
        assert_verified(session, counters)
        assert parent.n == 2


@pytest.mark.parametrize(
    ("type_", "early", "late"),
    [
        (PlainDate, date(2020, 1, 1), datetime(2021, 1, 1, 4)),
        (PlainDateTime, datetime(2020, 1, 1), datetime(2021, 1, 1, 4, tzinfo=UTC)),
    ],
)
def test_time_of_decorated_type_is_compared_as_stored(
    engine: Engine, type_: Any, early: Any, late: Any
) -> None:
    Parent, Source = pair(
        {"last": mapped_column(type_, nullable=True)}, {"at": mapped_column(type_)}
    )
    counters, Own = install(engine, Latest(Parent.last, of=Source.at, via=Source.parent))
    with Own(engine) as session:
        parent = parent_with(session, Parent)
        session.add(Source(parent=parent, at=early))
        session.flush()
        source = Source(parent=parent, at=late)
        session.add(source)
        assert_verified(session, counters)
        session.delete(source)
        session.add(Source(parent=parent, at=late))
        assert_verified(session, counters)
        assert parent.last > early


def test_type_with_variant_is_read_as_stored(engine: Engine) -> None:
    type_ = DateTime().with_variant(TIMESTAMP(precision=0), "postgresql")
    Parent, Source = pair(
        {"last": mapped_column(type_, nullable=True)}, {"at": mapped_column(type_)}
    )
    counters, Own = install(engine, Latest(Parent.last, of=Source.at, via=Source.parent))
    with Own(engine) as session:
        parent = parent_with(session, Parent)
        session.add(Source(parent=parent, at=datetime(2020, 1, 1, 1, 1, 1, 700_000)))
        assert_verified(session, counters)
        rounded = engine.dialect.name == "postgresql"
        assert parent.last.microsecond == (0 if rounded else 700_000)


# Pending changes before a statement


@cache
def declare_notes() -> tuple[Any, ...]:
    return declare_sum({"note": mapped_column(String, default="")})


CHANGES = ["edit", "move", "delete", "add"]
FORMS = ["orm", "table", "keys", "delete", "no autoflush"]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("change", "form"),
    [
        pytest.param(change, form, marks=() if plain else pytest.mark.exhaustive)
        for change in CHANGES
        for form in FORMS
        for plain in [change == "edit" or form == "orm"]
    ],
)
def test_autoflush_before_a_statement_is_counted_once(
    engine: Engine, change: str, form: str
) -> None:
    Parent, Source, counters, Own = declare_notes()
    Parent.metadata.create_all(engine, checkfirst=False)
    with Own(engine) as session:
        one, two = Parent(), Parent()
        session.add_all([one, two])
        session.add_all([Source(id=key, parent=one, w=key + 1) for key in (1, 2, 3)])
        session.commit()
        source, other = session.get_one(Source, 1), two.id
        if change == "edit":
            source.w = 20
        elif change == "move":
            source.parent = two
        elif change == "delete":
            session.delete(source)
        else:
            session.add(Source(id=4, parent=one, w=5))
        options = {"synchronize_session": False}
        if form == "delete":
            session.execute(delete(Source).where(Source.id != 2), execution_options=options)
        elif form == "keys":
            session.execute(update(Source), [{"id": 2, "w": 30}, {"id": 3, "parent_id": other}])
        else:
            table = Source.__table__ if form == "table" else Source
            if form == "no autoflush":
                options["autoflush"] = False
            session.execute(update(table).values(parent_id=other), execution_options=options)
        session.flush()
        session.expire_all()
        assert_verified(session, counters)


def test_parents_keyed_by_an_enum_are_written_at_once(engine: Engine) -> None:
    colours = Enum("red", "green", "blue", name="colour")
    Parent, Source = pair(
        {"id": mapped_column(colours, primary_key=True)},
        {"parent_id": mapped_column(colours, ForeignKey("parent.id"), index=True)},
    )
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        session.add_all([Parent(id=colour) for colour in colours.enums])
        session.flush()
        session.add_all([Source(parent_id=item) for item in ("red", "blue", "blue")])
        assert_verified(session, counters)
        assert session.get_one(Parent, "blue").n == 2
