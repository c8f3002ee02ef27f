"""Objects that change their state without a flush: transient, detached, merged, moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, make_transient, make_transient_to_detached
from support.forum import FIRST, SECOND, Author, Comment, ForumSession, Thread, forum
from support.forum import session as session
from support.pairs import assert_verified
from support.versions import needs_sqlalchemy_2_1

pytestmark = pytest.mark.filterwarnings("ignore:Object of type <Comment> not in session")


def copy(session: Session, comment: Comment) -> None:
    make_transient(comment)
    comment.id = None  # type: ignore[assignment]
    session.add(comment)


def forget(session: Session, comment: Comment) -> None:
    comment.words = 9
    make_transient(comment)


def bring_back_elsewhere(session: Session, comment: Comment) -> None:
    session.delete(comment)
    session.flush()
    make_transient(comment)
    comment.thread_id = SECOND
    session.add(comment)


def edit_unread(session: Session, comment: Comment) -> None:
    session.expunge(comment)
    unread = Comment(id=comment.id, thread_id=FIRST, words=comment.words)
    make_transient_to_detached(unread)
    session.add(unread)
    unread.words = 8


def delete_unread(session: Session, comment: Comment) -> None:
    session.expunge(comment)
    unread = Comment(id=comment.id)
    make_transient_to_detached(unread)
    session.add(unread)
    session.delete(unread)


def give_up_a_new_one(session: Session, comment: Comment) -> None:
    new = Comment(thread=comment.thread, words=7)
    session.add(new)
    make_transient(new)


def edit_in_another_session(session: Session, comment: Comment) -> None:
    session.expire(comment, ["thread"])
    session.refresh(comment, ["words"])
    session.expunge(comment)
    session.commit()
    with ForumSession(session.get_bind()) as other:
        other.add(comment)
        comment.words = 11
        other.commit()
    session.expire_all()


def merge_several(session: Session, comment: Comment) -> None:
    moved = Comment(id=comment.id, thread_id=SECOND, words=12, author_id=comment.author_id)
    session.merge_all([moved, Comment(thread_id=FIRST, words=20)])


def merge_unread(session: Session, comment: Comment) -> None:
    session.expunge(comment)
    session.merge(comment, load=False).words = 6


def delete_several(session: Session, comment: Comment) -> None:
    session.delete_all(session.scalars(select(Comment).where(Comment.thread_id == FIRST)).all())


CASES: dict[Callable[[Session, Comment], None], tuple[Any, Any, Any]] = {
    copy: ((3, 9), (3, 13), (6, 22)),
    forget: ((2, 7), (3, 13), (5, 20)),
    bring_back_elsewhere: ((1, 5), (4, 15), (5, 20)),
    edit_unread: ((2, 13), (3, 13), (5, 26)),
    delete_unread: ((1, 5), (3, 13), (4, 18)),
    give_up_a_new_one: ((2, 7), (3, 13), (5, 20)),
    edit_in_another_session: ((2, 16), (3, 13), (5, 29)),
    merge_several: ((2, 25), (4, 25), (5, 30)),
    merge_unread: ((2, 11), (3, 13), (5, 24)),
    delete_several: ((0, 0), (3, 13), (3, 13)),
}
"""The comments and words of the first thread, the second, and the author afterwards."""

NEW_METHODS = (merge_several, delete_several)
"""These use what sessions have since SQLAlchemy 2.1."""


@pytest.mark.sampled
@pytest.mark.parametrize(
    "act",
    [pytest.param(act, marks=needs_sqlalchemy_2_1 if act in NEW_METHODS else ()) for act in CASES],
)
def test_object_that_changes_its_state_is_counted_as_its_row(
    session: Session, act: Callable[[Session, Comment], None]
) -> None:
    threads = [session.get_one(Thread, key) for key in (FIRST, SECOND)]
    author = session.scalars(select(Author)).one()
    comment = session.scalars(select(Comment).where(Comment.words == 2)).one()
    assert comment.thread is threads[0]
    assert author.comment_count == 5
    act(session, comment)
    assert_verified(session, forum)
    shown = tuple((thread.comment_count, thread.words) for thread in (*threads, author))
    assert shown == CASES[act]


def test_copied_parent_starts_without_sources(session: Session) -> None:
    thread = session.get_one(Thread, SECOND)
    assert (thread.comment_count, thread.longest) == (3, 6)
    make_transient(thread)
    thread.id = None  # type: ignore[assignment]
    thread.comments = [Comment(words=4), Comment(words=5)]
    session.add(thread)
    assert_verified(session, forum)
    assert (thread.comment_count, thread.words, thread.longest) == (2, 9, 5)
    assert session.get_one(Thread, SECOND).words == 13
