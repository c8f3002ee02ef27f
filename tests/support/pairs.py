"""Two classes for one test, and whether the counters of one in the other are exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    ForeignKey,
    Identity,
    Integer,
    String,
    inspect,
    literal,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship

from tallied.counters import Counter, Counters, Derived

ZERO = text("0")


def key() -> Any:
    """Return a primary key that the database generates."""
    return mapped_column(Integer, Identity(), primary_key=True)


def counter(name: str = "n", **options: Any) -> Any:
    """Return a column for a count or a sum of integers."""
    return mapped_column(name, Integer, nullable=False, server_default=ZERO, **options)


def reference(target: str, **options: Any) -> Any:
    """Return a foreign key with an index."""
    return mapped_column(ForeignKey(target, **options), index=True)


def pair(
    parent: Mapping[str, Any] | None = None, source: Mapping[str, Any] | None = None
) -> tuple[Any, Any]:
    """Return the classes ``Parent`` and ``Source`` on a new base.

    They have an ``id`` each, the parent a counter ``n``, the source a ``parent_id`` and a
    ``parent``; `parent` and `source` are further attributes, or replace these.
    """

    class Base(DeclarativeBase):
        pass

    columns = {"__tablename__": "parent", "id": key(), "n": counter(), **(parent or {})}
    Parent: Any = type("Parent", (Base,), columns)
    columns = {"__tablename__": "source", "id": key(), "parent_id": reference("parent.id")}
    columns |= {"parent": relationship(Parent), **(source or {})}
    return Parent, type("Source", (Base,), columns)


def trio(parent: Any = None, source: Any = None) -> tuple[Any, Any, Any]:
    """Return a pair, and the class ``Other``: a second parent, with a counter ``n``.

    A deletion of the first parent cascades to its sources.
    """
    columns = {"parent_id": reference("parent.id", ondelete="CASCADE")}
    columns |= {"other_id": reference("other.id"), "other": relationship("Other")}
    Parent, Source = pair(parent, columns | (source or {}))
    columns = {"__tablename__": "other", "id": key(), "n": counter()}
    return Parent, Source, type("Other", (Parent.__base__,), columns)


def joined(target: str, **columns: Any) -> tuple[Any, Any]:
    """Return a joined subclass of a parent, and a source that refers to the column `target`."""
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}
    Parent, Source = pair(
        {"kind": mapped_column(String), "__mapper_args__": identity},
        {"parent_id": reference(target), "parent": relationship("Joined")},
    )
    subclass = {
        "__tablename__": "joined",
        "__mapper_args__": {"polymorphic_identity": "joined"},
        "id": mapped_column(ForeignKey("parent.id"), primary_key=True),
        **columns,
    }
    return type("Joined", (Parent,), subclass), Source


def new_counters(*declared: Counter | Derived) -> tuple[Counters, type[Session]]:
    """Install `declared` on a new session class."""

    class Own(Session):
        pass

    counters = Counters(*declared)
    counters.install(Own)
    return counters, Own


def install(engine: Engine, *declared: Counter | Derived) -> tuple[Counters, type[Session]]:
    """Create the tables, and install `declared` on a new session class."""
    declared[0].target.class_.__table__.metadata.create_all(engine, checkfirst=False)
    return new_counters(*declared)


def assert_verified(session: Session, counters: Counters) -> None:
    """Assert that after a flush the columns equal a recount, and memory the columns."""
    session.flush()
    connection = session.connection()
    assert [str(drift) for drift in counters.verify(connection)] == []
    for obj in session:
        state: Any = inspect(obj)
        for mapper in counters.parents:
            if state.key is None or not state.mapper.isa(mapper):
                continue
            names = [c.key for c in counters.counters_of(mapper) if c.key in state.dict]
            if not names:
                continue
            class_ = mapper.class_
            identity = [
                getattr(class_, mapper.get_property_by_column(column).key) == value
                for column, value in zip(mapper.primary_key, state.key[1], strict=True)
            ]
            columns = [getattr(class_, name) for name in names]
            stored = connection.execute(select(*columns, *identity).where(*identity)).first()
            if stored is None:
                assert is_cascaded(connection, state), f"{obj} is in memory alone"
                continue
            assert [state.dict[name] for name in names] == list(stored)[: len(names)], obj


def is_cascaded(connection: Connection, state: Any) -> bool:
    """Return whether a cascade of the database has deleted a row: one that it refers to is gone."""
    mapper = state.mapper
    for constraint in mapper.local_table.foreign_key_constraints:
        if constraint.ondelete != "CASCADE":
            continue
        names = [mapper.get_property_by_column(item.parent).key for item in constraint.elements]
        values = [state.dict.get(name) for name in names]
        is_parent = [
            item.column == value for item, value in zip(constraint.elements, values, strict=True)
        ]
        parent = select(literal(1)).select_from(constraint.referred_table).where(*is_parent)
        if None not in values and connection.execute(parent).first() is None:
            return True
    return False
