"""Relay on a merged schema: Node and PageInfo keep their names, and node() serves both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from support.host import ADA, Host
from support.sockets import site

from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.execution.requested_fields import Info
from tallied.schema.build import merge_schemas
from tallied.schema.nodes import Node

TITLES = {"7": "Looms", "12": "Mills"}
loaded: list[list[str]] = []


@strawberry.type(name="Article")
class ArticleType(Node):
    """A host's type that has another name in Python."""

    title: str

    @classmethod
    async def load_nodes(cls, info: Info, keys: Sequence[str]) -> list[ArticleType | None]:
        loaded.append(list(keys))
        return [
            cls(id=cls.global_id(key), title=TITLES[key]) if key in TITLES else None for key in keys
        ]


@strawberry.type
class Query:
    @strawberry.field
    def article(self, key: str) -> ArticleType:
        return ArticleType(id=ArticleType.global_id(key), title=TITLES[key])


SCHEMA = merge_schemas(Query, prefix="Forum")
NODES = """query($ids: [ID!]!) { nodes(ids: $ids) { __typename id
    ... on Article { title } ... on ForumThread { title } ... on ForumAuthor { commentCount } } }"""


@pytest.fixture
def host(database: Database) -> Host:
    loaded.clear()
    return Host(database, schema=SCHEMA, settings={"guests": "write"})


def test_node_and_page_info_keep_their_names() -> None:
    names = SCHEMA._schema.type_map.keys()
    assert {"Node", "PageInfo", "ForumThread", "ForumThreadConnection"} <= names
    assert not {"ForumNode", "ForumPageInfo"} & names
    (node,) = SCHEMA._schema.type_map["Article"].interfaces  # type: ignore[attr-defined]
    assert node is SCHEMA._schema.type_map["Node"]


async def test_node_serves_hosts_objects_and_tallieds(host: Host) -> None:
    plain = Host(host.database, settings={"guests": "write"})
    thread = await plain.ada.thread("Wheels", "one two three", "four")
    author = (await host.ada("{ viewer { author { id } } }"))["author"]["id"]
    article = await host.ada('{ article(key: "12") { id title } }')
    assert article["title"] == "Mills"
    deleted, first = ArticleType.global_id("99"), ArticleType.global_id("7")
    ids = [first, thread, deleted, article["id"], author, first]
    nodes = await host.ada(NODES, ids=ids)
    assert nodes == [
        {"__typename": "Article", "id": first, "title": "Looms"},
        {"__typename": "ForumThread", "id": thread, "title": "Wheels"},
        None,
        {"__typename": "Article", "id": article["id"], "title": "Mills"},
        {"__typename": "ForumAuthor", "id": author, "commentCount": 2},
        {"__typename": "Article", "id": first, "title": "Looms"},
    ]
    assert loaded == [["7", "99", "12"]]
    query = "query($id: ID!) { node(id: $id) { __typename ... on Article { title } } }"
    result = await host.guest(query, id=first)
    assert result == {"__typename": "Article", "title": "Looms"}
    assert await host.guest(query, id=deleted) is None


async def test_id_of_no_type_is_refused(host: Host) -> None:
    for id in ("nonsense", "QXJ0aWNsZQ==", "Qm9vazo3"):
        error = await host.guest.error("query($id: ID!) { node(id: $id) { id } }", id=id)
        assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "id")
    assert loaded == []


async def test_hosts_nodes_are_measured(host: Host) -> None:
    ids = [ArticleType.global_id(key) for key in ("7", "12", "99")]
    answer = await host.guest.post(NODES, ids=ids)
    assert answer["extensions"]["cost"]["nodes"] == 3


async def test_pages_know_where_they_are(host: Host) -> None:
    for title in ("Looms", "Mills", "Wheels"):
        await host.ada.thread(title)
    query = (
        "{ threads(first: 2) { pageInfo { __typename hasNextPage endCursor } nodes { title } } }"
    )
    page = await host.guest(query)
    assert page["pageInfo"]["__typename"] == "PageInfo"
    assert page["pageInfo"]["hasNextPage"] is True
    assert page["pageInfo"]["endCursor"]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_nodes_are_served_over_websocket(database: Database) -> None:
    options: Any = {"schema": SCHEMA, "get_viewer": lambda _: ADA}
    async with site(database, **options) as server, server.socket() as socket:
        result = await socket(NODES, ids=[ArticleType.global_id("7")])
    assert [node["title"] for node in result] == ["Looms"]


def test_node_that_cannot_be_loaded_is_refused() -> None:
    @strawberry.type
    class Book(Node):
        title: str

    with pytest.raises(ConfigurationError, match=r"Book implements Node, .* define load_nodes"):
        merge_schemas(types=[Book])


def test_node_named_as_tallieds_is_refused() -> None:
    @strawberry.type
    class Thread(Node):
        colour: str

        @classmethod
        async def load_nodes(cls, info: Info, keys: Sequence[str]) -> list[Thread | None]:
            return []

    with pytest.raises(ConfigurationError, match="Thread implements Node, and so its ids"):
        merge_schemas(types=[Thread], prefix="Forum")


def test_strawberry_connections_share_page_info() -> None:
    @strawberry.type
    class Shelf:
        books: strawberry.relay.ListConnection[ArticleType]

    schema = merge_schemas(types=[Shelf], prefix="Forum")._schema
    page_info = schema.type_map["PageInfo"]
    for name in ("ArticleConnection", "ForumThreadConnection"):
        assert schema.type_map[name].fields["pageInfo"].type.of_type is page_info  # type: ignore[attr-defined]


def test_another_page_info_is_refused() -> None:
    @strawberry.type
    class PageInfo:
        pages: int

    with pytest.raises(ConfigurationError, match=r"use strawberry\.relay\.PageInfo"):
        merge_schemas(types=[PageInfo], prefix="Forum")


def test_another_interface_named_node_is_refused() -> None:
    @strawberry.type
    class Fruit(strawberry.relay.Node):
        key: strawberry.relay.NodeID[int]

    with pytest.raises(ConfigurationError, match=r"use tallied\.schema\.nodes\.Node"):
        merge_schemas(types=[Fruit], prefix="Forum")
