"""Requests that are not the plain case, and documents that are not compiled, go to graphql-core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
import strawberry
from sqlalchemy import ColumnElement, bindparam
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from support.api import Api
from support.plans import PlannedApi

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.execution.requested_fields import Info
from tallied.host.access import HostRules
from tallied.host.policy import Policy
from tallied.models import Thread
from tallied.schema.build import merge_schemas
from tallied.schema.ids import decode_id, encode_id
from tallied.schema.query import Query as TalliedQuery

pytestmark = pytest.mark.sqlite

NEVER = encode_id("Thread", UUID(int=7))
ONE = "query($id: ID!) { thread(id: $id) { title } }"
PAGE = "query($first: Int, $after: String) { threads(first: $first, after: $after) { totalCount } }"
MANY = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
TARGET = "query($target: TargetInput!) { threadFor(target: $target) { id } }"
FILTER = "query($by: ThreadFilter) { threads(filterBy: $by) { totalCount } }"
COMMENTS = """query($id: ID!, $author: ID) { thread(id: $id) {
  comments(filterBy: {authorId: $author}) { totalCount } } }"""
FLAG = "query($flag: Boolean = true) { threads { totalCount @include(if: $flag) } }"

GUARDED: list[tuple[str, dict[str, Any], str]] = [
    (ONE, {}, "variables"),
    (ONE, {"id": None}, "variables"),
    (ONE, {"id": ["x"]}, "variables"),
    (ONE, {"id": "x"}, "id"),
    (ONE, {"id": encode_id("Comment", UUID(int=7))}, "id"),
    (ONE, {"id": NEVER.rstrip("=")}, "id"),
    (PAGE, {"first": "1"}, "variables"),
    (PAGE, {"first": True}, "variables"),
    (PAGE, {"first": 2**31}, "variables"),
    (PAGE, {"first": 0}, "page"),
    (PAGE, {"first": 101}, "page"),
    (PAGE, {"after": "x"}, "page"),
    (MANY, {"ids": [None]}, "variables"),
    (MANY, {"ids": [NEVER, "x"]}, "id"),
    (MANY, {"ids": [NEVER] * 101}, "ids"),
    (TARGET, {"target": {"type": "film"}}, "variables"),
    (TARGET, {"target": {"type": "film", "key": "1"}}, "target"),
    (FILTER, {"by": {"minCommentCount": -1}}, "page"),
    (FILTER, {"by": {"titleContains": "\0"}}, "page"),
    (FILTER, {"by": {"activeSince": "yesterday"}}, "variables"),
    (FLAG, {"flag": 1}, "flags"),
    (FLAG, {"flag": None}, "flags"),
]
"""A query, its variables, and the reason for which no plan executes it."""


@pytest.mark.parametrize(("query", "variables", "reason"), GUARDED)
async def test_wrong_value_is_error_of_graphql_core(
    database: Database, query: str, variables: Mapping[str, Any], reason: str
) -> None:
    api = PlannedApi(database)
    answer = await api(query, **variables)
    assert answer["errors"]
    assert answer == await api.by_core(query, **variables)
    assert api.counts.guarded == {reason: 1}
    assert not api.counts.executed
    assert not api.counts.failed


COERCED: list[tuple[str, dict[str, Any], str]] = [
    (ONE, {"id": 7}, "variables"),
    (PAGE, {"first": 2.0}, "variables"),
    (COMMENTS, {"id": NEVER, "author": NEVER}, "page"),
]
"""Values that graphql-core coerces, or never looks at, and a plan does not take."""


@pytest.mark.parametrize(("query", "variables", "reason"), COERCED)
async def test_unusual_value_without_error_is_counted(
    database: Database, query: str, variables: Mapping[str, Any], reason: str
) -> None:
    api = PlannedApi(database)
    assert await api(query, **variables) == await api.by_core(query, **variables)
    assert api.counts.guarded == {reason: 1}


async def test_plain_request_after_guarded_is_executed_by_plan(database: Database) -> None:
    api = PlannedApi(database)
    await api(ONE, id="x")
    assert (await api(ONE, id=NEVER))["data"] == {"thread": None}
    assert api.counts.executed == 1


UNSUPPORTED = [
    ("{ limits { titleLength } }", "Query.limits"),
    ("{ threads { totalCount } limits { pageSize } }", "Query.limits"),
    ("{ __schema { queryType { name } } }", "Query.__schema"),
    ('{ threads { totalCount } __type(name: "Query") { name } }', "Query.__type"),
]


@pytest.mark.parametrize(("query", "reason"), UNSUPPORTED)
async def test_unknown_part_is_left_to_graphql_core(
    database: Database, query: str, reason: str
) -> None:
    api = PlannedApi(database)
    for _ in range(3):
        assert "errors" not in await api(query)
    assert api.counts.unsupported == {reason: 1}
    assert not api.counts.executed


class Shouting(FieldExtension):
    async def resolve_async(self, next_: Any, source: Any, info: Info, **arguments: Any) -> Any:
        return await next_(source, info, **arguments)


class Signed(BasePermission):
    message = "Sign in."

    def has_permission(self, source: Any, info: Any, **_: Any) -> bool:
        return False


@pytest.mark.parametrize(
    "options",
    [{"extensions": [Shouting()]}, {"permission_classes": [Signed]}],
    ids=["extension", "permission"],
)
async def test_hosts_field_with_extension_is_executed(
    database: Database, options: dict[str, Any]
) -> None:
    @strawberry.type
    class Query(TalliedQuery):
        @strawberry.field(**options)
        async def colour(self) -> str | None:
            return "red"

    api = PlannedApi(database, schema=merge_schemas(Query))
    answer = await api("{ colour threads { totalCount } }")
    assert answer == await api.by_core("{ colour threads { totalCount } }")
    assert api.counts.unsupported == {"Query.colour": 1}
    await api("{ threads { totalCount } }")
    assert api.counts.executed == 1


async def test_hosts_root_replaces_tallieds_on_both_paths(database: Database) -> None:
    @strawberry.type
    class Query(TalliedQuery):
        @strawberry.field
        async def thread(self, id: strawberry.ID) -> str:
            return f"the host's {id}"

    api = PlannedApi(database, schema=merge_schemas(Query))
    for _ in range(2):
        assert (await api('{ thread(id: "7") }'))["data"] == {"thread": "the host's 7"}
    assert api.counts.unsupported == {"Query.thread": 1}


@pytest.mark.parametrize("place", ["extensions", "permission_classes"])
async def test_field_of_tallied_with_addition_is_not_compiled(
    database: Database, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = merge_schemas(prefix="Forum")
    definition = schema._schema.query_type.fields["thread"].extensions["strawberry-definition"]
    monkeypatch.setattr(definition, place, [object()])
    api = PlannedApi(database, schema=schema)
    await api.compile(ONE)
    await api.compile(ONE)
    assert api.counts.unsupported == {"Query.thread": 1}


async def test_operation_of_shared_document_is_compiled(database: Database) -> None:
    """The flags of another operation are none of its own."""
    api = PlannedApi(database)
    query = f"query A {{ threads {{ totalCount }} }} {FLAG.replace('query', 'query B')}"
    operation = api.service.executor.documents.get(query).operation("A")
    assert operation is not None
    for _ in range(2):
        plan = await api.service.plans._find(
            api.service.executor.documents.get(query), operation, {}
        )
    assert plan is not None


class OwnParameter(Policy):
    """A policy whose condition has a bind parameter with a name of its own."""

    def __init__(self, hidden: UUID) -> None:
        self.hidden = hidden

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> ColumnElement[bool]:
        return thread.id != bindparam("id", self.hidden)


async def test_parameter_of_policy_does_not_replace_that_of_plan(database: Database) -> None:
    everything = Api(database)
    hidden, shown = await everything.thread("Looms"), await everything.thread("Engines")
    policy = OwnParameter(decode_id(hidden, "id", "Thread")[1])
    api = Api(database, rules=HostRules(policy=policy))
    query = "query($id: ID!) { thread(id: $id) { title } }"
    for _ in range(3):
        assert await api(query, id=shown) == {"title": "Engines"}
        assert await api(query, id=hidden) is None
