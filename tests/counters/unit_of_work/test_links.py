"""Copies along a foreign key: ``Sum(Article.n, of=Thread.n, via=Article.thread)``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session
from support.comments import comment, thread_of
from support.magazine import (
    Article,
    HostSession,
    Issue,
    Teaser,
    Topic,
    assert_exact,
    magazine,
    make_tables,
    shown,
    stored,
)
from support.statements import recorded

from tallied.models import Comment, Thread


@pytest.fixture
def host(engine: Engine) -> Iterator[Session]:
    """A session with the counters of the magazine."""
    make_tables(engine)
    with HostSession(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def filled(host: Session) -> tuple[Thread, Thread, Article, Article]:
    """Two threads of 2 + 3 and 4 + 5 + 6 words; the first has an article, another has none."""
    one, two = thread_of(2, 3), thread_of(4, 5, 6)
    linked, free = Article(thread=one, issue=Issue()), Article(issue=Issue())
    host.add_all([one, two, linked, free])
    host.commit()
    return one, two, linked, free


def test_new_article_of_new_thread_shows_its_comments(host: Session) -> None:
    article = Article(thread=thread_of(2, 3), issue=Issue())
    assert shown(article)[:2] == (2, 5)
    host.add(article)
    host.flush()
    assert shown(article)[:2] == (2, 5)
    assert article.issue is not None
    assert article.issue.comments == 2
    assert_exact(host)


def test_new_article_of_stored_thread_shows_its_comments(filled: Any, host: Session) -> None:
    two = filled[1]
    for article in (Article(thread=two), Article(thread_id=thread_key(host, 7, 8))):
        host.add(article)
        host.flush()
        assert_exact(host)
    assert shown(article)[:2] == (2, 15)


def thread_key(host: Session, *sizes: int) -> Any:
    """Return the key of a stored thread that is not loaded."""
    thread = thread_of(*sizes)
    host.add(thread)
    host.flush()
    key = thread.id
    host.expunge_all()
    return key


def test_comments_reach_the_article_by_one_statement(
    filled: Any, host: Session, engine: Engine
) -> None:
    one, _, _article, _ = filled
    key = one.id
    host.expunge_all()
    host.add(comment(9, thread_id=key))
    with recorded(engine) as executed:
        host.flush()
    assert executed.verbs.count("UPDATE article") == 1
    # The lock of the thread, for the comment's number; on SQLite, a SELECT locks nothing.
    lock = "UPDATE" if engine.dialect.name == "sqlite" else "SELECT"
    assert executed.verbs[:3] == [
        f"{lock} tallied_thread",
        "INSERT tallied_comment",
        "UPDATE tallied_thread",
    ]
    assert_exact(host)


@pytest.mark.parametrize("way", ["edit", "move", "delete", "bulk update", "bulk delete", "insert"])
def test_change_of_comments_reaches_the_article(filled: Any, host: Session, way: str) -> None:
    one, two, _article, free = filled
    free.thread = two
    host.commit()
    first = host.scalars(select(Comment).where(Comment.thread_id == one.id)).first()
    assert first is not None
    match way:
        case "edit":
            first.message = "w " * 20
        case "move":
            first.thread = two
        case "delete":
            host.delete(first)
        case "bulk update":
            host.execute(update(Comment).where(Comment.id == first.id).values(thread_id=two.id))
        case "bulk delete":
            host.execute(delete(Comment).where(Comment.thread_id == one.id))
        case "insert":
            rows = [
                {"thread_id": key, "author_name": "B", "message": "w w", "word_count": 2}
                for key in (one.id, two.id, two.id)
            ]
            host.execute(insert(Comment), rows)
    host.flush()
    assert_exact(host)
    host.rollback()
    assert_exact(host)


@pytest.mark.parametrize("way", ["object", "key", "bulk", "none", "none by key", "bulk none"])
def test_article_moved_to_another_thread_shows_its_comments(
    filled: Any, host: Session, way: str
) -> None:
    one, two, article, _ = filled
    match way:
        case "object":
            article.thread = two
            assert shown(article)[:2] == (3, 15)
        case "key":
            article.thread_id = two.id
            assert shown(article)[:2] == (3, 15)
        case "bulk":
            host.execute(update(Article).values(thread_id=two.id).where(Article.id == article.id))
        case "none":
            article.thread = None
            assert shown(article) == (0, 0, None)
        case "none by key":
            article.thread_id = None
            assert shown(article) == (0, 0, None)
        case "bulk none":
            host.execute(update(Article).values(thread_id=None))
    host.flush()
    assert_exact(host)
    host.add(comment(7, thread=two))
    host.add(comment(8, thread=one))
    host.flush()
    assert_exact(host)


def test_articles_written_by_statement_are_exact(filled: Any, host: Session) -> None:
    _one, two, article, _ = filled
    host.execute(insert(Article).values(thread_id=two.id, issue_id=article.issue_id))
    assert_exact(host)
    host.execute(delete(Article).where(Article.thread_id == two.id))
    assert_exact(host)
    host.delete(article)
    host.flush()
    assert_exact(host)


@pytest.mark.parametrize("way", ["object", "statement"])
def test_article_of_deleted_thread_shows_zero(filled: Any, host: Session, way: str) -> None:
    one, _, article, _ = filled
    host.add_all([Teaser(thread=one), Teaser(thread=one)])
    host.commit()
    if way == "object":
        host.delete(one)
        host.flush()
    else:
        host.execute(delete(Thread).where(Thread.id == one.id))
    assert stored(host.connection())[article.id] == (0, 0, None)
    assert_exact(host)
    assert host.scalars(select(Teaser)).all() == []


def test_loaded_article_shows_a_comment_at_once(filled: Any, host: Session, engine: Engine) -> None:
    one, _, article, _ = filled
    before = article.issue.comments, one.comment_count, article.comment_count
    with recorded(engine) as executed, host.no_autoflush:
        added = comment(9, thread_id=one.id)
        host.add(added)
        assert shown(article)[:2] == (3, 14)
        assert article.issue.comments == before[0] + 1
        added.message = "w " * 4
        assert shown(article)[:2] == (3, 9)
    assert executed == []
    host.expunge(added)
    host.flush()
    assert shown(article)[:2] == (2, 5)
    assert_exact(host)


def test_pending_article_shows_a_comment_at_once(host: Session) -> None:
    thread = thread_of(2, 3)
    article = Article(thread=thread)
    host.add(article)
    host.add(comment(4, thread=thread))
    assert shown(article)[:2] == (3, 9)
    host.flush()
    assert_exact(host)


def test_article_loaded_by_a_query_shows_a_comment_at_once(filled: Any, host: Session) -> None:
    key = filled[0].id
    host.expunge_all()
    article = host.scalars(select(Article).where(Article.thread_id == key)).one()
    thread = host.get_one(Thread, key)
    host.add(comment(9, thread_id=thread.id))
    assert shown(article)[:2] == (3, 14)


def test_rolled_back_savepoint_reverts_the_article(filled: Any, host: Session) -> None:
    one, _two, article, _ = filled
    savepoint = host.begin_nested()
    host.add(comment(9, thread=one))
    host.flush()
    assert shown(article)[:2] == (3, 14)
    savepoint.rollback()
    assert shown(article)[:2] == (2, 5)
    assert_exact(host)


def test_plain_column_is_copied(host: Session) -> None:
    topic = Topic(weight=30)
    teasers = [Teaser(topic=topic), Teaser(topic=topic)]
    host.add_all(teasers)
    host.commit()

    def values() -> set[tuple[int, int | None]]:
        rows = host.connection().execute(select(Teaser.weight, Teaser.open_weight))
        return {tuple(row) for row in rows}

    assert values() == {(30, 30)}
    topic.weight = 40
    assert [(t.weight, t.open_weight) for t in teasers] == [(40, 40)] * 2
    host.flush()
    assert values() == {(40, 40)}
    topic.is_open = False
    assert [(t.weight, t.open_weight) for t in teasers] == [(40, None)] * 2
    host.flush()
    assert values() == {(40, None)}
    host.execute(update(Topic).values(weight=Topic.weight + 5, is_open=True))
    assert values() == {(45, 45)}
    topic.weight = Topic.weight + 7
    host.flush()
    assert values() == {(52, 52)}
    assert list(magazine.verify(host.connection())) == []


def test_flush_that_changes_no_link_adds_no_statement(
    filled: Any, host: Session, engine: Engine
) -> None:
    article = filled[2]
    article.headline = "Another"
    with recorded(engine) as executed:
        host.flush()
    assert executed.verbs == ["UPDATE article"]


def test_paused_block_repairs_changed_links(filled: Any, host: Session) -> None:
    one, two, article, free = filled
    with magazine.pause(host):
        host.add(comment(9, thread=one))
        free.thread = two
        host.add(Article(thread=thread_of(5, 5)))
        host.flush()
        assert stored(host.connection())[article.id][:2] == (2, 5)
    assert_exact(host)
    with magazine.pause(host):
        article.thread = None
        host.delete(two)
    assert_exact(host)


def test_links_set_by_raw_sql_are_found_and_repaired(
    filled: Any, host: Session, engine: Engine
) -> None:
    _one, two, _article, free = filled
    host.connection().execute(
        update(Article.__table__).where(Article.__table__.c.id == free.id).values(thread_id=two.id)
    )
    with magazine.pause(host) as pause:
        pause.touch(Article, free.id)
    assert_exact(host)
    host.connection().execute(update(Article.__table__).values(comment_count=50, words=60))
    host.commit()
    with engine.connect() as connection:
        drifts = [drift for drift in magazine.verify(connection) if "Article" in drift.counter]
        assert len(drifts) == 4
    with engine.connect() as connection:
        magazine.rebuild(connection)
    host.expire_all()
    assert_exact(host)


def test_rebuild_of_the_thread_reaches_the_article(
    filled: Any, host: Session, engine: Engine
) -> None:
    one = filled[0].id
    host.rollback()
    with engine.begin() as connection:
        for table in (Thread.__table__, Article.__table__):
            connection.execute(text(f"UPDATE {table.name} SET comment_count = 77"))
        connection.execute(text("UPDATE issue SET comments = 77"))
    with engine.connect() as connection:
        magazine.rebuild(connection, only=[Thread.comment_count], where=Thread.id == one)
    with engine.connect() as connection:
        stored_values = {**{drift.counter: drift.stored for drift in magazine.verify(connection)}}
        numbers = stored(connection)
    assert stored_values["Thread.comment_count"] == 77
    assert sorted(item.comment_count for item in numbers.values()) == [2, 77]


@pytest.mark.parametrize("number", [2, 20])
def test_cost_of_links_does_not_depend_on_their_number(
    host: Session, engine: Engine, number: int
) -> None:
    threads = [thread_of(2, 3) for _ in range(2 * number)]
    articles = [Article(thread=thread) for thread in threads[:number]]
    host.add_all([*threads, *articles])
    host.commit()
    with recorded(engine) as executed:
        for article, thread in zip(articles, threads[number:], strict=True):
            article.thread = thread
        host.flush()
    reads = [verb for verb in executed.verbs if verb.startswith("SELECT")]
    on_postgresql = engine.dialect.name == "postgresql"  # several rows are locked in order there
    assert len(reads) == (5 if on_postgresql else 4)
    assert executed.verbs.count("UPDATE tallied_thread") == 1
    assert executed.verbs.count("UPDATE article") == 3  # the first is the ORM's own
    with recorded(engine) as executed:
        host.add_all(comment(4, thread_id=thread.id) for thread in threads[number:])
        host.flush()
    assert executed.verbs.count("UPDATE article") == 1
    assert executed.verbs.count("UPDATE teaser") == 1
    assert_exact(host)
