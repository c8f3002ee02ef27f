"""Contract point 1: memory shows a change at once, with no SQL, and the flush has the last word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session, selectinload
from support.recount import assert_exact, shown

from tallied.models import Comment, Thread


def comment(message: str, **values: object) -> Comment:
    return Comment(author_name="Ada", message=message, **values)


@pytest.fixture
def thread(session: Session) -> Thread:
    """A stored thread with three comments of 2, 3 and 4 words, all of it loaded."""
    made = Thread(title="Engines")
    made.comments = [comment("one two"), comment("one two three"), comment("one two three four")]
    session.add(made)
    session.commit()
    return session.get_one(
        Thread, made.id, options=[selectinload(Thread.comments)], populate_existing=True
    )


@pytest.fixture
def other(session: Session, thread: Thread) -> Thread:
    """A second stored thread, with comments of 5 and 6 words."""
    made = Thread(title="Looms", comments=[comment("a b c d e"), comment("a b c d e f")])
    session.add(made)
    session.flush()
    return made


@pytest.fixture
def silent(engine: Engine) -> Iterator[list[str]]:
    """The statements executed; a test of previews asserts that there are none."""
    executed: list[str] = []

    def record(conn: object, cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    yield executed
    event.remove(engine, "before_cursor_execute", record)


def test_new_thread_starts_empty() -> None:
    assert shown(Thread(title="New")) == (0, 0, None)


def test_appended_comment_is_counted_at_once(
    session: Session, thread: Thread, silent: list[str]
) -> None:
    new = comment("five more words than before")
    thread.comments.append(new)
    assert shown(thread) == (4, 14, new.created_at)
    assert silent == []
    session.flush()
    assert_exact(session, thread)


def test_comment_created_with_thread_is_counted_at_once(thread: Thread, silent: list[str]) -> None:
    Comment(author_name="Ada", message="two words", thread=thread)
    assert shown(thread)[:2] == (4, 11)
    assert silent == []


def test_edit_is_counted_at_once(session: Session, thread: Thread, silent: list[str]) -> None:
    thread.comments[0].message = "now there are five words"
    assert shown(thread)[:2] == (3, 12)
    thread.comments[0].message = "or three words"
    assert shown(thread)[:2] == (3, 10)
    assert silent == []
    session.flush()
    assert_exact(session, thread)


def test_move_is_counted_on_both_sides_at_once(
    session: Session, thread: Thread, other: Thread, silent: list[str]
) -> None:
    thread.comments[2].thread = other
    assert shown(thread)[:2] == (2, 5)
    assert shown(other)[:2] == (3, 15)
    assert silent == []
    session.flush()
    assert_exact(session, thread, other)


def test_move_by_foreign_key_is_counted_at_once(
    session: Session, thread: Thread, other: Thread, silent: list[str]
) -> None:
    thread.comments[2].thread_id = other.id
    assert shown(thread)[:2] == (2, 5)
    assert shown(other)[:2] == (3, 15)
    assert silent == []
    session.flush()
    assert_exact(session, thread, other)


def test_removal_is_counted_at_once(session: Session, thread: Thread, silent: list[str]) -> None:
    thread.comments.remove(thread.comments[1])
    assert shown(thread)[:2] == (2, 6)
    assert silent == []
    session.flush()
    assert_exact(session, thread)


def test_replaced_collection_is_counted_at_once(
    session: Session, thread: Thread, silent: list[str]
) -> None:
    thread.comments = [thread.comments[0], comment("six words are in this one")]
    assert shown(thread)[:2] == (2, 8)
    assert silent == []
    session.flush()
    assert_exact(session, thread)


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
    latest = max(thread.comments, key=lambda each: each.created_at)
    latest.created_at += timedelta(days=2)
    assert shown(thread).last_comment_at == latest.created_at
    session.flush()
    assert_exact(session, thread)
    latest.created_at -= timedelta(days=9)
    session.flush()
    assert_exact(session, thread)
    assert shown(thread).last_comment_at > latest.created_at


def test_comment_never_added_is_reverted_by_the_flush(session: Session, thread: Thread) -> None:
    Comment(author_name="Ada", message="never added to a session", thread=thread)
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
    session: Session, thread: Thread, silent: list[str]
) -> None:
    session.expire(thread, ["word_count"])
    first = thread.comments[0]
    first.message = "four words this time"
    assert "word_count" not in vars(thread)
    assert silent == []
    session.flush()
    assert_exact(session, thread)


def test_edit_of_an_expired_comment_loads_nothing(
    session: Session, thread: Thread, silent: list[str]
) -> None:
    first = thread.comments[0]
    session.expire(first)
    silent.clear()
    first.message = "now it has seven words in all"
    assert silent == []
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (3, 14)


def test_plain_session_shows_no_preview(engine: Engine, session: Session, thread: Thread) -> None:
    thread_id = thread.id
    session.commit()
    with Session(engine) as plain:
        uncounted = plain.get_one(Thread, thread_id)
        Comment(author_name="Ada", message="in a plain session", thread=uncounted)
        assert shown(uncounted)[:2] == (3, 9)
