"""Contract points 2, 5, 6, 8: the counters follow each change that the ORM makes to rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import Session, selectinload
from support.comments import comment, stored_thread, thread_of
from support.recount import assert_exact, drifted, shown

from tallied.errors import CounterAssignmentError, UncountedStatementError
from tallied.models import Author, Comment, Thread
from tallied.models.counters import counters


def replace_key(session: Session, thread: Thread, other: Thread) -> None:
    old = thread.comments[0]
    session.delete(old)
    session.add(comment(6, id=old.id, thread_id=thread.id))


def move_and_edit(session: Session, thread: Thread, other: Thread) -> None:
    moved = thread.comments[1]
    moved.thread = other
    moved.message = "now there are six words here"


def move_there_and_back(session: Session, thread: Thread, other: Thread) -> None:
    moved = thread.comments[1]
    moved.thread = other
    session.flush()
    moved.thread = thread


def merge(session: Session, thread: Thread, other: Thread) -> None:
    session.merge(Comment(id=thread.comments[0].id, message="merged in with six words here"))
    session.merge(comment(2, thread_id=thread.id))


def move_out_and_delete(session: Session, thread: Thread, other: Thread) -> None:
    thread.comments[1].thread = other
    session.flush()
    session.delete(thread)


Change = Callable[[Session, Thread, Thread], Any]
CHANGES: dict[str, tuple[Change, tuple[int, int] | None, tuple[int, int]]] = {
    "nothing": (lambda s, t, o: None, (3, 9), (2, 10)),
    "add by key": (lambda s, t, o: s.add(comment(5, thread_id=t.id)), (4, 14), (2, 10)),
    "delete": (lambda s, t, o: s.delete(t.comments[1]), (2, 6), (2, 10)),
    "delete all": (lambda s, t, o: [s.delete(row) for row in t.comments], (0, 0), (2, 10)),
    "orphan": (lambda s, t, o: setattr(t, "comments", t.comments[:2]), (2, 5), (2, 10)),
    "append to another": (lambda s, t, o: o.comments.append(t.comments[1]), (2, 6), (3, 13)),
    "move and edit": (move_and_edit, (2, 6), (3, 16)),
    "move there and back": (move_there_and_back, (3, 9), (2, 10)),
    "merge": (merge, (4, 15), (2, 10)),
    "replace the key": (replace_key, (3, 13), (2, 10)),
    "delete the thread": (lambda s, t, o: s.delete(t), None, (2, 10)),
    "move out and delete": (move_out_and_delete, None, (3, 13)),
}
"""Changes of threads of 2 + 3 + 4 and 4 + 6 words, and their comments and words afterwards."""


@pytest.mark.sampled
@pytest.mark.parametrize("name", CHANGES)
def test_change_is_counted_at_the_flush(session: Session, name: str) -> None:
    thread, other = stored_thread(session, 2, 3, 4), stored_thread(session, 4, 6)
    change, *expected = CHANGES[name]
    change(session, thread, other)
    session.flush()
    for changed, counters_ in zip((thread, other), expected, strict=True):
        if counters_ is not None:
            assert_exact(session, changed)
            assert shown(changed)[:2] == counters_
    comments = session.scalar(select(func.count()).select_from(Comment))
    assert comments == sum(counters_[0] for counters_ in expected if counters_)


def test_flush_returns_what_it_has_stored(session: Session) -> None:
    thread = stored_thread(session, "one two")
    session.add(comment(3, thread_id=thread.id))
    session.flush()
    others = {"last_seq": 2, "top_level_count": 2, "flagged_count": 0, "pending_count": 0}
    values = counters.flushed_values(session, Thread, thread.id)
    assert values == shown(thread)._asdict() | others


def test_comments_by_key_of_new_thread_are_in_its_insert(session: Session) -> None:
    thread = Thread(title="By key")
    session.add(thread)
    session.add_all(comment("three words each", thread_id=thread.id) for _ in range(4))
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (4, 12)


def test_deletion_of_latest_comment_shows_the_one_before(session: Session) -> None:
    thread = stored_thread(session, "first words", "second words here", "third and last of all")
    before_last = thread.comments[1].created_at
    session.delete(thread.comments[2])
    session.flush()
    assert_exact(session, thread)
    assert shown(thread).last_comment_at == before_last


def test_unloaded_column_is_counted_as_stored(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    key = thread.comments[0].id
    session.expire_all()
    partial = session.get_one(Comment, key)
    session.expire(partial, ["thread_id"])
    partial.message = "six words stand in this one"
    session.flush()
    session.refresh(thread)
    assert_exact(session, thread)


def test_merged_thread_keeps_the_stored_counters(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    session.commit()
    old = session.get_one(Thread, thread.id)
    session.expunge(old)
    session.add(comment("four words come later", thread_id=old.id))
    session.commit()
    assert shown(old)[:2] == (2, 5)
    old.title = "Renamed while detached"
    merged = session.merge(old)
    session.flush()
    session.refresh(merged)
    assert_exact(session, merged)
    assert merged.title == "Renamed while detached"
    assert shown(merged)[:2] == (3, 9)


def test_deleted_and_recreated_thread_keeps_its_comments(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    session.commit()
    session.delete(session.get_one(Thread, thread.id))
    remade = Thread(id=thread.id, title="Remade")
    session.add(remade)
    session.add(comment("four more words here", thread_id=remade.id))
    session.flush()
    assert_exact(session, remade)


def test_deletion_of_a_deleted_comment_is_counted_once(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five", "six")
    victim = thread.comments[1]
    with session.no_autoflush:
        session.connection().execute(delete(Comment.__table__).where(Comment.id == victim.id))
        session.connection().execute(
            update(Thread.__table__)
            .where(Thread.id == thread.id)
            .values(comment_count=Thread.comment_count - 1, word_count=Thread.word_count - 3)
        )
    session.delete(victim)
    with pytest.warns(SAWarning, match="expected to delete"):
        session.flush()
    session.refresh(thread)
    assert_exact(session, thread)
    assert shown(thread)[:2] == (2, 3)


@pytest.mark.slow
def test_thousand_comments_in_hundred_threads_are_counted(session: Session) -> None:
    threads = [Thread(title=f"Thread {n}") for n in range(100)]
    session.add_all(threads)
    session.flush()
    session.add_all(
        comment("word " * (n % 7 + 2), thread_id=threads[n % 100].id) for n in range(1000)
    )
    session.flush()
    assert_exact(session, *threads[::9])
    assert drifted(session.connection()) == 0


def test_changes_of_many_threads_in_one_flush_are_counted(session: Session) -> None:
    threads = [thread_of("one two", "three four five", "six") for _ in range(20)]
    session.add_all(threads)
    session.flush()
    for number, (first, second, third) in enumerate([tuple(t.comments) for t in threads]):
        first.message = "edited to have six words now"
        second.thread = threads[(number + 7) % 20]
        session.delete(third)
    session.flush()
    assert_exact(session, *threads)


def test_other_writers_commits_show_after_the_flush(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    session.connection().execute(
        insert(Comment.__table__).values(
            thread_id=thread.id, author_name="Bo", message="by another", word_count=2
        )
    )
    session.connection().execute(
        update(Thread.__table__)
        .where(Thread.id == thread.id)
        .values(comment_count=Thread.comment_count + 1, word_count=Thread.word_count + 2)
    )
    session.add(comment("and one more", thread_id=thread.id))
    session.flush()
    assert_exact(session, thread)
    assert shown(thread)[:2] == (4, 10)


def test_counter_write_does_not_touch_the_thread_itself(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    updated_at = thread.updated_at
    session.add(comment("three more words", thread_id=thread.id))
    session.flush()
    assert session.scalar(select(Thread.updated_at)) == updated_at


def test_flush_leaves_no_object_modified(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    thread.comments[0].message = "four words it has"
    session.flush()
    assert not session.dirty
    assert not session.is_modified(thread)


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["comment_count", "word_count", "last_comment_at"])
def test_counter_cannot_be_assigned(session: Session, name: str) -> None:
    thread = stored_thread(session, "one two", "three four five")
    with pytest.raises(CounterAssignmentError, match=f"Thread.{name} is kept by its counter"):
        setattr(thread, name, 6)
    with pytest.raises(CounterAssignmentError, match="add, change or delete Comment objects"):
        Thread(title="Six", **{name: 6})
    assert_exact(session, thread)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "statement",
    [
        update(Thread).values(word_count=7),
        update(Thread).values({Thread.comment_count: 7}),
        update(Thread.__table__).values(word_count=7),
        insert(Thread).values([{"title": "T", "word_count": 7}]),
    ],
    ids=str,
)
def test_statement_that_assigns_a_counter_is_refused(session: Session, statement: object) -> None:
    thread = stored_thread(session, "one two", "three four five")
    with pytest.raises(UncountedStatementError, match="kept by its counter"):
        session.execute(statement)
    assert_exact(session, thread)


def test_bulk_parameters_that_set_a_counter_are_refused(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    with pytest.raises(UncountedStatementError, match=r"would assign Thread\.word_count"):
        session.execute(update(Thread), [{"id": thread.id, "word_count": 7}])
    with pytest.raises(UncountedStatementError, match=r"would assign Thread\.word_count"):
        session.execute(insert(Thread), [{"title": "T", "word_count": 7}])


def test_statement_that_sets_no_counter_passes(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    session.execute(update(Thread).values(title="Renamed"))
    session.execute(insert(Thread), [{"title": "Another"}])
    assert session.scalar(select(Thread.title).where(Thread.id == thread.id)) == "Renamed"
    assert drifted(session.connection()) == 0


def test_loading_comments_with_their_thread_changes_nothing(session: Session) -> None:
    thread = stored_thread(session, "one two", "three four five")
    session.commit()
    loaded = session.scalars(select(Thread).options(selectinload(Thread.comments))).one()
    assert shown(loaded)[:2] == (2, 5)
    assert len(thread.comments) == 2


def test_parent_assigned_as_sql_expression_is_counted(session: Session) -> None:
    ada = Author(subject="ada")
    thread = Thread(title="T")
    session.add_all([ada, thread])
    session.flush()
    values = select(Author.id).where(Author.subject == "ada").scalar_subquery()
    for author_id in (values, None, ada.id):
        session.add(
            Comment(
                thread_id=thread.id,
                author_name="A",
                message="three words here",
                author_id=author_id,
            )
        )
    session.add(Comment(thread_id=thread.id, author_name="A", message="one"))  # and by nobody
    session.flush()
    assert (thread.comment_count, ada.comment_count, ada.word_count) == (4, 2, 6)
