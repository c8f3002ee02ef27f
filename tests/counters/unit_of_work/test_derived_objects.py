"""Derived columns of Tallied's comments and threads by assignment."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, inspect, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.attributes import flag_modified
from support.comments import thread_of
from support.recount import assert_exact, shown
from support.sessions import Counted, store_once

from tallied.errors import CounterAssignmentError
from tallied.models import Comment, Thread
from tallied.models.counters import counters

REFUSED = (
    "Comment.word_count is computed from Comment.message and cannot be set to another value: "
    "leave it out, and set Comment.message."
)


def add_thread(session: Session) -> None:
    """Add a thread with comments of 2 and 3 words."""
    thread = thread_of("one two", "three four five")
    thread.title = "Ünder Discussion"
    session.add(thread)


@pytest.fixture
def thread(engine: Engine, session: Session) -> Thread:
    """The thread of `add_thread`, stored and in memory with its comments and counters."""
    store_once(engine, add_thread)
    return session.scalars(select(Thread).options(selectinload(Thread.comments))).one()


def assert_right(session: Session, *threads: Thread) -> None:
    session.flush()
    assert_exact(session, *threads)
    assert list(counters.verify(session.connection())) == []


def test_another_word_count_is_refused(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    for value in (999, 0, None, "2", Comment.word_count + 1, func.length("four")):
        with pytest.raises(CounterAssignmentError) as refused:
            comment.word_count = value  # type: ignore[assignment]
        assert str(refused.value) == REFUSED
    assert (comment.word_count, shown(thread).word_count) == (2, 5)
    assert_right(session, thread)


def test_current_word_count_passes(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    comment.word_count = 2
    comment.message = "now four words long"
    comment.word_count = 4
    assert shown(thread).word_count == 7
    assert_right(session, thread)


def test_listener_of_a_host_sees_computed_values() -> None:
    values: list[Any] = []

    def listener(comment: Comment, value: Any, *_: Any) -> None:
        values.append(value)

    event.listen(Comment.word_count, "set", listener)
    try:
        Comment(message="now four words long")
    finally:
        event.remove(Comment.word_count, "set", listener)
    assert values == [4]


def test_computed_value_of_a_new_object_is_in_its_history() -> None:
    comment = Comment(message="now four words long")
    assert inspect(comment).attrs.word_count.history == ([4], (), ())
    comment.message = "two words"
    assert inspect(comment).attrs.word_count.history == ([2], (), ())


def test_another_folded_title_is_refused(session: Session, thread: Thread) -> None:
    session.refresh(thread)
    with pytest.raises(CounterAssignmentError, match=r"Thread\.title_folded is computed from"):
        thread.title_folded = "SOMETHING ELSE"
    thread.title_folded = "ünder discussion"
    thread.title = "RENAMED"
    assert thread.title_folded == "renamed"
    assert_right(session, thread)


def test_keywords_may_come_in_any_order(session: Session, thread: Thread) -> None:
    rows: list[dict[str, Any]] = [
        {"message": "one two", "word_count": 2},
        {"word_count": 2, "message": "one two"},
        {"message": "one two", "word_count": 0},
        {"word_count": None, "message": "one two"},
    ]
    for row in rows:
        comment = Comment(thread_id=thread.id, author_name="B", **row)
        session.add(comment)
        assert comment.word_count == 2
    assert_right(session, thread)
    assert shown(thread)[:2] == (6, 13)


@pytest.mark.parametrize(
    "row", [{"message": "one two", "word_count": 50}, {"word_count": 50, "message": "one two"}]
)
def test_another_word_count_of_a_new_comment_is_refused(
    session: Session, thread: Thread, row: dict[str, Any]
) -> None:
    with pytest.raises(CounterAssignmentError, match="leave it out"):
        session.add(Comment(thread_id=thread.id, author_name="B", **row))
    assert_right(session, thread)
    assert shown(thread)[:2] == (2, 5)


def test_word_count_without_a_message_is_refused(session: Session, thread: Thread) -> None:
    comment = Comment(thread_id=thread.id, author_name="B", word_count=50)
    assert comment.word_count is None, "nothing is shown that is not known to be right"
    session.add(comment)
    with pytest.raises(CounterAssignmentError, match="leave it out"):
        session.flush()
    session.rollback()
    session.add(Comment(thread_id=thread.id, author_name="B"))
    with pytest.raises(IntegrityError):
        session.flush()


def test_expression_for_the_message_is_refused(session: Session, thread: Thread) -> None:
    for value in (Comment.message + " more", select(literal("x")).scalar_subquery()):
        with pytest.raises(CounterAssignmentError, match="assign the value itself"):
            thread.comments[0].message = value  # type: ignore[assignment]
    assert_right(session, thread)
    assert shown(thread)[:2] == (2, 5)


def test_word_count_beside_unloaded_message_is_refused(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    session.expire(comment, ["message"])
    comment.word_count = 2
    with pytest.raises(CounterAssignmentError):
        comment.word_count = 7
    session.expire(comment)
    with pytest.raises(CounterAssignmentError, match="which is not loaded"):
        comment.word_count = 2
    comment.message = "seven words are in this message now"
    assert_right(session, thread)
    assert shown(thread)[:2] == (2, 10)


def test_last_of_two_messages_is_counted(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    comment.message = "one two three four five six"
    assert shown(thread).word_count == 9
    comment.message = "one two three four"
    assert shown(thread).word_count == 7
    assert_right(session, thread)


def edited_elsewhere(engine: Engine, comment: Any) -> None:
    with Counted(engine) as other:
        other.get_one(Comment, comment).message = "six words from another session now"
        other.commit()


@pytest.mark.parametrize(("name", "words"), [("message", 5), ("word_count", 9)])
def test_stale_word_count_is_not_written_beside_new_message(
    engine: Engine, session: Session, thread: Thread, name: str, words: int
) -> None:
    key = thread.comments[0].id
    session.commit()
    with Counted(engine, expire_on_commit=False) as first:
        stale = first.get_one(Comment, key)
        first.commit()
        edited_elsewhere(engine, key)
        flag_modified(stale, name)
        first.commit()
    session.refresh(thread)
    assert shown(thread).word_count == words
    assert_right(session, thread)


def test_expired_message_reverts_its_words(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    comment.message = "one two three four five six"
    session.expire(comment, ["message"])
    session.flush()
    assert (comment.message, comment.word_count) == ("one two", 2)
    session.refresh(thread, ["word_count", "comment_count", "last_comment_at"])
    assert_right(session, thread)
    comment.message = "one two three four five six"
    session.refresh(comment)
    assert (comment.message, comment.word_count) == ("one two", 2)


def test_detached_comment_is_merged(session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    session.refresh(comment)
    copy = pickle.loads(pickle.dumps(comment))
    comment.message = "one two three four"
    session.flush()
    session.merge(copy)
    assert_right(session, thread)
    assert (comment.message, comment.word_count) == ("one two", 2)
    copy.message = "of five words it is"
    session.merge(copy)
    assert shown(thread).word_count == 8
    session.merge(Comment(id=comment.id, message="merged it has six words now"))
    assert_right(session, thread)
    assert shown(thread).word_count == 9


def spoil(engine: Engine, session: Session, comment: Comment) -> None:
    """Store and count 50 words beside a message of two, as raw SQL may do."""
    with counters.pause(session) as pause:
        wrong = update(Comment.__table__).where(Comment.id == comment.id)
        session.connection().execute(wrong.values(word_count=50))
        pause.touch(Thread, comment.thread_id)
    session.commit()


def test_merged_comment_with_drift_passes(engine: Engine, session: Session, thread: Thread) -> None:
    comment = thread.comments[0]
    spoil(engine, session, comment)
    session.refresh(comment)
    copy = pickle.loads(pickle.dumps(comment))
    assert copy.word_count == 50
    session.merge(copy)
    session.refresh(thread)
    assert_right(session, thread)
    assert (comment.message, comment.word_count) == ("one two", 2)


def test_right_word_count_repairs_a_drifted_row(
    engine: Engine, session: Session, thread: Thread
) -> None:
    comment = thread.comments[0]
    spoil(engine, session, comment)
    session.refresh(thread)
    session.refresh(comment)
    assert shown(thread).word_count == 53
    comment.word_count = 50  # as it is
    comment.word_count = 2  # as it should be
    assert_right(session, thread)
    assert shown(thread).word_count == 5


@pytest.mark.parametrize("is_new", [True, False])
def test_message_changed_by_a_listener_is_counted(
    session: Session, thread: Thread, is_new: bool
) -> None:
    def shorten(target: Comment, value: str, *_: object) -> str:
        return value.removesuffix(" and two more")

    event.listen(Comment.message, "set", shorten, retval=True)
    try:
        text = "four words are left and two more"
        if is_new:
            session.add(Comment(thread_id=thread.id, author_name="B", message=text))
        else:
            thread.comments[0].message = text
        assert_right(session, thread)
    finally:
        event.remove(Comment.message, "set", shorten)
    assert shown(thread).word_count == (9 if is_new else 7)


def test_replaced_word_rule_is_applied(
    session: Session, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comment, "count_words", staticmethod(len))
    comment = Comment(thread_id=thread.id, author_name="B", message="seven.!", word_count=7)
    session.add(comment)
    session.execute(update(Comment).values(message="four"))
    assert session.scalars(select(Comment.word_count)).all() == [4, 4, 4]
    assert list(counters.verify(session.connection())) == []


FORMS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing is changed": ({"message": "one two", "word_count": 2}, True),
    "the message is changed": ({"message": "now it is four", "word_count": 2}, False),
    "the words come first": ({"word_count": 2, "message": "now it is four"}, True),
    "the words are changed": ({"message": "one two", "word_count": 999}, False),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_with_every_column_causes_no_drift(
    session: Session, thread: Thread, form: str
) -> None:
    values, is_accepted = FORMS[form]
    comment = thread.comments[0]
    session.refresh(comment)

    def post() -> None:
        for name, value in values.items():
            setattr(comment, name, value)

    if is_accepted:
        post()
    else:
        with pytest.raises(CounterAssignmentError):
            post()
    assert_right(session, thread)
