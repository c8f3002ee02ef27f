"""Values that only the database knows are counted: expressions, and INSERT from a SELECT."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.orm import Session
from support.forum import FIRST, SECOND, Comment, Thread, forum, rows
from support.forum import session as session
from support.pairs import assert_verified


@pytest.mark.parametrize("is_replaced", [True, False])
def test_value_computed_by_the_database_is_read_back(session: Session, is_replaced: bool) -> None:
    thread = session.get_one(Thread, FIRST)
    assert thread.words == 7
    comment = session.scalars(select(Comment).where(Comment.words == 2)).one()
    comment.words = select(func.length(literal("four"))).scalar_subquery()
    if is_replaced:
        comment.words = 8
    else:
        assert thread.words == 7, "nothing is known of it before the flush"
    assert_verified(session, forum)
    assert thread.words == (13 if is_replaced else 9)


def test_update_by_an_expression_is_counted(session: Session) -> None:
    statement = update(Comment).where(Comment.thread_id == SECOND)
    session.execute(statement.values(words=Comment.words * 2))
    assert_verified(session, forum)
    assert [thread.words for thread in session.scalars(select(Thread).order_by(Thread.id))] == [
        7,
        26,
    ]


def test_insert_from_a_select_is_counted(session: Session) -> None:
    copied = select(literal(FIRST), Comment.words).where(Comment.thread_id == SECOND)
    session.execute(insert(Comment).from_select(["thread_id", "words"], copied))
    assert_verified(session, forum)
    assert session.get_one(Thread, FIRST).words == 20
    of_first = [(FIRST, size) for size in (2, 3, 4, 5, 6)]
    of_second = [(SECOND, size) for size in (3, 4, 6)]
    assert rows(session.connection()) == [*of_first, *of_second]
