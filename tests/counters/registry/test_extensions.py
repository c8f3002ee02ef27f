"""Two sets of counters, on one session class or on several."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, mapped_column, relationship
from support.comments import comment, thread_of
from support.magazine import Article, Host, make_tables
from support.pairs import counter, key, pair
from support.statements import recorded

from tallied.counters import Count, Counters, Sum
from tallied.errors import CounterDeclarationError, UncountedStatementError
from tallied.models import Base, Comment, Thread
from tallied.models.counters import counters

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
        # The thread's lock comes first, and with it the number of the comment.
        lock = "UPDATE" if engine.dialect.name == "sqlite" else "SELECT"
        assert executed.verbs == [
            f"{lock} tallied_thread",
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


@pytest.mark.parametrize("inner_first", [True, False])
@pytest.mark.parametrize("by", ["of", "where"])
def test_chain_split_between_two_sets_is_refused(inner_first: bool, by: str) -> None:
    up: dict[str, Any] = {
        "up_id": mapped_column(ForeignKey("top.id"), index=True),
        "up": relationship("Top"),
    }
    Parent, Source = pair(up)
    columns = {"__tablename__": "top", "id": key(), "n": counter()}
    Top = type("Top", (Parent.__base__,), columns)
    inner = Counters(Count(Parent.n, via=Source.parent))
    if by == "of":
        outer = Sum(Top.n, of=Parent.n, via=Parent.up)  # type: ignore[attr-defined]
    else:
        outer = Count(Top.n, via=Parent.up, where=Parent.n > 2)  # type: ignore[attr-defined]
    first, second = (inner, Counters(outer)) if inner_first else (Counters(outer), inner)
    first.install(type("One", (Session,), {}))
    with pytest.raises(CounterDeclarationError, match=r"E025.*Top\.n is computed from Parent\.n"):
        second.install(type("Two", (Session,), {}))
    if inner_first and by == "of":
        inner.extend(outer).install(type("Three", (Session,), {}))
