"""A host's own schema with Tallied's merged in, under a prefix or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import strawberry
from starlette.applications import Starlette
from support.asgi import post_json

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import ConfigurationError
from tallied.execution.requested_fields import Info
from tallied.schema import build
from tallied.settings import Settings


@strawberry.type
class Thread:
    """A host's own type, whose name is one of Tallied's."""

    colour: str


@strawberry.type
class Query:
    @strawberry.field
    def yarn(self, info: Info) -> Thread:
        assert info.context.request is not None
        return Thread(colour=f"red, for {info.context.request.headers['host']}")

    @strawberry.field
    def skeins(self, first: int | None = 5, colours: list[str] | None = None) -> list[Thread]:
        return [Thread(colour=colour) for colour in (colours or ["red"])[:first]]

    @strawberry.field
    def spinner(self) -> str:
        return "the host's own"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def dye(self, colour: str) -> Thread:
        return Thread(colour=colour)


class Host:
    """A client of a host with a merged schema."""

    def __init__(self, database: Database, prefix: str) -> None:
        schema = build.merge_schemas(Query, Mutation, prefix=prefix)
        discussion = Discussion(
            database,
            schema=schema,
            get_viewer=lambda _: Viewer("user-ada", "Ada"),
            settings=Settings(guests="moderate"),
        )
        self.app = Starlette(routes=discussion.routes())
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://host.test"
        )

    async def __call__(self, query: str, **variables: Any) -> Any:
        content = {"query": query, "variables": variables}
        _, answer = await post_json(self.app, "host.test", "/graphql", content)
        assert "errors" not in answer, answer
        return answer


@pytest.fixture
async def host(database: Database) -> AsyncIterator[Host]:
    host = Host(database, "Forum")
    yield host
    await host.http.aclose()


async def test_both_schemas_answer_one_document(host: Host) -> None:
    created = await host(
        """mutation { dye(colour: "blue") { colour }
             createThread(input: {title: "Looms", comment: {message: "one two three"}}) {
               thread { __typename id wordCount } comment { __typename authorName } } }"""
    )
    assert created["data"]["dye"] == {"colour": "blue"}
    thread = created["data"]["createThread"]["thread"]
    assert (thread["__typename"], thread["wordCount"]) == ("ForumThread", 3)
    assert created["data"]["createThread"]["comment"] == {
        "__typename": "ForumComment",
        "authorName": "Ada",
    }
    read = await host(
        """query($id: ID!) {
             yarn { __typename colour } spinner
             threads(first: 9) { __typename totalCount nodes { title wordCount
               comments(first: 9) { __typename totalCount edges { __typename cursor node {
                 message author { __typename commentCount } } } } } }
             node(id: $id) { __typename ... on ForumThread { title } } }""",
        id=thread["id"],
    )
    data = read["data"]
    assert data["yarn"] == {"__typename": "Thread", "colour": "red, for host.test"}
    assert data["spinner"] == "the host's own"
    assert data["node"] == {"__typename": "ForumThread", "title": "Looms"}
    (result,) = data["threads"]["nodes"]
    assert data["threads"]["__typename"] == "ForumThreadConnection"
    (edge,) = result["comments"]["edges"]
    assert edge["node"]["author"] == {"__typename": "ForumAuthor", "commentCount": 1}
    assert result["comments"]["totalCount"] == 1
    # What it may reach is measured as it is without the prefix: the node, 9, and 9 times 9
    # with their authors.
    assert read["extensions"]["cost"]["nodes"] == 1 + 9 + 9 * 9 * 2


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("selection", "nodes"),
    [
        ("skeins { colour }", 5),
        ("skeins(first: 3) { colour }", 3),
        ("skeins(first: $n) { colour }", 7),
        ("skeins(first: null) { colour }", 100),
        ("a: skeins { colour } b: skeins(first: 2) { colour }", 7),
    ],
)
async def test_host_list_costs_its_size(host: Host, selection: str, nodes: int) -> None:
    used = "query($n: Int!)" if "$n" in selection else "query"
    answer = await host(f"{used} {{ {selection} }}", n=7)
    assert answer["extensions"]["cost"]["nodes"] == nodes


async def test_published_schema_is_merged_schema(host: Host) -> None:
    published = (await host.http.get("/schema.graphql")).text
    assert "type ForumThread implements Node" in published
    assert "dye(" in published
    introspection = (await host.http.get("/introspection.json")).json()
    names = {item["name"] for item in introspection["__schema"]["types"]}
    assert {"ForumThread", "Thread", "ForumUserErrorCode", "Query"} <= names


def test_without_prefix_names_are_those_of_api() -> None:
    own = {name for name in build.schema._schema.type_map if not name.startswith("__")}
    with_host = build.merge_schemas(
        strawberry.type(type("More", (), {"__annotations__": {"n": int}}))
    )
    assert own <= with_host._schema.type_map.keys()


@pytest.mark.parametrize("prefix", ["forum", "1", "For um", "Ümlaut"])
def test_prefix_that_no_name_can_begin_with_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix must begin with a capital letter"):
        build.merge_schemas(prefix=prefix)


def fields(*names: str) -> type:
    """Return a host's root type with these fields."""
    return strawberry.type(type("Root", (), {"__annotations__": dict.fromkeys(names, int)}))


@pytest.mark.parametrize(
    ("input", "sentence"),
    [
        ([fields("threads", "more")], "The host's query has a field threads, and so has Tallied's"),
        ([fields("thread_for")], "The host's query has a field threadFor, and so has Tallied's"),
        ([None, fields("add_comment")], "The host's mutation has a field addComment, and so has"),
        ([int], "query must be a class under @strawberry.type, not <class 'int'>"),
    ],
)
def test_root_field_that_both_have_is_refused(input: list[Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        build.merge_schemas(*input)


def test_derived_root_may_replace_field() -> None:
    @strawberry.type
    class Own(build.Query):
        @strawberry.field
        def viewer(self) -> str:
            return "the host's own"

    viewer = build.merge_schemas(Own)._schema.query_type
    assert viewer is not None
    assert str(viewer.fields["viewer"].type) == "String!"
    assert "threads" in viewer.fields


def test_type_that_both_have_needs_prefix() -> None:
    with pytest.raises(ConfigurationError, match=r"a type Thread, .*, such as prefix='Forum'"):
        build.merge_schemas(Query)
    forum = strawberry.type(type("ForumThread", (), {"__annotations__": {"n": int}}))
    with pytest.raises(ConfigurationError, match=r"a type ForumThread, .* a different prefix"):
        build.merge_schemas(types=[forum], prefix="Forum")


@pytest.mark.parametrize("schema", [strawberry.Schema(Query), Query, None])
def test_schema_without_tallieds_is_refused(schema: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"schema .* merge_schemas"):
        Discussion("sqlite+aiosqlite:///never-opened.db", schema=schema)
