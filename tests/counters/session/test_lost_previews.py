"""A preview ends with what it was shown for: the object's session, its memory, its savepoint."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, inspect
from sqlalchemy.orm import Session, make_transient
from support.comments import comment, committed_thread, stored_thread
from support.recount import assert_exact, shown

from tallied.models import Comment, Thread


@pytest.fixture
def thread(session: Session) -> Thread:
    """A stored thread with two comments, of 2 and 3 words."""
    return committed_thread(session)


@pytest.fixture
def copy(session: Session, thread: Thread) -> Thread:
    """A new object of whose counters memory has nothing, as one that was expired and made new."""
    session.expire(thread)
    make_transient(thread)
    thread.id, thread.title = None, "Copy"  # type: ignore[assignment]
    session.add(thread)
    assert "comment_count" not in inspect(thread).dict
    return thread


def test_new_object_without_counters_shows_none_when_expunged(
    session: Session, copy: Thread
) -> None:
    copy.comments.append(comment(4))
    assert shown(copy)[:2] == (1, 4)
    session.expunge(copy)
    assert "comment_count" not in inspect(copy).dict


def test_expired_object_stays_expired_when_expunged(session: Session, thread: Thread) -> None:
    session.add(comment(4, thread=thread))
    assert shown(thread)[:2] == (3, 9)
    session.expire(thread, ["comment_count", "word_count"])
    session.expunge(thread)
    assert "comment_count" not in inspect(thread).dict


def test_expired_object_shows_stored_values_after_the_flush(
    session: Session, thread: Thread
) -> None:
    session.add(comment(4, thread=thread))
    session.expire(thread, ["comment_count", "word_count"])
    session.flush()
    assert shown(thread)[:2] == (3, 9)
    assert_exact(session)


def test_expunged_object_keeps_what_it_showed_at_the_rollback(
    session: Session, thread: Thread
) -> None:
    id = thread.id
    session.expunge_all()
    with session.begin_nested() as savepoint:
        session.add(comment(4, thread_id=id))
        session.flush()  # before the thread is loaded
        thread = session.get_one(Thread, id)
        session.add(comment(5, thread_id=id))
        session.flush()
        session.expunge(thread)
        savepoint.rollback()
    assert shown(thread)[:2] == (4, 14)
    assert shown(session.get_one(Thread, id))[:2] == (2, 5)


def longer_comment(session: Session, thread: Thread) -> Comment:
    """Load the comments of the thread, and return the one of 3 words."""
    session.refresh(thread, ["comments"])
    return next(item for item in thread.comments if item.word_count == 3)


@pytest.mark.parametrize("by_statement", [False, True])
@pytest.mark.parametrize("change", ["remove", "move", "edit"])
def test_deleted_object_shows_in_no_parent(
    session: Session, thread: Thread, by_statement: bool, change: str
) -> None:
    """Until the commit it is an object of the session still, but no flush will write it."""
    other = stored_thread(session, 2, 3)
    deleted = longer_comment(session, thread)
    assert shown(thread)[:2] == shown(other)[:2] == (2, 5)
    if by_statement:
        session.execute(delete(Comment).where(Comment.id == deleted.id))
    else:
        session.delete(deleted)
        session.flush()
    if change == "remove":
        thread.comments.remove(deleted)
    elif change == "move":
        deleted.thread = other
    else:
        deleted.message = "now there are five words"
    assert (shown(thread)[:2], shown(other)[:2]) == ((1, 2), (2, 5))
    session.flush()
    assert_exact(session)


def test_deletion_that_is_rolled_back_shows_again(session: Session, thread: Thread) -> None:
    deleted = longer_comment(session, thread)
    with session.begin_nested() as savepoint:
        session.delete(deleted)
        session.flush()
        savepoint.rollback()
    assert shown(thread)[:2] == (2, 5)
    deleted.message = "four words in it"
    assert shown(thread)[:2] == (2, 6)
    assert_exact(session)
