"""Derived columns of custom models by assignment: NULL, defaults, types, subclasses."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Engine,
    ForeignKey,
    Identity,
    String,
    delete,
    insert,
    select,
    text,
    true,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    relationship,
)
from support.essays import (
    Cover,
    Essay,
    Page,
    Shelf,
    count_words,
    essays,
    page,
)
from support.essays import shelves as shelves
from support.pairs import assert_verified, install, pair
from support.statements import recorded

from tallied.counters import Count, Counters, Derived, Sum
from tallied.errors import CounterAssignmentError, UncountedStatementError


@pytest.fixture
def shelf(shelves: Session) -> Shelf:
    shelf = shelves.scalars(select(Shelf)).one()
    assert [essay.words for essay in sorted(shelf.essays, key=lambda item: item.id)] == [2, 5]
    assert shelf.words == 7
    return shelf


def essay_of(shelf: Shelf, words: int) -> Essay:
    return next(essay for essay in shelf.essays if essay.words == words)


def test_another_value_is_refused(shelves: Session, shelf: Shelf) -> None:
    essay = essay_of(shelf, 2)
    with pytest.raises(CounterAssignmentError, match=r"Essay\.words is computed from Essay\.body"):
        essay.words = 50
    essay.words = 2
    essay.text = "four words by synonym"
    assert shelf.words == 9
    assert_verified(shelves, essays)
    assert shelf.words == 9


def test_null_is_computed_from_a_nullable_column(shelves: Session, shelf: Shelf) -> None:
    essay_of(shelf, 5).body = None
    assert shelf.words == 2
    unset = Essay(shelf=shelf)
    shelves.add(unset)
    assert_verified(shelves, essays)
    assert (unset.words, shelf.words) == (0, 2)
    shelves.add(Essay(shelf=shelf, words=9))
    with pytest.raises(CounterAssignmentError):
        shelves.flush()


def test_several_columns_are_derived_from_one(shelves: Session) -> None:
    shelves.add(new := page("A Third Page"))
    assert (new.slug, new.size) == ("a-third-page", 12)
    with pytest.raises(CounterAssignmentError):
        new.slug = "another"
    with pytest.raises(CounterAssignmentError):
        new.size = 3
    new.title = "Renamed"
    assert_verified(shelves, essays)
    assert (new.slug, new.size) == ("renamed", 7)


def test_subclass_derives_the_same_columns(shelves: Session) -> None:
    shelves.add(cover := Cover(title="The Cover", summary="four", data={"a": 1, "b": 2}))
    assert cover.slug == "the-cover"
    with pytest.raises(CounterAssignmentError):
        cover.slug = "another"
    assert_verified(shelves, essays)


def test_python_default_is_computed_from(shelves: Session) -> None:
    new = Page(summary="four", data={"a": 1, "b": 2})
    shelves.add(new)
    assert_verified(shelves, essays)
    assert (new.title, new.slug, new.size) == ("Not Yet Named", "not-yet-named", 13)


def test_default_of_the_database_is_refused(shelves: Session) -> None:
    shelves.add(Page(title="T", data={"a": 1, "b": 2}))
    with pytest.raises(
        UncountedStatementError, match=r"Page\.summary is not set and has a default"
    ):
        shelves.flush()
    shelves.rollback()
    assert shelves.scalars(select(Page.title)).all() == ["Why Salt"]


def test_value_changed_in_place_is_computed_again(shelves: Session) -> None:
    shelves.add(new := page("T"))
    new.data["c"] = 3
    assert_verified(shelves, essays)
    assert new.keys == 3
    new.data["d"] = 4
    assert_verified(shelves, essays)
    assert new.keys == 4


def test_derived_columns_cost_no_statement(shelves: Session, engine: Engine) -> None:
    new = page("A Page")
    with recorded(engine) as executed:
        shelves.add(new)
        shelves.flush()
        new.title = "Another"
        shelves.flush()
    assert executed.verbs == ["INSERT page", "UPDATE page"]


def test_insert_without_a_session_is_filled(shelves: Session) -> None:
    shelves.execute(delete(Essay))
    connection = shelves.connection()
    connection.execute(insert(Essay), {"content": "one two three"})
    connection.execute(insert(Essay).values([{"body": "four words in it"}, {"body": None}]))
    connection.execute(Essay.__table__.insert(), [{"content": "of five words it is"}] * 2)
    rows = connection.scalars(select(Essay.words).order_by(Essay.words)).all()
    assert rows == [0, 3, 4, 5, 5]


def data_models(engine: Engine) -> tuple[Any, Any, Counters, type[Session]]:
    """Return a note mapped as a dataclass, and the folder that sums the words of its notes."""

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Folder(Base):
        __tablename__ = "folder"

        id: Mapped[int] = mapped_column(Identity(), primary_key=True, init=False)
        words: Mapped[int] = mapped_column(server_default=text("0"), init=False)

    class Note(Base):
        __tablename__ = "note"

        id: Mapped[int] = mapped_column(Identity(), primary_key=True, init=False)
        message: Mapped[str | None] = mapped_column(default=None)
        words: Mapped[int] = mapped_column(default=0)
        folder_id: Mapped[int | None] = mapped_column(
            ForeignKey(Folder.id), index=True, default=None
        )
        folder: Mapped[Folder | None] = relationship(Folder, default=None)

    counters, Own = install(
        engine,
        Derived(Note.words, of=Note.message, compute=count_words),
        Sum(Folder.words, of=Note.words, via=Note.folder),
    )
    return Folder, Note, counters, Own


def test_all_fields_of_a_dataclass_may_be_passed(engine: Engine) -> None:
    Folder, Note, counters, Own = data_models(engine)
    with Own(engine) as session:
        folder = Folder()
        notes = [
            Note(message="one two", folder=folder),
            Note("of three words", 0, folder=folder),
            Note("it has four words", 4, folder=folder),
            Note(folder=folder),
        ]
        session.add_all([folder, *notes])
        assert_verified(session, counters)
        assert [note.words for note in notes] == [2, 3, 4, 0]
        assert folder.words == 9
        with pytest.raises(CounterAssignmentError):
            Note("of three words", 7)


@pytest.mark.parametrize("by_key", [True, False])
def test_default_of_derived_condition_counts_at_once(engine: Engine, by_key: bool) -> None:
    Parent, Source = pair(
        source={
            "status": mapped_column(String, nullable=False, default="open"),
            "is_open": mapped_column(Boolean, nullable=False, server_default=true()),
        }
    )
    own, Own = install(
        engine,
        Derived(Source.is_open, of=Source.status, compute=lambda status: status == "open"),
        Count(Parent.n, via=Source.parent, where=Source.is_open),
    )
    with Own(engine) as session:
        parent = Parent(id=1)
        named = {"parent_id": 1} if by_key else {"parent": parent}
        with recorded(engine) as executed:
            session.add_all([parent, Source(**named), Source(status="closed", **named)])
            assert by_key or parent.n == 1
            session.flush()
        assert "UPDATE parent" not in executed.verbs
        assert parent.n == 1
        session.add(Source(parent=parent))
        assert parent.n == 2
        assert_verified(session, own)
