"""Contract point 7: a rollback restores the counters in memory, too."""

from __future__ import annotations

from contextlib import nullcontext
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from support.comments import comment, stored_thread, thread_of
from support.recount import assert_exact, shown

from tallied.counters.session.savepoints import Savepoint
from tallied.models import Thread


@pytest.fixture
def thread(session: Session) -> Thread:
    """A stored thread with three comments of 2, 3 and 4 words."""
    return stored_thread(session, 2, 3, 4)


@pytest.mark.parametrize("state", ["flushed", "unflushed", "released"])
def test_rolled_back_savepoint_restores_memory(
    session: Session, thread: Thread, state: str
) -> None:
    before = shown(thread)
    savepoint = session.begin_nested()
    inner = session.begin_nested() if state == "released" else None
    session.add(comment("five words that go again", thread_id=thread.id))
    if inner is not None:
        inner.commit()
    elif state == "flushed":
        session.flush()
    assert shown(thread)[:2] == (4, 14)
    savepoint.rollback()
    assert shown(thread) == before
    session.flush()
    assert_exact(session, thread)


def test_released_savepoint_keeps_its_changes(session: Session, thread: Thread) -> None:
    with session.begin_nested():
        session.add(comment("five words that stay here", thread_id=thread.id))
    assert shown(thread)[:2] == (4, 14)
    assert_exact(session, thread)


def test_edit_move_and_delete_are_reverted_with_savepoint(session: Session, thread: Thread) -> None:
    other = stored_thread(session, 5, 2)
    before = shown(thread), shown(other)
    first, second, third = thread.comments
    savepoint = session.begin_nested()
    first.message = "edited to six words in all"
    second.thread_id = other.id
    session.delete(third)
    session.flush()
    assert (shown(thread)[:2], shown(other)[:2]) == ((1, 6), (3, 10))
    savepoint.rollback()
    assert (shown(thread), shown(other)) == before
    assert_exact(session, thread, other)


def test_nested_savepoints_restore_memory(session: Session, thread: Thread) -> None:
    outer = session.begin_nested()
    session.add(comment("outer two", thread_id=thread.id))
    session.flush()
    middle = shown(thread)
    inner = session.begin_nested()
    session.add(comment("inner three words", thread_id=thread.id))
    session.flush()
    inner.rollback()
    assert shown(thread) == middle
    assert_exact(session, thread)
    with session.begin_nested():
        session.add(comment("released with four words", thread_id=thread.id))
    assert shown(thread)[:2] == (5, 15)
    outer.rollback()
    assert shown(thread)[:2] == (3, 9)
    assert_exact(session, thread)


def test_failed_flush_in_savepoint_restores_memory(session: Session, thread: Thread) -> None:
    before = shown(thread)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.add(comment("this one is fine", thread_id=thread.id))
        session.add(comment("no author", thread_id=thread.id, author_id=uuid4()))
        assert shown(thread)[:2] == (5, 15)
        session.flush()
    assert shown(thread) == before
    assert_exact(session, thread)


@pytest.mark.parametrize("fails", [True, False])
def test_rolled_back_transaction_restores_memory(
    session: Session, thread: Thread, fails: bool
) -> None:
    session.commit()
    author = {"author_id": uuid4()} if fails else {}
    session.add(comment("five words that go again", thread_id=thread.id, **author))
    with pytest.raises(IntegrityError) if fails else nullcontext():
        session.flush()
    session.rollback()
    session.refresh(thread)
    assert_exact(session, thread)
    assert shown(thread)[:2] == (3, 9)


def test_rolled_back_thread_that_is_added_again_is_exact(session: Session) -> None:
    new = stored_thread(session, 2, 3)
    session.rollback()
    assert shown(new)[:2] == (2, 5)
    new.comments.append(comment("six seven"))
    session.add(new)
    session.flush()
    assert_exact(session, new)
    assert shown(new)[:2] == (3, 7)


def test_thread_created_in_rolled_back_savepoint_changes_nothing(
    session: Session, thread: Thread
) -> None:
    savepoint = session.begin_nested()
    new = thread_of(2, 3)
    session.add(new)
    new.comments.append(thread.comments[0])
    session.flush()
    assert (shown(new)[:2], shown(thread)[:2]) == ((3, 7), (2, 7))
    savepoint.rollback()
    assert shown(thread)[:2] == (3, 9)
    assert_exact(session, thread)


def test_memory_of_rolled_back_savepoint_is_not_written(session: Session, thread: Thread) -> None:
    savepoint = session.begin_nested()
    session.add(comment("five words that go again", thread_id=thread.id))
    session.flush()
    savepoint.rollback()
    session.add(comment("two words", thread_id=thread.id))
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (4, 11)


def test_savepoint_leaves_memory_wrong_without_restore(
    session: Session, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Savepoint, "restore", lambda *_: None)
    savepoint = session.begin_nested()
    session.add(comment("five words that go again", thread_id=thread.id))
    session.flush()
    savepoint.rollback()
    assert shown(thread)[:2] == (4, 14)
    with pytest.raises(AssertionError):
        assert_exact(session, thread)


@pytest.mark.parametrize("released", [False, True], ids=["one savepoint", "an inner one released"])
def test_thread_loaded_within_savepoint_is_fully_restored(
    session: Session, thread: Thread, released: bool
) -> None:
    before, key = shown(thread), thread.id
    session.expunge_all()
    savepoint = session.begin_nested()
    session.add(comment("three words more", thread_id=key))
    session.flush()
    loaded = session.get_one(Thread, key)
    inner = session.begin_nested() if released else None
    session.add(comment("and another four words", thread_id=key))
    session.flush()
    if inner is not None:
        inner.commit()
    assert shown(loaded)[:2] == (5, 16)
    savepoint.rollback()
    assert (loaded.comment_count, loaded.word_count) == before[:2]
    assert_exact(session, loaded)
    session.refresh(loaded)
    assert_exact(session, loaded)


def test_thread_loaded_in_savepoint_is_restored(session: Session, thread: Thread) -> None:
    """It has not changed since it was loaded, unlike above."""
    key = thread.id
    session.commit()
    session.expunge_all()
    savepoint = session.begin_nested()
    session.add(comment("five words that go again", thread_id=key))
    session.flush()
    loaded = session.get_one(Thread, key)
    assert shown(loaded)[:2] == (4, 14)
    savepoint.rollback()
    assert loaded.word_count == 9
    assert_exact(session, loaded)
