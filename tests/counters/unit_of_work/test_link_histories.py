"""Articles that point to threads, threads that come and go, comments: any history ends exact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from sqlalchemy import Engine, delete, update
from support.comments import comment, thread_of
from support.histories import PICKS, SIZES, History
from support.magazine import Article, Host, HostSession, Issue, assert_exact, make_tables, shown
from support.state_machines import run_machine

from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings(
    "ignore:Object of type <Comment> not in session", "ignore:DELETE statement on table"
)

SHOWN = ("comment_count", "words")


class Magazine(History):
    """One session with the counters of the magazine."""

    def __init__(self) -> None:
        session = HostSession(self.engine, autoflush=False, expire_on_commit=False)
        super().__init__(session, [Host.metadata, Base.metadata])

    def teardown(self) -> None:
        self.session.close()
        with HostSession(self.engine) as session:
            assert_exact(session)

    @initialize()
    def begin(self) -> None:
        one, two = Issue(), Issue()
        self.session.add_all([Article(thread=thread_of(2, 3), issue=one), Article(issue=two)])
        self.session.add_all([thread_of(4, 5, 6), thread_of(7), Article(thread=thread_of(8, 9))])
        self.session.commit()

    # Stored objects

    def free_thread(self, pick: int) -> Thread | None:
        """Return a thread that no article points to, since the column is unique."""
        self.flush()
        taken = {article.thread_id for article in self.all(Article)}
        free = [thread for thread in self.all(Thread) if thread.id not in taken]
        return free[pick % len(free)] if free else None

    def by_statement(self, statement: Any) -> None:
        self.flush()
        self.session.execute(statement)
        self.session.expire_all()

    # Operations

    @rule(pick=PICKS, size=SIZES, by_key=st.booleans())
    def add_comment(self, pick: int, size: int, by_key: bool) -> None:
        if (thread := self.one(Thread, pick)) is not None:
            self.all(Article)
            named = {"thread_id": thread.id} if by_key else {"thread": thread}
            self.session.add(comment(size, **named))
            self.touched()

    @rule(pick=PICKS, size=SIZES)
    def edit_comment(self, pick: int, size: int) -> None:
        self.all(Thread), self.all(Article)
        if (result := self.one(Comment, pick)) is not None:
            result.message = "e " * size
            self.touched()

    @rule(pick=PICKS, to=PICKS)
    def move_comment(self, pick: int, to: int) -> None:
        self.flush()
        comment_, thread = self.one(Comment, pick), self.one(Thread, to)
        if comment_ is not None and thread is not None:
            self.all(Article)
            comment_.thread_id = thread.id
            self.touched(shows_at_once=False)

    @rule(pick=PICKS)
    def delete_comment(self, pick: int) -> None:
        if (result := self.one(Comment, pick)) is not None:
            self.session.delete(result)
            self.touched(shows_at_once=False)

    @rule(pick=PICKS)
    def delete_comments_by_statement(self, pick: int) -> None:
        if (thread := self.one(Thread, pick)) is not None:
            key = thread.id
            self.by_statement(delete(Comment).where(Comment.thread_id == key))

    @rule(pick=PICKS, sizes=st.lists(SIZES, max_size=3), is_new=st.booleans())
    def add_article(self, pick: int, sizes: list[int], is_new: bool) -> None:
        thread = thread_of(*sizes) if is_new else self.free_thread(pick)
        article = Article(thread=thread, issue=self.one(Issue, pick))
        self.session.add(article)
        if is_new:
            assert shown(article)[:2] == (len(sizes), sum(sizes))
        self.touched()

    @rule(pick=PICKS, to=PICKS, way=st.sampled_from(["key", "object", "statement"]))
    def point(self, pick: int, to: int, way: str) -> None:
        thread, article = self.free_thread(to), self.one(Article, pick)
        if thread is None or article is None:
            return
        if way == "statement":
            key, article_id = thread.id, article.id
            self.by_statement(update(Article).where(Article.id == article_id).values(thread_id=key))
        elif way == "key":
            article.thread_id = thread.id
        else:
            article.thread = thread
        if way != "statement":
            self.touched()

    @rule(pick=PICKS, by_key=st.booleans())
    def point_nowhere(self, pick: int, by_key: bool) -> None:
        self.flush()
        if (article := self.one(Article, pick)) is not None:
            if by_key:
                article.thread_id = None
            else:
                self.session.expire(article, ["thread"])  # its key may have been assigned since
                article.thread = None
            self.touched()

    @rule(pick=PICKS, to=PICKS)
    def move_article(self, pick: int, to: int) -> None:
        self.flush()
        article, issue = self.one(Article, pick), self.one(Issue, to)
        if article is not None:
            article.issue = issue
            self.touched()

    @rule(pick=PICKS, by_statement=st.booleans(), class_=st.sampled_from([Article, Thread]))
    def delete_row(self, pick: int, by_statement: bool, class_: Any) -> None:
        self.flush()
        if (row := self.one(class_, pick)) is None:
            return
        if by_statement:
            key = row.id
            self.by_statement(delete(class_).where(class_.id == key))
            return
        self.session.delete(row)
        if class_ is Article:
            self.touched(shows_at_once=False)
        else:
            self.session.flush()
            self.session.expire_all()

    # Invariants

    def shown(self) -> dict[Any, Any]:
        articles = [item for item in self.session if isinstance(item, Article)]
        values = [article for article in articles if vars(article).keys() >= set(SHOWN)]
        return {item: [vars(item)[name] for name in SHOWN] for item in values}

    def assert_agrees(self) -> None:
        # The engine's own recount, which takes most of the time, is for the ends of transactions.
        assert_exact(self.session, verified=False)

    def ended(self) -> None:
        assert_exact(self.session)

    def rolled_back_savepoint(self) -> None:
        self.assert_agrees()
        self.session.expire_all()  # pointers that the database has set to NULL are stale


@pytest.mark.slow
def test_any_history_of_links_ends_exact(engine: Engine, is_exhaustive: bool) -> None:
    make_tables(engine)
    run_machine(Magazine, engine=engine, examples=30 if is_exhaustive else 6, steps=25)
