"""Events and cascades of the ORM that change rows: all are counted or refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import (
    Computed,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    delete,
    event,
    or_,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError
from support.forum import FIRST, ROWS, Comment, Thread, forum, listening, rows
from support.forum import session as session
from support.pairs import assert_verified, counter, install, key, pair, reference, trio

from tallied.counters import Count, Counters, Latest, Sum
from tallied.errors import UncountedStatementError


def first_comment(session: Session) -> Comment:
    return session.scalars(select(Comment).order_by(Comment.id)).first() or Comment()


def test_value_set_by_onupdate_is_counted(
    engine: Engine,
) -> None:
    before, after = datetime(2020, 1, 1), datetime(2021, 1, 1)
    at = mapped_column(DateTime, default=lambda: before, onupdate=lambda: after)
    Parent, Source = pair(
        {"last": mapped_column(DateTime, nullable=True)},
        {"message": mapped_column(String), "at": at},
    )
    counters, Own = install(engine, Latest(Parent.last, of=Source.at, via=Source.parent))
    with Own(engine) as session:
        source = Source(parent=Parent(), message="first")
        session.add(source)
        session.flush()
        assert source.parent.last == before
        source.message = "second"
        assert_verified(session, counters)
        assert source.parent.last == after


def test_generated_column_is_counted(engine: Engine) -> None:
    double = mapped_column(Integer, Computed("price * 2", persisted=True))
    Parent, Source = pair(source={"price": mapped_column(Integer), "double": double})
    counters, Own = install(engine, Sum(Parent.n, of=Source.double, via=Source.parent))
    with Own(engine) as session:
        source = Source(parent=Parent(), price=4)
        session.add(source)
        assert_verified(session, counters)
        session.execute(update(Source).values(price=5))
        assert_verified(session, counters)
        source.price = 7
        assert_verified(session, counters)
        assert source.parent.n == 14


def test_value_set_by_later_before_update_listener_is_refused(session: Session) -> None:
    def count_words(mapper: Any, connection: Any, comment: Comment) -> None:
        comment.words = len((comment.note or "").split())

    with listening(Comment, "before_update", count_words):
        first_comment(session).note = "a b c d e f g"
        with pytest.raises(UncountedStatementError, match=r"register it before Counters\.install"):
            session.flush()
    session.rollback()
    assert rows(session.connection()) == sorted(ROWS)
    assert_verified(session, forum)


def test_value_set_by_later_before_insert_listener_is_counted(session: Session) -> None:
    def lower(mapper: Any, connection: Any, comment: Comment) -> None:
        comment.words = 4

    with listening(Comment, "before_insert", lower):
        thread = Thread(comments=[Comment(words=99), Comment(words=2)])
        session.add(thread)
        assert_verified(session, forum)
    assert (thread.words, thread.longest) == (8, 4)


def test_change_of_key_and_value_in_one_flush_is_counted(session: Session) -> None:
    thread = session.get_one(Thread, FIRST)
    comment = first_comment(session)
    comment.id = 777
    comment.words = Comment.words + 10  # type: ignore[assignment]
    assert_verified(session, forum)
    assert thread.words == 17


@pytest.mark.parametrize("amount", [Comment.id, Comment.id + 40], ids=["column", "expression"])
def test_value_assigned_as_sql_is_loaded_by_the_flush(session: Session, amount: Any) -> None:
    thread = session.get_one(Thread, FIRST)
    comment = session.scalars(select(Comment).where(Comment.words == 5)).one()
    comment.words = amount
    assert thread.words == 7
    assert_verified(session, forum)
    assert thread.words == 2 + comment.words


def test_association_object_moved_with_expression_is_counted(engine: Engine) -> None:
    Parent, Source = pair(
        source={
            "id": mapped_column(Integer, primary_key=True, autoincrement=False),
            "parent_id": mapped_column(ForeignKey("parent.id"), primary_key=True, index=True),
            "points": mapped_column(Integer, default=2),
        }
    )
    counters, Own = install(engine, Sum(Parent.n, of=Source.points, via=Source.parent))
    with Own(engine) as session:
        first, second = Parent(), Parent()
        sources = [Source(parent=first, id=number) for number in range(3)]
        session.add_all([second, *sources])
        assert_verified(session, counters)
        for how in ("evaluate", "fetch", "auto", False):
            raised = update(Source).where(Source.id > 0).values(points=Source.points + 3)
            session.execute(raised.execution_options(synchronize_session=how))
            assert_verified(session, counters)
        removed = delete(Source).where(Source.id > 1)
        session.execute(removed.execution_options(synchronize_session="evaluate"))
        assert_verified(session, counters)
        sources[0].parent = second
        sources[0].points = Source.points + 1
        assert_verified(session, counters)
        assert (first.n, second.n) == (14, 3)


@pytest.mark.parametrize("source_first", [True, False])
@pytest.mark.parametrize("action", ["SET NULL", "CASCADE"])
def test_row_detached_by_database_and_edited_is_counted_once(
    engine: Engine, source_first: bool, action: str
) -> None:
    names = ("aaa", "zzz") if source_first else ("zzz", "aaa")  # in whose order tables are written
    Parent, Source = pair(
        {"words": counter("words")},
        {
            "__tablename__": names[0],
            "words": mapped_column(Integer, default=3),
            "moderator_id": mapped_column(ForeignKey(f"{names[1]}.id", ondelete=action)),
        },
    )
    Base = Parent.__bases__[0]
    Moderator = type("Moderator", (Base,), {"__tablename__": names[1], "id": key()})
    either = or_(Source.moderator_id.is_(None), Source.moderator_id > 0)
    counters, Own = install(
        engine,
        Count(Parent.n, via=Source.parent),
        Sum(Parent.words, of=Source.words, via=Source.parent, where=either),
    )
    with Own(engine) as session:
        moderator: Any = Moderator()
        session.add(moderator)
        session.flush()
        parent = Parent()
        edited = Source(parent=parent, moderator_id=moderator.id)
        session.add_all([edited, Source(parent=parent, words=5)])
        assert_verified(session, counters)
        savepoint = session.begin_nested()
        session.delete(moderator)
        edited.words = 50
        try:
            session.flush()
        except StaleDataError:  # the row that would be edited is gone with its moderator
            assert action == "CASCADE"
            savepoint.rollback()
            assert (parent.n, parent.words) == (2, 8)
        else:
            expected = (2, 55) if action == "SET NULL" else (1, 5)
            assert (parent.n, parent.words) == expected
        assert_verified(session, counters)


def test_statement_within_before_flush_is_refused(session: Session) -> None:
    comment = first_comment(session)

    def raise_words(flushing: Session, context: Any, instances: Any) -> None:
        flushing.execute(update(Comment).where(Comment.id == comment.id).values(words=90))

    with listening(type(session), "before_flush", raise_words):
        comment.words = 7
        with pytest.raises(UncountedStatementError, match="runs within a flush"):
            session.flush()
    session.rollback()
    assert rows(session.connection()) == sorted(ROWS)
    assert_verified(session, forum)


def test_statement_within_earlier_after_flush_is_refused(
    engine: Engine,
) -> None:
    class Own(Session):
        pass

    @event.listens_for(Own, "after_flush")
    def raise_words(session: Session, context: Any) -> None:
        session.execute(update(Source).values(words=19))

    Parent, Source = pair(source={"words": mapped_column(Integer)})
    counters = Counters(Sum(Parent.n, of=Source.words, via=Source.parent))
    counters.install(Own)
    Parent.metadata.create_all(engine)
    with Own(engine) as session:
        session.add_all([Source(parent=Parent(), words=9), Source(parent=Parent(), words=4)])
        with pytest.raises(UncountedStatementError, match="runs within a flush"):
            session.flush()
        session.rollback()
        assert session.connection().execute(select(Source.words)).all() == []


def test_changed_discriminator_is_refused(engine: Engine) -> None:
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "source"}
    Parent, Source = pair(
        {"images": counter("images")},
        {"kind": mapped_column(String), "__mapper_args__": identity},
    )
    Image: Any = type("Image", (Source,), {"__mapper_args__": {"polymorphic_identity": "image"}})
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Parent.images, via=Image.parent)
    )
    with Own(engine) as session:
        parent = Parent()
        plain = Source(parent=parent)
        session.add_all([plain, Image(parent=parent), Image(parent=parent)])
        session.commit()
        plain.kind = "image"
        with pytest.raises(UncountedStatementError, match=r"Source\.kind was changed"):
            session.flush()
        session.rollback()
        assert (plain.kind, parent.n, parent.images) == ("source", 3, 2)
        assert_verified(session, counters)


def test_concrete_subclass_is_not_counted_for_its_base(engine: Engine) -> None:
    Parent, Source = pair()
    concrete = {
        "__tablename__": "concrete",
        "__mapper_args__": {"concrete": True},
        "id": key(),
        "parent_id": reference("parent.id"),
        "parent": relationship("Parent"),
    }
    Concrete = type("Concrete", (Source,), concrete)
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        parent = Parent()
        session.add_all([Source(parent=parent), Source(parent=parent), Concrete(parent=parent)])
        assert_verified(session, counters)
        assert parent.n == 2


@pytest.mark.parametrize("how", ["session", "statement"])
@pytest.mark.parametrize("referred", ["the key", "a unique column", "another registry"])
def test_cascade_over_two_tables_lowers_the_other_parents(
    engine: Engine, referred: str, how: str
) -> None:
    class Host(DeclarativeBase):
        pass

    target = "board.slug" if referred == "a unique column" else "board.id"
    board = {"__tablename__": "board", "id": key(), "slug": mapped_column(String, unique=True)}
    Parent, Source, Author = trio(
        {"board_ref": mapped_column(ForeignKey(target, ondelete="CASCADE"))}
    )
    Base = Parent.__bases__[0]
    if referred == "another registry":
        Host.metadata = Base.metadata
    Board: Any = type("Board", (Host if referred == "another registry" else Base,), board)
    counters, Own = install(
        engine, Count(Parent.n, via=Source.parent), Count(Author.n, via=Source.other)
    )
    with Own(engine) as session:
        doomed, other = Board(slug="doomed"), Board(slug="kept")
        session.add_all([doomed, other])
        session.flush()
        author = Author()
        column = target.partition(".")[2]
        for board_, size in ((doomed, 3), (other, 2)):
            parent = Parent(board_ref=getattr(board_, column))
            session.add_all(Source(parent=parent, other=author) for _ in range(size))
        assert_verified(session, counters)
        assert author.n == 5
        if how == "session":
            session.delete(doomed)
        else:
            session.execute(delete(Board).where(Board.slug == "doomed"))
        assert_verified(session, counters)
        assert author.n == 2
