"""Memory after refreshes, expiries, merges, moves between sessions, and pauses."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from sqlalchemy import Engine, String, insert, select, update
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session, UOWTransaction, mapped_column
from support.forum import FIRST, SECOND, Comment, Forum, ForumSession, Thread, forum
from support.forum import session as session
from support.pairs import assert_verified, install, new_counters, pair

from tallied.counters import Count
from tallied.counters.unit_of_work.pending_changes import PendingChanges


def shown(thread: Thread) -> tuple[int | None, ...]:
    """Return the counters in memory, without loading any."""
    return tuple(vars(thread).get(name) for name in ("comment_count", "words", "longest"))


@pytest.mark.parametrize("how", ["refresh", "deferred"])
def test_partial_load_keeps_the_preview(session: Session, how: str) -> None:
    thread = session.get_one(Thread, SECOND)
    with session.no_autoflush:
        Comment(words=9).thread = thread  # never added to the session
        assert shown(thread) == (4, 22, 9)
        if how == "refresh":
            session.refresh(thread, ["title"])
        else:
            assert thread.body is None
    with pytest.warns(SAWarning, match="not in session"):
        session.flush()
    assert shown(thread) == (3, 13, 6)
    assert_verified(session, forum)


@pytest.mark.sampled
@pytest.mark.parametrize("how", ["refresh", "expire", "populate existing", "expire all", "lock"])
def test_dropped_edit_reverts_its_preview(session: Session, how: str) -> None:
    thread = session.get_one(Thread, FIRST)
    comment = session.scalars(select(Comment).where(Comment.words == 2)).one()
    with session.no_autoflush:
        comment.words = 50
        assert shown(thread) == (2, 55, 50)
        if how == "refresh":
            session.refresh(comment)
        elif how == "expire":
            session.expire(comment)
        elif how == "populate existing":
            query = select(Comment).execution_options(populate_existing=True)
            assert comment in session.scalars(query).all()
        elif how == "expire all":
            session.expire_all()
        else:
            session.refresh(comment, with_for_update=True)
    assert_verified(session, forum)
    assert (thread.comment_count, thread.words, thread.longest) == (2, 7, 5)


def test_move_dropped_by_refresh_is_reverted_in_both_parents(session: Session) -> None:
    first, second = session.get_one(Thread, FIRST), session.get_one(Thread, SECOND)
    comment = session.scalars(select(Comment).where(Comment.words == 2)).one()
    with session.no_autoflush:
        comment.thread_id = SECOND
        assert (shown(first), shown(second)[:2]) == ((1, 5, 5), (4, 15))
        session.refresh(comment)
    assert_verified(session, forum)
    assert (shown(first), shown(second)) == ((2, 7, 5), (3, 13, 6))


def test_expired_edit_is_reverted_without_expire_on_commit(engine: Engine) -> None:
    Forum.metadata.create_all(engine)
    with ForumSession(engine, expire_on_commit=False, autoflush=False) as session:
        thread = Thread(comments=[Comment(words=2), Comment(words=4)])
        session.add(thread)
        session.commit()
        thread.comments[0].words = 50
        session.expire(thread.comments[0])
        session.commit()
        assert_verified(session, forum)
        assert shown(thread) == (2, 6, 4)


def test_parent_moved_to_another_session_is_not_changed(session: Session, engine: Engine) -> None:
    with ForumSession(engine, expire_on_commit=False) as source_session:
        moved, unmoved = (
            source_session.get_one(Thread, FIRST),
            source_session.get_one(Thread, SECOND),
        )
        source_session.commit()
        comment = Comment(words=9)
        source_session.add(comment)
        comment.thread = moved
        source_session.expunge(comment)
        source_session.expunge(moved)
        with ForumSession(engine, expire_on_commit=False) as entered:
            entered.add_all([moved, comment])
            entered.commit()
            assert shown(moved) == (3, 16, 9)
        unmoved.title = "Renamed"
        source_session.commit()
        assert shown(moved) == (3, 16, 9)
    assert_verified(session, forum)


def test_merge_without_load_keeps_the_counters(session: Session) -> None:
    thread = session.get_one(Thread, FIRST)
    session.expunge(thread)
    assert shown(session.merge(thread, load=False)) == (2, 7, 5)


def test_merged_new_parent_shows_its_counters(session: Session) -> None:
    merged = session.merge(Thread(title="New", comments=[Comment(words=4), Comment(words=5)]))
    assert shown(merged)[:2] == (2, 9)
    assert_verified(session, forum)
    assert shown(merged) == (2, 9, 5)


def test_counter_on_two_session_classes_is_previewed_once() -> None:
    Parent, Source = pair()
    for _ in range(2):
        new_counters(Count(Parent.n, via=Source.parent))
    parent = Parent()
    assert [Source(parent=parent).parent.n for _ in range(3)] == [1, 2, 3]


def test_counter_on_class_and_subclass_counts_once(engine: Engine) -> None:
    class Narrower(ForumSession):
        pass

    forum.install(Narrower)
    Forum.metadata.create_all(engine)
    with Narrower(engine) as session:
        thread = Thread()
        session.add(thread)
        session.flush()
        session.execute(insert(Comment).values(thread_id=thread.id, words=2))
        assert_verified(session, forum)
        session.execute(update(Comment).values(words=20))
        assert_verified(session, forum)
        comment = Comment(thread=thread, words=5)
        session.add(comment)
        assert_verified(session, forum)
        with session.begin_nested() as savepoint:
            comment.words = 60
            session.flush()
            assert shown(thread) == (2, 80, 60)
            savepoint.rollback()
        assert_verified(session, forum)
        assert shown(thread) == (2, 25, 20)


def test_session_with_copied_info_has_separate_state(session: Session, engine: Engine) -> None:
    thread = session.get_one(Thread, FIRST)
    savepoint = session.begin_nested()
    session.add(Comment(thread=thread, words=9))
    session.flush()
    other = ForumSession(engine, info=session.info)
    other.add(Thread(comments=[Comment(words=4)]))
    other.rollback()
    other.close()
    assert shown(thread) == (3, 16, 9)
    savepoint.rollback()
    assert_verified(session, forum)
    assert shown(thread) == (2, 7, 5)


def test_paused_blocks_may_be_nested(session: Session) -> None:
    first, second = session.get_one(Thread, FIRST), session.get_one(Thread, SECOND)
    with forum.pause(session):
        session.add(Comment(thread_id=FIRST, words=9))
        session.flush()
        with forum.pause(session):
            session.add(Comment(thread_id=SECOND, words=10))
        session.add(Comment(thread_id=SECOND, words=11))
    assert_verified(session, forum)
    assert (shown(first), shown(second)) == ((3, 16, 9), (5, 34, 11))


def test_failed_paused_block_that_is_committed_leaves_no_drift(session: Session) -> None:
    with pytest.raises(LookupError), forum.pause(session):
        session.add(Comment(thread_id=FIRST, words=9))
        session.flush()
        raise LookupError
    session.commit()
    assert_verified(session, forum)
    assert session.get_one(Thread, FIRST).words == 16


def test_touch_and_returned_accept_a_subclass(engine: Engine) -> None:
    identity = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}
    Parent, Source = pair({"kind": mapped_column(String), "__mapper_args__": identity})
    special = {"__mapper_args__": {"polymorphic_identity": "special"}}
    Special: type[Any] = type("Special", (Parent,), special)
    counters, Own = install(engine, Count(Parent.n, via=Source.parent))
    with Own(engine) as session:
        parent = Special()
        session.add_all([parent, Source(parent=parent)])
        session.flush()
        session.add(Source(parent=parent))
        session.flush()
        assert counters.flushed_values(session, Special, parent.id) == {"n": 2}
        with counters.pause(session) as pause:
            session.connection().execute(insert(Source.__table__), [{"parent_id": parent.id}] * 2)
            pause.touch(Special, parent.id)
        assert_verified(session, counters)
        assert parent.n == 4


@pytest.mark.parametrize("change", ["insert", "edit", "delete", "statement"])
def test_changes_are_freed_without_garbage_collection(session: Session, change: str) -> None:
    comment = session.scalars(select(Comment).where(Comment.words == 2)).one()
    gc.collect()
    gc.disable()
    try:
        if change == "insert":
            session.add(Comment(thread_id=FIRST, words=9))
        elif change == "edit":
            comment.words = 50
        elif change == "delete":
            session.delete(comment)
        else:
            session.execute(insert(Comment).values(thread_id=FIRST, words=9))
        session.flush()
        kept = [o for o in gc.get_objects() if isinstance(o, PendingChanges | UOWTransaction)]
        assert kept == []
    finally:
        gc.enable()
