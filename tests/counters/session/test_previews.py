"""Contract point 1: memory shows a change at once, with no SQL; the flush has the last word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session, selectinload
from support.comments import comment, stored_thread
from support.recount import assert_exact, shown
from support.statements import Statements, recorded

from tallied.models import Thread


@pytest.fixture
def thread(session: Session) -> Thread:
    """A stored thread with three comments of 2, 3 and 4 words, all of it loaded."""
    key = stored_thread(session, 2, 3, 4).id
    session.commit()
    options = [selectinload(Thread.comments)]
    return session.get_one(Thread, key, options=options, populate_existing=True)


@pytest.fixture
def other(session: Session, thread: Thread) -> Thread:
    """A second stored thread, with comments of 5 and 6 words."""
    return stored_thread(session, 5, 6)


@pytest.fixture
def executed(engine: Engine, thread: Thread, other: Thread) -> Iterator[Statements]:
    """The statements executed; a preview executes none."""
    with recorded(engine) as executed:
        yield executed


def test_new_thread_starts_empty() -> None:
    assert shown(Thread(title="New")) == (0, 0, None)


def edit(thread: Thread, other: Thread) -> None:
    thread.comments[0].message = "now there are five words"
    assert shown(thread)[:2] == (3, 12)
    thread.comments[0].message = "or three words"


def replace(thread: Thread, other: Thread) -> None:
    thread.comments = [thread.comments[0], comment(6)]


PREVIEWS: dict[str, tuple[Callable[[Thread, Thread], Any], tuple[int, int], tuple[int, int]]] = {
    "append": (lambda t, o: t.comments.append(comment(5)), (4, 14), (2, 11)),
    "edit": (edit, (3, 10), (2, 11)),
    "move": (lambda t, o: setattr(t.comments[2], "thread", o), (2, 5), (3, 15)),
    "move by key": (lambda t, o: setattr(t.comments[2], "thread_id", o.id), (2, 5), (3, 15)),
    "remove": (lambda t, o: t.comments.remove(t.comments[1]), (2, 6), (2, 11)),
    "replace the collection": (replace, (2, 8), (2, 11)),
}
"""Changes of two threads, and the comments and words that each shows at once."""


@pytest.mark.sampled
@pytest.mark.parametrize("name", PREVIEWS)
def test_change_is_counted_at_once(
    session: Session, thread: Thread, other: Thread, executed: Statements, name: str
) -> None:
    change, *expected = PREVIEWS[name]
    change(thread, other)
    assert [shown(thread)[:2], shown(other)[:2]] == expected
    assert executed == []
    session.flush()
    assert_exact(session, thread, other)


def test_appended_comment_shows_its_time_at_once(thread: Thread) -> None:
    thread.comments.append(new := comment(5))
    assert shown(thread).last_comment_at == new.created_at


def test_comment_created_with_thread_is_counted_at_once(
    thread: Thread, executed: Statements
) -> None:
    comment(2, thread=thread)
    assert shown(thread)[:2] == (4, 11)
    assert executed == []


def test_edits_of_a_new_comment_are_counted_once(session: Session, thread: Thread) -> None:
    new = comment("two words", thread=thread)
    new.message = "three words here"
    session.add(new)
    assert shown(thread)[:2] == (4, 12)
    session.flush()
    assert_exact(session, thread)


def test_later_time_shows_at_once_and_earlier_at_the_flush(
    session: Session, thread: Thread
) -> None:
    latest = max(thread.comments, key=lambda comment: comment.created_at)
    latest.created_at += timedelta(days=2)
    assert shown(thread).last_comment_at == latest.created_at
    session.flush()
    assert_exact(session, thread)
    latest.created_at -= timedelta(days=9)
    session.flush()
    assert_exact(session, thread)
    assert shown(thread).last_comment_at > latest.created_at


def test_comment_never_added_is_reverted_by_the_flush(session: Session, thread: Thread) -> None:
    comment("never added to a session", thread=thread)
    assert shown(thread)[:2] == (4, 14)
    with pytest.warns(SAWarning, match="not in session"):
        session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (3, 9)


def test_expunged_edit_is_reverted_by_the_flush(session: Session, thread: Thread) -> None:
    first = thread.comments[0]
    first.message = "an edit that is never written"
    assert shown(thread)[:2] == (3, 13)
    session.expunge(first)
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (3, 9)


def test_expunged_comment_is_reverted_by_the_flush(session: Session, thread: Thread) -> None:
    new = comment("expunged before it was ever written", thread_id=thread.id)
    session.add(new)
    assert shown(thread)[:2] == (4, 15)
    session.expunge(new)
    session.flush()
    assert_exact(session, thread)


def test_unloaded_counter_is_not_loaded_by_an_edit(
    session: Session, thread: Thread, executed: Statements
) -> None:
    session.expire(thread, ["word_count"])
    first = thread.comments[0]
    first.message = "four words this time"
    assert "word_count" not in vars(thread)
    assert executed == []
    session.flush()
    assert_exact(session, thread)


def test_edit_of_an_expired_comment_loads_nothing(
    session: Session, thread: Thread, executed: Statements
) -> None:
    first = thread.comments[0]
    session.expire(first)
    executed.clear()
    first.message = "now it has seven words in all"
    assert executed == []
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (3, 14)


def test_plain_session_shows_no_preview(engine: Engine, session: Session, thread: Thread) -> None:
    thread_id = thread.id
    session.commit()
    with Session(engine) as plain:
        uncounted = plain.get_one(Thread, thread_id)
        comment("in a plain session", thread=uncounted)
        assert shown(uncounted)[:2] == (3, 9)
