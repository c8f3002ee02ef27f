"""Copies with counters of both sides, and two sets of counters on one session class."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, ForeignKeyConstraint, Index, Integer, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship
from support.comments import comment, thread_of
from support.magazine import Article, Host, make_tables
from support.pairs import counter, install, key
from support.statements import recorded

from tallied.counters import Count, Counters, Latest, Sum
from tallied.errors import CounterAssignmentError, CounterDeclarationError, UncountedStatementError
from tallied.models import Base, Comment, Thread
from tallied.models.counters import counters


def models(**changes: Any) -> Any:
    """Return a base with the classes ``Pointed`` and ``Holder``; `changes` replace attributes."""

    class Base(DeclarativeBase):
        pass

    classes: dict[str, dict[str, Any]] = {
        "pointed": {"__tablename__": "pointed", "id": key(), "size": mapped_column(Integer)},
        "holder": {
            "__tablename__": "holder",
            "id": key(),
            "pointed_id": mapped_column(ForeignKey("pointed.id"), index=True),
            "n": counter(),
            "latest": mapped_column(Integer, nullable=True),
            "pointed": relationship("Pointed"),
        },
    }
    for name, value in changes.items():
        of, _, attribute = name.partition("__")
        classes[of][attribute] = value
    Base.Pointed = type("Pointed", (Base,), classes["pointed"])
    Base.Holder = type("Holder", (Base,), classes["holder"])
    return Base


def link(base: Any, **values: Any) -> Sum:
    return Sum(base.Holder.n, **{"of": base.Pointed.size, "via": base.Holder.pointed} | values)


def test_link_by_composite_key_is_kept_on_both_sides(engine: Engine) -> None:
    base = models(
        pointed__part=mapped_column(Integer, primary_key=True, autoincrement=False),
        pointed__id=mapped_column(Integer, primary_key=True, autoincrement=False),
        pointed__holders=counter("holders"),
        holder__pointed_id=mapped_column(Integer),
        holder__part=mapped_column(Integer),
        holder____table_args__=(
            ForeignKeyConstraint(["part", "pointed_id"], ["pointed.part", "pointed.id"]),
            Index("ix_holder_pointed", "part", "pointed_id"),
        ),
    )
    classes, own = install(
        engine,
        link(base),
        Latest(base.Holder.latest, of=base.Pointed.size, via=base.Holder.pointed),
        Count(base.Pointed.holders, via=base.Holder.pointed),
    )
    with own(engine) as session:
        one, two = (base.Pointed(part=2, id=number, size=30 * number) for number in (3, 4))
        session.add_all([one, two, *(base.Holder(pointed=one) for _ in range(3))])
        session.commit()
        assert [(h.n, h.latest) for h in session.scalars(select(base.Holder))] == [(90, 90)] * 3
        one.size, two.size = 50, 60
        moved = session.scalars(select(base.Holder)).first()
        moved.pointed = two
        session.commit()
        assert sorted(h.n for h in session.scalars(select(base.Holder))) == [50, 50, 60]
        assert (one.holders, two.holders) == (2, 1)
        assert list(classes.verify(session.connection())) == []
        with pytest.raises(CounterAssignmentError):
            moved.n = 70
        with pytest.raises(UncountedStatementError):
            session.execute(base.Pointed.__table__.update().values(id=9))


def test_copy_is_zero_after_the_database_sets_null(engine: Engine) -> None:
    """No other counter depends on the rows that point."""
    reference = ForeignKey("pointed.id", ondelete="SET NULL")
    base = models(holder__pointed_id=mapped_column(reference, index=True, nullable=True))
    _, own = install(engine, link(base))
    with own(engine) as session:
        one, two = base.Pointed(size=30), base.Pointed(size=40)
        session.add_all([one, two, *(base.Holder(pointed=item) for item in (one, two, two))])
        session.commit()
        session.delete(one)
        session.commit()
        query = select(base.Holder.n).order_by(base.Holder.n)
        assert session.scalars(query).all() == [0, 40, 40]


# Two sets of counters on one session class

ORDERS = ["extension alone", "base first", "extension first", "base on a general class"]


@pytest.fixture
def extension() -> Counters:
    return counters.extend(Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread))


def sessions(order: str, extension: Counters) -> type[Session]:
    class General(Session):
        pass

    class Own(General):
        pass

    match order:
        case "extension alone":
            extension.install(Own)
        case "base first":
            counters.install(Own)
            extension.install(Own)
        case "extension first":
            extension.install(Own)
            counters.install(Own)
        case _:
            extension.install(Own)
            counters.install(General)
    return Own


@pytest.mark.parametrize("order", ORDERS)
def test_extension_counts_both_sets_once(engine: Engine, extension: Counters, order: str) -> None:
    make_tables(engine)
    with sessions(order, extension)(engine) as session:
        thread = thread_of(2, 3)
        article = Article(thread=thread)
        session.add(article)
        session.flush()
        with recorded(engine) as executed:
            session.add(comment(4, thread_id=thread.id))
            assert (thread.comment_count, article.comment_count) == (3, 3)
            session.flush()
        assert executed.verbs == [
            "INSERT tallied_comment",
            "UPDATE tallied_thread",
            "UPDATE article",
        ]
        assert (thread.comment_count, thread.word_count, article.comment_count) == (3, 9, 3)
        raw = Comment.__table__.delete().where(Comment.word_count == 2)
        session.connection().execute(raw)
        with counters.pause(session) as pause:
            pause.touch(Thread, thread.id)
        columns = select(Thread.comment_count, Article.comment_count).join(Article.thread)
        assert tuple(session.execute(columns).one()) == (2, 2)
        session.add_all(comment(size, thread_id=thread.id) for size in (6, 7))
        session.flush()
        for kept_by in (counters, extension):
            returned = kept_by.flushed_values(session, Thread, thread.id)
            assert returned is not None
            assert returned["word_count"] == 20
        last = session.scalars(select(Comment).where(Comment.word_count == 7)).one()
        locked = counters.lock(session, Comment, last.id)
        assert locked is last
        last.message = "w " * 9
        with recorded(engine) as executed:
            session.flush()
        assert not any(verb.startswith("SELECT tallied_comment") for verb in executed.verbs)
        session.commit()
        assert list(extension.verify(session.connection())) == []


def test_base_sessions_refuse_rows_of_the_extension(engine: Engine, extension: Counters) -> None:
    class General(Session):
        pass

    class Own(General):
        pass

    counters.install(General)
    extension.install(Own)
    make_tables(engine)
    with General(engine) as session:
        thread = thread_of(2, 3)
        session.add(thread)
        session.commit()
        assert thread.comment_count == 2
        session.add(Article(thread=thread))
        with pytest.raises(UncountedStatementError, match=r"Article is counted, but .* on General"):
            session.commit()


def test_two_extensions_on_one_session_class_are_refused(extension: Counters) -> None:
    class Own(Session):
        pass

    extension.install(Own)
    other = counters.extend(Sum(Article.words, of=Thread.word_count, via=Article.thread))
    with pytest.raises(CounterDeclarationError) as caught:
        other.install(Own)
    assert caught.value.id == "counters.E013"
    assert "extend the extension" in caught.value.hint
    extension.extend(Sum(Article.words, of=Thread.word_count, via=Article.thread)).install(Own)


async def test_extension_counts_on_async_sessions(empty_url: str, extension: Counters) -> None:
    engine = create_async_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(Host.metadata.create_all)
    maker = async_sessionmaker(engine)
    counters.install(maker)
    extension.install(maker)
    async with maker.begin() as session:
        article = Article(thread=thread_of(2, 3))
        session.add(article)
        await session.flush()
        session.add(comment(4, thread=article.thread))
        await session.flush()
        assert article.comment_count == 3
    await engine.dispose()
