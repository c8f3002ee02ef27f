"""Statements that the driver executes directly do what SQLAlchemy's own execution does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, event, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from support.comments import stored_thread
from support.statements import recorded

from tallied.counters.sql import driver
from tallied.counters.sql.driver import DriverStatement
from tallied.models import Thread
from tallied.models.counters import counters

ATTRIBUTES = [attribute.class_attribute for attribute in inspect(Thread).column_attrs]
BY_KEY = DriverStatement(select(*ATTRIBUTES).where(Thread.id == bindparam("thread_id")))


@pytest.fixture
def forbid_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every statement fail that is not executed by the driver."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("executed by SQLAlchemy")

    monkeypatch.setattr("sqlalchemy.engine.Connection.execute", fail)


def test_rows_equal_those_of_sqlalchemy(session: Session) -> None:
    thread = stored_thread(session, 2, 3)
    connection = session.connection()
    expected = connection.execute(BY_KEY.statement, {"thread_id": thread.id}).all()
    rows = BY_KEY.fetch(connection, {"thread_id": thread.id})
    assert [tuple(row) for row in rows] == [tuple(row) for row in expected]
    assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in expected]


@pytest.mark.usefixtures("forbid_sqlalchemy")
def test_plain_transaction_executes_by_driver(session: Session) -> None:
    assert not BY_KEY.fetch(session.connection(), {"thread_id": None})


@pytest.mark.parametrize("name", ["before_execute", "after_execute", "before_cursor_execute"])
def test_observed_engine_executes_by_sqlalchemy(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listener(*_: Any, **__: Any) -> None:
        pass

    def fail(*_: Any) -> None:
        raise AssertionError("executed by the driver")

    monkeypatch.setattr(driver, "execute", fail)
    event.listen(engine, name, listener)
    with engine.begin() as connection:
        assert not BY_KEY.fetch(connection, {"thread_id": None})


def test_recorded_statements_are_those_of_the_driver(session: Session, engine: Engine) -> None:
    comment = stored_thread(session, 2, 3).comments[0]
    session.commit()
    texts: list[str] = []
    original: Callable[..., Any] = driver.execute

    def execute(connection: Any, statement: str, arguments: Any = ()) -> Any:
        texts.append(statement)
        return original(connection, statement, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "execute", execute)
        comment.message = "of five words in all"
        session.flush()
        session.rollback()
    session.refresh(comment)
    with recorded(engine) as statements:
        comment.message = "of five words in all"
        session.flush()
    assert "UPDATE tallied_thread" in texts[-1]
    assert texts == [text for text in statements if text in texts]


def test_error_is_that_of_sqlalchemy(session: Session) -> None:
    stored_thread(session, 1)
    connection = session.connection()
    with pytest.raises(DBAPIError) as expected, connection.begin_nested():
        connection.execute(text("INSERT INTO tallied_thread (id) VALUES (NULL)"))
    with pytest.raises(IntegrityError) as error, connection.begin_nested():
        driver.execute(connection, "INSERT INTO tallied_thread (id) VALUES (NULL)")
    assert str(error.value.orig) == str(expected.value.orig)
    assert not connection.invalidated
    assert not list(counters.verify(connection))
