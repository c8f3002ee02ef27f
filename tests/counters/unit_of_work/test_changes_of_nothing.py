"""Contract points 3 to 5: what amounts to nothing for a parent issues no UPDATE and no lock."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Boolean, Engine, Integer, delete, insert, select, text, update
from sqlalchemy.orm import Session, mapped_column, relationship
from support.pairs import assert_verified, counter, new_counters, pair, reference
from support.statements import recorded

from tallied.counters import Count, Max, Sum

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")


class Models(NamedTuple):
    """Two classes, their counters, and a session class with them."""

    Parent: Any
    Source: Any
    counters: Any
    Own: type[Session]


@cache
def declare_models(*, with_extreme: bool) -> Models:
    """Return models of which hidden sources do not count."""
    Parent, Source = pair(
        {
            "total": counter("total"),
            "greatest": mapped_column(Integer),
            "sources": relationship(
                "Source", back_populates="parent", cascade="all, delete-orphan"
            ),
        },
        {
            "parent_id": reference("parent.id"),
            "hidden": mapped_column(Boolean, nullable=False, server_default=text("false")),
            "size": mapped_column(Integer, nullable=False, server_default=text("0")),
            "parent": relationship("Parent", back_populates="sources"),
        },
    )
    shown = Source.hidden.is_(False)
    declared = [Count(Parent.n, via=Source.parent, where=shown)]
    declared += [Sum(Parent.total, of=Source.size, via=Source.parent, where=shown)]
    if with_extreme:
        declared += [Max(Parent.greatest, of=Source.size, via=Source.parent, where=shown)]
    return Models(Parent, Source, *new_counters(*declared))


def make_models(engine: Engine, *, with_extreme: bool = False) -> Models:
    """Return models, with a stored parent that has two sources, and another one."""
    models = declare_models(with_extreme=with_extreme)
    models.Parent.metadata.create_all(engine, checkfirst=False)
    with models.Own(engine) as session:
        parent = models.Parent(id=1)
        session.add_all([parent, models.Parent(id=2)])
        session.add_all(
            [
                models.Source(id=1, parent=parent, hidden=False, size=3),
                models.Source(id=2, parent=parent, hidden=True, size=4),
            ]
        )
        session.commit()
    return models


def insert_hidden(session: Session, models: Models) -> None:
    session.add(models.Source(id=9, parent_id=1, hidden=True, size=5))


def insert_without_parent(session: Session, models: Models) -> None:
    session.add(models.Source(id=9, parent_id=None, hidden=False, size=5))


def edit_hidden(session: Session, models: Models) -> None:
    session.get_one(models.Source, 2).size = 50


def move_hidden(session: Session, models: Models) -> None:
    session.get_one(models.Source, 2).parent_id = 2


def delete_hidden(session: Session, models: Models) -> None:
    session.delete(session.get_one(models.Source, 2))


def swap(session: Session, models: Models) -> None:
    """Hide one source and show another one of the same size."""
    source, other = (session.get_one(models.Source, id) for id in (1, 2))
    source.hidden, other.hidden, other.size = True, False, 3


def replace(session: Session, models: Models) -> None:
    with session.no_autoflush:
        session.delete(session.get_one(models.Source, 1))
        session.add(models.Source(id=9, parent_id=1, hidden=False, size=3))


def insert_hidden_by_statement(session: Session, models: Models) -> None:
    session.execute(insert(models.Source).values(id=9, parent_id=1, hidden=True, size=5))


def update_hidden_by_statement(session: Session, models: Models) -> None:
    hidden = models.Source.hidden.is_(True)
    session.execute(update(models.Source).where(hidden).values(size=50, parent_id=2))


def delete_hidden_by_statement(session: Session, models: Models) -> None:
    session.execute(delete(models.Source).where(models.Source.hidden.is_(True)))


CHANGES = [
    insert_hidden,
    insert_without_parent,
    edit_hidden,
    move_hidden,
    delete_hidden,
    swap,
    replace,
    insert_hidden_by_statement,
    update_hidden_by_statement,
    delete_hidden_by_statement,
]


@pytest.mark.sampled
@pytest.mark.parametrize("is_loaded", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_change_of_nothing_leaves_parent_alone(
    engine: Engine, change: Callable[[Session, Models], None], is_loaded: bool
) -> None:
    models = make_models(engine)
    with models.Own(engine) as session:
        parents = list(session.scalars(select(models.Parent))) if is_loaded else []
        with recorded(engine) as executed:
            change(session, models)
            session.flush()
        assert not [verb for verb in executed.verbs if verb.endswith(" parent")]
        assert [(p.n, p.total) for p in parents] == [(1, 3), (0, 0)][: len(parents)]
        assert_verified(session, models.counters)


@pytest.mark.sampled
@pytest.mark.parametrize("change", [insert_hidden, edit_hidden, delete_hidden, move_hidden])
def test_hidden_value_is_no_extreme(engine: Engine, change: Any) -> None:
    models = make_models(engine, with_extreme=True)
    with models.Own(engine) as session, recorded(engine) as executed:
        change(session, models)
        session.flush()
        assert not [verb for verb in executed.verbs if verb.endswith(" parent")]
        assert_verified(session, models.counters)


def test_removed_extreme_is_looked_up_though_sums_stay(engine: Engine) -> None:
    models = make_models(engine, with_extreme=True)
    with models.Own(engine) as session, recorded(engine) as executed:
        swap(session, models)
        session.flush()
        assert executed.verbs.count("UPDATE parent") == 2  # the second looks it up
        assert session.get_one(models.Parent, 1).greatest == 3
        assert_verified(session, models.counters)


def test_one_of_two_parents_is_written_alone(engine: Engine) -> None:
    models = make_models(engine)
    with models.Own(engine) as session:
        with recorded(engine) as executed:
            insert_hidden(session, models)
            session.add(models.Source(id=10, parent_id=2, hidden=False, size=5))
            session.flush()
        (written,) = [s for s in executed if s.startswith("UPDATE parent")]
        assert "tallied_delta" not in written  # which is the statement for several parents
        assert_verified(session, models.counters)


# Memory, where others have made the same change


def hide(session: Session, models: Models, source: Any) -> None:
    source.hidden = True


def resize(session: Session, models: Models, source: Any) -> None:
    source.size = 20


def move(session: Session, models: Models, source: Any) -> None:
    source.parent = session.get_one(models.Parent, 2)


def remove(session: Session, models: Models, source: Any) -> None:
    parent = session.get_one(models.Parent, 1)
    parent.sources.remove(source)


@pytest.mark.sampled
@pytest.mark.parametrize("change", [hide, resize, move, remove])
def test_same_change_by_another_session_shows_in_memory(engine: Engine, change: Any) -> None:
    models = make_models(engine)
    with models.Own(engine, expire_on_commit=False) as session:
        parents = list(session.scalars(select(models.Parent).order_by(models.Parent.id)))
        source = session.get_one(models.Source, 1)
        list(parents[0].sources)
        session.commit()
        with models.Own(engine) as other:
            change(other, models, other.get_one(models.Source, 1))
            other.commit()
        change(session, models, source)
        with recorded(engine) as executed:
            session.flush()
        assert "UPDATE parent" not in executed.verbs
        assert not any("FOR" in s for s in executed if s.startswith("SELECT parent"))
        stored = session.execute(
            text("SELECT n, total FROM parent ORDER BY id"), execution_options={"autoflush": False}
        )
        assert [(p.n, p.total) for p in parents] == [tuple(row) for row in stored]
        assert_verified(session, models.counters)


def test_preview_of_an_object_outside_is_taken_back_for_free(engine: Engine) -> None:
    models = make_models(engine)
    with models.Own(engine) as session:
        parent = session.get_one(models.Parent, 1)
        source = models.Source(parent_id=1, hidden=False, size=5)
        session.add(source)
        assert parent.n == 2
        session.expunge(source)
        with recorded(engine) as executed:
            session.flush()
        assert (executed, parent.n) == ([], 1)
