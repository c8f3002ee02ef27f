"""A policy that returns neither True nor False allows nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.api import mutation
from support.host import BOB, Host, key

from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.host.policy import Policy
from tallied.models import Thread
from tallied.resolvers import comments, threads, views

from .test_policy import ARTICLES, CHANGES, Stage

METHODS = [name for name in vars(Policy) if name.startswith("may_") and name != "may_read"]


async def no(*_: object) -> bool:
    return False


def policy(method: Any, *names: str) -> Policy:
    """Return one with this method in place of those."""
    kind: type[Policy] = type("Answers", (Policy,), dict.fromkeys(names, method))
    return kind()


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", CHANGES)
async def test_async_policy_allows_nothing(
    database: Database, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(database, policy=policy(lambda *_: no(), *METHODS), targets=[ARTICLES])
    input = await Stage(database).input_of(change, host.bob)
    before = await host.bob.contents()
    error = await host.bob.error(mutation(change), i=input)
    assert error["code"] == "INTERNAL_SERVER_ERROR"
    assert "policy" not in error["message"]
    assert await host.bob.contents() == before
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.exc_info is not None
    assert "must return True or False, not a coroutine; make it a plain" in str(record.exc_info[1])


@pytest.mark.parametrize("answer", [None, 1, "no", []], ids=repr)
async def test_only_true_allows(database: Database, answer: Any) -> None:
    stage = Host(database)
    host = Host(database, policy=policy(lambda *_: answer, *METHODS))
    access, id = host.discussion.access(BOB), key(await stage.ada.thread("Engines"))
    before = await host.ada.contents()
    sentence = rf"^The policy's may_\w+ must return True or False, not a {type(answer).__name__}\.$"
    for work in (
        lambda unit: threads.create_thread(unit, access, "Looms"),
        lambda unit: threads.rename_thread(unit, access, id, "Looms"),
        lambda unit: comments.add_comment(unit, access, id, comments.NewComment("one")),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            await host.discussion.write(work)
    assert await host.ada.contents() == before


@pytest.mark.parametrize("answer", [None, 1, "no", no], ids=["None", "1", "text", "coroutine"])
async def test_may_read_must_be_condition_or_bool(database: Database, answer: Any) -> None:
    stage = Host(database)
    id = key(await stage.ada.thread("Engines"))
    method = policy(lambda *_: no() if answer is no else answer, "may_read")
    access = Host(database, policy=method).discussion.access(BOB)
    sentence = "^The policy's may_read must return a condition on the thread, True or False, not a "
    with pytest.raises(ConfigurationError, match=sentence):
        async with database.read() as connection:
            await views.read_thread(connection, access, id)


@pytest.mark.parametrize(
    "column", [Thread.title != "Engines", Thread.title.is_(None)], ids=["unlike", "null"]
)
async def test_may_read_condition_is_applied(database: Database, column: Any) -> None:
    host = Host(database, policy=policy(lambda *_: column, "may_read"))
    id = key(await Host(database).ada.thread("Engines"))
    async with database.read() as connection:
        assert await views.read_thread(connection, host.discussion.access(BOB), id) is None
