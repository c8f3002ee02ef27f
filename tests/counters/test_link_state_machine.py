"""Articles that point to threads, threads that come and go, comments: any history ends exact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session, SessionTransaction
from support.magazine import (
    Article,
    Host,
    HostSession,
    Issue,
    assert_exact,
    comment,
    make_tables,
    shown,
    thread_of,
)

from tallied.models import Base, Comment, Thread

pytestmark = pytest.mark.filterwarnings(
    "ignore:Object of type <Comment> not in session", "ignore:DELETE statement on table"
)

SIZES = st.integers(min_value=2, max_value=9)
PICKS = st.integers(min_value=0, max_value=1000)
SHOWN = ("comment_count", "words")


class Magazine(RuleBasedStateMachine):
    """One session of the host's."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.savepoints: list[SessionTransaction] = []
        self.flushed = self.shows_at_once = True
        with self.engine.begin() as connection:
            for metadata in (Host.metadata, Base.metadata):
                for table in reversed(metadata.sorted_tables):
                    connection.execute(table.delete())
        self.session: Session = HostSession(self.engine, autoflush=False, expire_on_commit=False)

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

    # What there is

    def all(self, class_: Any) -> list[Any]:
        """Everything that is stored, loaded, and kept so."""
        found = list(self.session.scalars(select(class_).order_by(class_.id)))
        self.kept = [*getattr(self, "kept", [])[-50:], *found]
        return [each for each in found if each not in self.session.deleted]

    def one(self, class_: Any, pick: int) -> Any:
        found = self.all(class_)
        return found[pick % len(found)] if found else None

    def free_thread(self, pick: int) -> Thread | None:
        """A thread that no article points to; the column is unique."""
        self.flush()
        taken = {article.thread_id for article in self.all(Article)}
        free = [thread for thread in self.all(Thread) if thread.id not in taken]
        return free[pick % len(free)] if free else None

    def touched(self, *, shows_at_once: bool = True) -> None:
        self.flushed = False
        self.shows_at_once = self.shows_at_once and shows_at_once

    def by_statement(self, statement: Any) -> None:
        self.flush()
        self.session.execute(statement)
        self.session.expire_all()

    # What is done

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
        if (found := self.one(Comment, pick)) is not None:
            found.message = "e " * size
            self.touched()

    @rule(pick=PICKS, to=PICKS)
    def move_comment(self, pick: int, to: int) -> None:
        self.flush()
        found, thread = self.one(Comment, pick), self.one(Thread, to)
        if found is not None and thread is not None:
            self.all(Article)
            found.thread_id = thread.id
            self.touched(shows_at_once=False)

    @rule(pick=PICKS)
    def delete_comment(self, pick: int) -> None:
        if (found := self.one(Comment, pick)) is not None:
            self.session.delete(found)
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
            key, its = thread.id, article.id
            self.by_statement(update(Article).where(Article.id == its).values(thread_id=key))
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

    @rule(pick=PICKS, by_statement=st.booleans())
    def delete_article(self, pick: int, by_statement: bool) -> None:
        self.flush()
        if (article := self.one(Article, pick)) is None:
            return
        if by_statement:
            key = article.id
            self.by_statement(delete(Article).where(Article.id == key))
        else:
            self.session.delete(article)
            self.touched(shows_at_once=False)

    @rule(pick=PICKS, by_statement=st.booleans())
    def delete_thread(self, pick: int, by_statement: bool) -> None:
        self.flush()
        if (thread := self.one(Thread, pick)) is None:
            return
        if by_statement:
            key = thread.id
            self.by_statement(delete(Thread).where(Thread.id == key))
        else:
            self.session.delete(thread)
            self.session.flush()
            self.session.expire_all()

    @precondition(lambda self: self.flushed)
    @rule()
    def expire(self) -> None:
        self.session.expire_all()

    # Transactions

    @rule()
    def flush(self) -> None:
        articles = [each for each in self.session if isinstance(each, Article)]
        before = {a: [vars(a).get(name) for name in SHOWN] for a in articles}
        self.session.flush()
        if self.shows_at_once:
            for article, values in before.items():
                if None not in values and article in self.session:
                    assert [getattr(article, name) for name in SHOWN] == values
        else:
            self.agrees()
            self.session.expire_all()
        self.flushed = self.shows_at_once = True

    @precondition(lambda self: len(self.savepoints) < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self.savepoints.append(self.session.begin_nested())
        self.flushed = self.shows_at_once = True

    @precondition(lambda self: self.savepoints)
    @rule(rolled_back=st.booleans())
    def end_savepoint(self, rolled_back: bool) -> None:
        savepoint = self.savepoints.pop()
        if rolled_back:
            savepoint.rollback()
            self.agrees()
            self.session.expire_all()  # pointers that the database has set to NULL are stale
        else:
            savepoint.commit()
        self.flushed = self.shows_at_once = True

    @precondition(lambda self: not self.savepoints)
    @rule(rolled_back=st.booleans())
    def end(self, rolled_back: bool) -> None:
        self.session.rollback() if rolled_back else self.session.commit()
        self.flushed = self.shows_at_once = True

    @invariant()
    def agrees(self) -> None:
        if self.flushed:
            assert_exact(self.session)


def test_any_history_of_links_leaves_memory_column_and_recount_equal(engine: Engine) -> None:
    make_tables(engine)
    machine = type("Machine", (Magazine,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
