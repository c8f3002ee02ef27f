"""A viewer's author is read for a policy that asks for it, and for no other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Uuid, bindparam, false
from support.host import ADA, BOB, Host, key
from support.plans import PlannedApi
from support.statements import Budget

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.host.access import HostRules
from tallied.host.policy import Policy
from tallied.models import Thread
from tallied.models.base import new_id

TITLES = "{ threads { nodes { title } } }"


class ByName(Policy):
    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return thread.title == f"of {viewer.name if viewer else None}"


class Own(Policy):
    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        id = viewer.author_id if viewer else None
        return false() if id is None else thread.author_id == id


class OwnOfCopy(Policy):
    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        assert viewer is not None
        return thread.author_id == replace(viewer, name=None).author_id


class OwnLater(Policy):
    """The key is read when the statement is executed."""

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        assert viewer is not None
        own = bindparam("own", callable_=lambda: viewer.author_id, type_=Uuid())
        return thread.author_id == own


class OwnOrFails(Policy):
    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        assert viewer is not None
        if viewer.author_id is None:
            raise LookupError
        return thread.author_id == viewer.author_id


@pytest.mark.parametrize(
    ("policy", "reads"),
    [(ByName(), 0), (Own(), 1), (OwnOfCopy(), 1), (OwnLater(), 1), (OwnOrFails(), 1)],
    ids=["name", "own", "copy", "later", "error"],
)
async def test_author_is_read_only_if_policy_asks(
    database: Database, statements: Any, policy: Policy, reads: int
) -> None:
    host = Host(database)
    await host.ada.thread("of Ada")
    await host.bob.thread("of Bob")
    api = PlannedApi(database, HostRules(policy=policy))
    for viewer in (ADA, BOB):
        for ask in (api, api.by_core):
            budget = Budget(ask, statements)
            executed = await budget(TITLES, viewer=viewer)
            nodes = budget.answer["data"]["threads"]["nodes"]
            assert nodes == [{"title": f"of {viewer.name}"}]
            expected = ["SELECT tallied_author"] * reads + ["SELECT tallied_thread"]
            assert executed.verbs == expected
    assert api.counts.executed == 2


@dataclass(frozen=True)
class Reader(Viewer):
    """A viewer of a host, whose key of an author is always the host's."""

    author_id: Any = None


async def test_author_key_of_host_class_stays_its_own(database: Database) -> None:
    host = Host(database)
    thread = key(await host.ada.thread("of Ada"))
    api = PlannedApi(database, HostRules(policy=Own()))
    for id, titles in ((None, [{"title": "of Ada"}]), (new_id(), [{"title": "of Ada"}])):
        answer = await api(TITLES, viewer=Reader(ADA.subject, author_id=id))
        assert answer["data"]["threads"]["nodes"] == titles
    assert Reader("x", author_id=thread).author_id == thread
