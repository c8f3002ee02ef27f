"""``lambda_stmt()`` is counted like the statement that it builds, with its current values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, lambda_stmt, select, text, update
from sqlalchemy.orm import Session
from support.forum import FIRST, ROWS, SECOND, Author, Comment, Thread, forum, rows
from support.forum import session as session
from support.pairs import assert_verified

from tallied.errors import UncountedStatementError


def stored(session: Session) -> list[tuple[int, int, int | None]]:
    """Return the number of comments, their words and the longest, of each stored thread."""
    assert_verified(session, forum)
    columns = (Thread.comment_count, Thread.words, Thread.longest)
    return [tuple(row) for row in session.execute(select(*columns).order_by(Thread.id))]


def insert_comment(thread: int, words: int) -> Any:
    return lambda_stmt(lambda: insert(Comment).values(thread_id=thread, words=words))


def insert_returning(thread: int, words: int) -> Any:
    return lambda_stmt(
        lambda: insert(Comment).values(thread_id=thread, words=words).returning(Comment.words)
    )


def update_words(thread: int, words: int) -> Any:
    return lambda_stmt(
        lambda: update(Comment).where(Comment.thread_id == thread).values(words=words)
    )


def update_in_parts(thread: int, words: int) -> Any:
    statement = lambda_stmt(lambda: update(Comment).values(words=Comment.words + words))
    statement += lambda statement_: statement_.where(Comment.thread_id == thread)
    return statement + (lambda statement_: statement_.where(Comment.words < 6))


def update_where_lambda(thread: int, words: int) -> Any:
    return update(Comment).where(lambda: Comment.thread_id == thread).values(words=words)


def update_spoiled(thread: int, words: int) -> Any:
    return update_words(thread, words).spoil()


def delete_words(thread: int, words: int) -> Any:
    return lambda_stmt(
        lambda: delete(Comment).where(Comment.thread_id == thread, Comment.words >= words)
    )


def delete_by_table(thread: int, words: int) -> Any:
    table = Comment.__table__
    return lambda_stmt(
        lambda: table.delete().where(table.c.thread_id == thread, table.c.words >= words)
    )


FORMS: dict[Callable[[int, int], Any], tuple[tuple[int, int], list[Any], tuple[int, int], Any]] = {
    insert_comment: ((FIRST, 8), [(3, 15, 8), (3, 13, 6)], (SECOND, 9), [(3, 15, 8), (4, 22, 9)]),
    insert_returning: ((FIRST, 8), [(3, 15, 8), (3, 13, 6)], (SECOND, 9), [(3, 15, 8), (4, 22, 9)]),
    update_words: ((FIRST, 8), [(2, 16, 8), (3, 13, 6)], (SECOND, 2), [(2, 16, 8), (3, 6, 2)]),
    update_spoiled: ((FIRST, 8), [(2, 16, 8), (3, 13, 6)], (SECOND, 2), [(2, 16, 8), (3, 6, 2)]),
    update_where_lambda: (
        (FIRST, 8),
        [(2, 16, 8), (3, 13, 6)],
        (SECOND, 2),
        [(2, 16, 8), (3, 6, 2)],
    ),
    update_in_parts: (
        (FIRST, 10),
        [(2, 27, 15), (3, 13, 6)],
        (SECOND, 20),
        [(2, 27, 15), (3, 53, 24)],
    ),
    delete_words: ((FIRST, 3), [(1, 2, 2), (3, 13, 6)], (SECOND, 5), [(1, 2, 2), (2, 7, 4)]),
    delete_by_table: ((FIRST, 3), [(1, 2, 2), (3, 13, 6)], (SECOND, 5), [(1, 2, 2), (2, 7, 4)]),
}
"""The function that builds a statement, with arguments and results of two executions."""


@pytest.mark.sampled
@pytest.mark.parametrize("make", FORMS, ids=lambda make: make.__name__)
def test_lambda_statement_is_counted_with_its_values(session: Session, make: Any) -> None:
    first, then, second, finally_ = FORMS[make]
    for arguments, expected in ((first, then), (second, finally_)):
        result = session.execute(make(*arguments))
        if make is insert_returning:
            assert result.scalars().all() == [arguments[1]]
        assert stored(session) == expected


@pytest.mark.parametrize("keys", [(FIRST, 2), (SECOND, 3)])
def test_lambda_delete_counts_its_cascade(session: Session, keys: tuple[int, int]) -> None:
    thread, deleted_ids = keys
    author = session.scalars(select(Author)).one()
    session.execute(lambda_stmt(lambda: delete(Thread).where(Thread.id == thread)))
    assert_verified(session, forum)
    assert author.comment_count == 5 - deleted_ids
    assert author.words == 20 - sum(words for key, words in ROWS if key == thread)


def refused(thread: int) -> dict[str, tuple[str, Any]]:
    deleted = delete(Comment).where(Comment.thread_id == thread).returning(Comment.id)
    return {
        "counter": (
            r"UPDATE of Thread would assign Thread\.words",
            lambda_stmt(lambda: update(Thread).where(Thread.id == thread).values(words=50)),
        ),
        "key": (
            "UPDATE of Comment by statement changes primary keys",
            lambda_stmt(lambda: update(Comment).values(id=Comment.id + 50)),
        ),
        "from_statement": (
            "DELETE of comment within another statement",
            lambda_stmt(lambda: select(Comment.id).from_statement(deleted)),
        ),
        "returning in from_statement": (
            "DELETE of comment within another statement",
            select(Comment).from_statement(deleted.returning(Comment)),
        ),
    }


@pytest.mark.sampled
@pytest.mark.parametrize("name", refused(FIRST))
def test_lambda_statement_that_cannot_be_counted_is_refused(session: Session, name: str) -> None:
    why, statement = refused(FIRST)[name]
    with pytest.raises(UncountedStatementError, match=f"^{why}"):
        session.execute(statement)
    assert rows(session.connection()) == sorted(ROWS)
    assert_verified(session, forum)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_lambda_delete_in_a_cte_is_refused(session: Session) -> None:
    thread = FIRST

    def deleted_ids() -> Any:
        deleted = delete(Comment).where(Comment.thread_id == thread).returning(Comment.id)
        return select(deleted.cte("gone").c.id)

    for statement in (
        deleted_ids(),
        lambda_stmt(lambda: deleted_ids()),
        lambda_stmt(deleted_ids).spoil(),
    ):
        with pytest.raises(UncountedStatementError, match="DELETE of comment within another"):
            session.execute(statement)
    assert rows(session.connection()) == sorted(ROWS)


def test_lambda_select_passes(session: Session) -> None:
    for words, expected in ((4, 3), (5, 2)):
        long = lambda_stmt(lambda: select(Comment).where(Comment.words >= words))  # noqa: B023
        assert len(session.scalars(long).all()) == expected
    typed = text("SELECT id, words FROM comment WHERE words > 5").columns(Comment.id, Comment.words)
    assert [
        comment.words for comment in session.scalars(select(Comment).from_statement(typed))
    ] == [6]
