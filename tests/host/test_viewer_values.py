"""A policy's condition that is built once has the values of each viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased
from support.host import ADA, BOB, Host, key
from support.plans import PlannedApi
from support.statements import Budget

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.host.access import Access, HostRules
from tallied.host.policy import Policy, viewer_value
from tallied.models import Author, Thread
from tallied.resolvers import views

TITLES = "{ threads { totalCount nodes { title } } }"
ROWS = """query Rows($t: ID!, $c: ID!) {
    thread(id: $t) { title comments(first: 1) { nodes { message } } }
    comment(id: $c) { message }
    nodes(ids: [$t, $c]) { id }
}"""


class ByName(Policy):
    """Everybody reads the open thread, and their own by its title."""

    condition = or_(Thread.title == "open", Thread.title == viewer_value("name"))

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return self.condition


class Own(Policy):
    condition = Thread.author_id == viewer_value("author_id")

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return self.condition


@dataclass(frozen=True)
class Member(Viewer):
    """A viewer with an attribute of the host's."""

    motto: str = ""
    subjects: list[str] = field(default_factory=list)

    @property
    def key(self) -> Any:
        """What only Tallied knows, by another name."""
        return self.author_id


class ByMotto(ByName):
    condition = Thread.title == viewer_value("motto")


async def test_each_viewer_has_own_values_in_one_condition(database: Database) -> None:
    host = Host(database, policy=ByName())
    ids = {}
    for client, title in ((host.ada, "Ada"), (host.bob, "Bob"), (host.ada, "open")):
        id = await client.thread(title)
        ids[title] = {"t": id, "c": await client.comment(id)}
    api = PlannedApi(database, HostRules(policy=ByName()))
    for viewer in (ADA, BOB, ADA):
        for ask in (api, api.by_core):
            answer = (await ask(TITLES, viewer=viewer))["data"]["threads"]
            titles = {node["title"] for node in answer["nodes"]}
            assert titles == {"open", viewer.name}
            assert answer["totalCount"] == 2
            for title in ("Ada", "Bob"):
                data = (await ask(ROWS, viewer=viewer, **ids[title]))["data"]
                is_readable = title == viewer.name
                assert (data["thread"] is not None) == is_readable
                assert (data["comment"] is not None) == is_readable
                assert (data["nodes"] == [None, None]) != is_readable
    assert api.counts.executed == 9
    assert not api.counts.failed
    assert not api.counts.guarded


class Changing(ByName):
    """A policy whose answer changes from request to request."""

    answers: list[Any]

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> Any:
        return self.answers.pop(0)


async def test_policy_is_asked_by_each_request(database: Database) -> None:
    await Host(database).ada.thread("Ada")
    policy = Changing()
    policy.answers = [True, policy.condition, False, policy.condition, True]
    api = PlannedApi(database, HostRules(policy=policy))
    counts = [
        (await api(TITLES, viewer=viewer))["data"]["threads"]["totalCount"]
        for viewer in (BOB, ADA, ADA, BOB, BOB)
    ]
    assert counts == [1, 1, 0, 0, 1]
    assert not policy.answers
    assert api.counts.executed == 5


async def test_condition_of_viewer_values_hides_from_writes(database: Database) -> None:
    host = Host(database, policy=ByName())
    id = await host.ada.thread("Ada")
    assert await host.ada.comment(id)
    error = await host.bob.refused("addComment", **host.bob.written(id))
    assert error["code"] == "NOT_FOUND"


async def test_author_of_viewer_value_is_read(database: Database, statements: Any) -> None:
    host = Host(database)
    await host.ada.thread("of Ada")
    await host.bob.thread("of Bob")
    api = PlannedApi(database, HostRules(policy=Own()))
    for viewer, titles in ((ADA, ["of Ada"]), (BOB, ["of Bob"]), (Viewer("new", "Eve"), [])):
        for ask in (api, api.by_core):
            budget = Budget(ask, statements)
            executed = await budget("{ threads { nodes { title } } }", viewer=viewer)
            nodes = budget.answer["data"]["threads"]["nodes"]
            assert [node["title"] for node in nodes] == titles
            assert executed.verbs == ["SELECT tallied_author", "SELECT tallied_thread"]
    assert api.counts.executed == 3


async def test_viewer_value_of_host_class_is_its_attribute(database: Database) -> None:
    host = Host(database)
    id = key(await host.ada.thread("carpe diem"))
    rules = HostRules(policy=ByMotto())
    async with database.read() as connection:
        for motto in ("carpe diem", "panta rhei"):
            access = Access(rules, Member("7", motto=motto))
            view = await views.read_thread(connection, access, id)
            assert (view is not None) == (motto == "carpe diem")


@pytest.mark.parametrize(
    ("viewer", "problem"),
    [(None, "condition for guests"), (Viewer("7"), "the Viewer of get_viewer has no such")],
    ids=["guest", "attribute"],
)
async def test_missing_viewer_value_is_error_of_policy(
    database: Database, viewer: Viewer | None, problem: str
) -> None:
    rules = HostRules(policy=ByMotto())
    with pytest.raises(ConfigurationError, match=problem):
        Access(rules, viewer).read_condition()
    api = PlannedApi(database, rules)
    for ask in (api, api.by_core):
        answer = await ask(TITLES, viewer=viewer)
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


OWN = select(Author.id).where(Author.subject == viewer_value("subject"))
SUBQUERY = OWN.subquery()
OTHER_AUTHOR, OTHER_THREAD = aliased(Author), aliased(Thread)
CONDITIONS: dict[str, ColumnElement[bool]] = {
    "list": Thread.title.in_(viewer_value("subjects")),
    "has": Thread.author.has(Author.subject == viewer_value("subject")),
    "not_has": ~Thread.author.has(Author.subject != viewer_value("subject")),
    "not_has_list": ~Thread.author.has(Author.subject.not_in(viewer_value("subjects"))),
    "has_alias": Thread.author.of_type(OTHER_AUTHOR).has(
        OTHER_AUTHOR.subject == viewer_value("subject")
    ),
    "in_select": Thread.author_id.in_(OWN),
    "in_subquery": Thread.author_id.in_(select(SUBQUERY.c.id)),
    "exists": select(OTHER_THREAD.id)
    .join(OTHER_AUTHOR, OTHER_AUTHOR.id == OTHER_THREAD.author_id)
    .where(OTHER_THREAD.id == Thread.id, OTHER_AUTHOR.id == viewer_value("author_id"))
    .exists(),
}


async def test_property_of_author_has_authors_key(database: Database) -> None:
    host = Host(database)
    await host.ada.thread("of Ada")
    await host.bob.thread("of Bob")
    own_author = select(Author.id).where(Author.id == viewer_value("key"))
    condition = ~own_author.where(Author.id == Thread.author_id).exists()
    api = PlannedApi(database, HostRules(policy=Fixed(condition)))
    for ask in (api, api.by_core):
        answer = (await ask(TITLES, viewer=Member(ADA.subject)))["data"]["threads"]
        assert answer == {"totalCount": 1, "nodes": [{"title": "of Bob"}]}
    assert api.counts.executed == 1


class Fixed(Policy):
    def __init__(self, condition: ColumnElement[bool]) -> None:
        self.condition = condition

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return self.condition


@pytest.mark.parametrize("name", CONDITIONS)
async def test_value_anywhere_in_condition_is_viewers(database: Database, name: str) -> None:
    host = Host(database)
    for client, viewer in ((host.ada, ADA), (host.bob, BOB)):
        await client.thread(viewer.subject)
    api = PlannedApi(database, HostRules(policy=Fixed(CONDITIONS[name])))
    for viewer, others in ((ADA, []), (BOB, ["x", "y"]), (ADA, ["x"])):
        subjects = [viewer.subject, *others]
        member = Member(viewer.subject, viewer.name, subjects=subjects)
        for ask in (api, api.by_core):
            answer = (await ask(TITLES, viewer=member))["data"]["threads"]
            assert [node["title"] for node in answer["nodes"]] == [viewer.subject]
    assert api.counts.executed == 3


async def test_value_that_cannot_be_set_hides_all(database: Database) -> None:
    """Without it, the NOT would show each thread to everybody."""
    await Host(database).ada.thread("of Ada")
    alias = aliased(Author, SUBQUERY)
    own = select(alias.id).where(alias.id == Thread.author_id).exists()
    access = Access(HostRules(policy=Fixed(~own)), ADA)
    with pytest.raises(ConfigurationError, match="an alias of a class"):
        access.read_condition()


async def test_viewer_without_hash_reads_own_threads(database: Database) -> None:
    host = Host(database)
    await host.ada.thread("of Ada")
    await host.bob.thread("of Bob")
    for policy, title in ((ByMotto(), "of Bob"), (Own(), "of Ada")):
        api = PlannedApi(database, HostRules(policy=policy))
        viewer = Member(ADA.subject, motto="of Bob", subjects=[])
        for ask in (api, api.by_core):
            answer = (await ask(TITLES, viewer=viewer))["data"]["threads"]
            assert answer["nodes"] == [{"title": title}]
