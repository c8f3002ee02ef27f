"""Inputs that a frontend leaves out have defaults; partial errors and limits."""

from __future__ import annotations

from uuid import UUID

import pytest
from support.api import mutation
from support.host import Host, about, titles

from tallied.database import Database
from tallied.error_codes import make_extensions
from tallied.host.targets import Target
from tallied.resolvers.views import read_threads
from tallied.schema.ids import encode_id
from tallied.settings import Settings

REQUEST = {"query": "{ __typename }"}
USER_ERRORS = "userErrors { message field path code params { max actual character } }"


# Pages without a size


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_page_without_size_has_twenty_items(database: Database) -> None:
    host = Host(database)
    ids = [await host.ada.thread(f"Engine {number}") for number in range(23)]
    for number in range(22):
        await host.ada.comment(ids[-1], f"comment {number}")
    page = "totalCount nodes { id } pageInfo { hasNextPage }"
    listed = await host.bob(f"{{ threads {{ {page} }} }}")
    assert (listed["totalCount"], len(listed["nodes"])) == (23, 20)
    assert listed["pageInfo"]["hasNextPage"] is True
    query = f"query($n: Int) {{ threads(first: $n) {{ {page} }} }}"
    assert await host.bob(query, n=None) == listed
    assert await host.bob(query) == listed
    query = f"query($id: ID!) {{ thread(id: $id) {{ comments {{ {page} }} }} }}"
    visible = (await host.bob(query, id=ids[-1]))["comments"]
    assert (visible["totalCount"], len(visible["nodes"])) == (22, 20)
    last = "query { threads(last: 3) { nodes { id } } }"
    assert len((await host.bob(last))["nodes"]) == 3


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_page_without_size_is_no_larger_than_may_be(database: Database) -> None:
    host = Host(database, settings={"page_size": 7})
    for number in range(9):
        await host.ada.thread(f"Engine {number}")
    assert len((await host.bob("{ threads { nodes { id } } }"))["nodes"]) == 7
    limits = await host.bob("{ limits { pageSize defaultPageSize } }")
    assert limits == {"pageSize": 7, "defaultPageSize": 7}


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_page_without_size_costs_its_maximum(database: Database) -> None:
    host = Host(database)
    for query, nodes in (
        ("{ threads { nodes { id } } }", 20),
        ("{ threads { nodes { comments { nodes { id } } } } }", 20 + 20 * 20),
        ("{ threads(last: 3) { nodes { comments { nodes { id } } } } }", 3 + 3 * 20),
        ("{ threads(first: null) { nodes { comments(first: 7) { nodes { id } } } } }", 20 + 140),
        ("{ threads { totalCount } }", 1),
    ):
        answer = await host.bob.post(query)
        assert answer["extensions"]["cost"]["nodes"] == nodes, query


async def test_hosts_page_without_size_has_twenty_items(database: Database) -> None:
    host = Host(database)
    for number in range(22):
        await host.ada.thread(f"Engine {number}")
    async with database.read() as connection:
        page = await read_threads(connection, host.discussion.access())
    assert (len(page.nodes), page.has_next_page) == (20, True)


# What stands beside what fails


async def test_failing_threads_keep_sibling_fields(database: Database) -> None:
    host = Host(database)
    id = await host.ada.thread("Engines")
    query = "query($id: ID!) { threads(first: 500) { totalCount } thread(id: $id) { title } }"
    answer = await host.bob.post(query, id=id)
    assert answer["data"] == {"threads": None, "thread": {"title": "Engines"}}
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["field"]) == (["threads"], "first")


async def test_bad_id_among_nodes_names_itself(database: Database) -> None:
    host = Host(database)
    id = await host.ada.thread("Engines")
    unknown = encode_id("Thread", UUID(int=7))
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } viewer { name } }"
    answer = await host.ada.post(query, ids=[id, "x", unknown, id, "y"])
    assert answer["data"] == {
        "nodes": [{"id": id}, None, None, {"id": id}, None],
        "viewer": {"name": "Ada"},
    }
    assert [error["path"] for error in answer["errors"]] == [["nodes", 1], ["nodes", 4]]
    for error, place in zip(answer["errors"], (1, 4), strict=True):
        assert error["extensions"] == make_extensions("BAD_USER_INPUT", {"field": f"ids[{place}]"})
        assert error["message"].startswith(f"ids[{place}] is not the id of a thread")
    too_many = await host.ada.post(query, ids=[id] * 101)
    assert too_many["data"] == {"nodes": None, "viewer": {"name": "Ada"}}


# User errors


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_user_error_has_message_path_code_and_params(database: Database) -> None:
    target = Target("book", titles, message_length=9)
    host = Host(database, settings={"guests": "moderate", "message_length": 30}, targets=[target])
    thread = await host.guest.thread("Engines")
    comment = await host.guest.comment(thread, "ten of it.")
    book = await host.guest.do("threadFor", "thread { id }", **about("book", 7))
    nothing = {"max": None, "actual": None, "character": None}
    for change, input, errors in (
        ("createThread", {"title": " ", "comment": {"message": "x" * 31, "authorName": "A\x07"}}, [
            ("This is empty; write 1 to 200 characters.", ["title"], "BLANK", {"max": 200}),
            ("This has a control character (U+0007); remove it.", ["comment", "authorName"],
             "INVALID_CHARACTERS", {"character": "U+0007"}),
            ("This has 31 characters; shorten it to at most 30.", ["comment", "message"],
             "TOO_LONG", {"max": 30, "actual": 31}),
        ]),
        ("moveComment", {"commentId": comment, "threadId": book["thread"]["id"]}, [
            ("The comment has 10 characters, and that thread takes at most 9; shorten it first.",
             ["threadId"], "TOO_LONG", {"max": 9, "actual": 10}),
        ]),
        ("deleteThread", {"threadId": "x"}, [
            ("There is no such thread; it may have been deleted.", ["threadId"], "NOT_FOUND", {}),
        ]),
    ):  # fmt: skip
        query = mutation(change, USER_ERRORS)
        result = (await host.guest(query, i=input))["userErrors"]
        assert result == [
            {"message": message, "field": ".".join(path), "path": path, "code": code,
             "params": {**nothing, **params}}
            for message, path, code, params in errors
        ]  # fmt: skip
    query = f'mutation {{ deleteAuthor(input: {{authorId: ""}}) {{ {USER_ERRORS} }} }}'
    (error,) = (await host.guest(query))["userErrors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["authorId"])


async def test_user_error_about_no_field_has_no_path(database: Database) -> None:
    host = Host(database)
    query = f'mutation {{ createThread(input: {{title: "A"}}) {{ {USER_ERRORS} }} }}'
    (error,) = (await host.guest(query))["userErrors"]
    assert (error["field"], error["path"], error["code"]) == (None, None, "SIGN_IN_REQUIRED")


# Limits


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_limits_are_in_schema(database: Database) -> None:
    short = Target("book", titles, message_length=50)
    host = Host(database, settings={"message_length": 3000}, targets=[short])
    limits = await host.guest(
        """{ limits { titleLength authorNameLength pageSize defaultPageSize messageLength
             book: messageLength(targetType: "book") film: messageLength(targetType: "film") } }"""
    )
    assert limits == {
        "titleLength": 200,
        "authorNameLength": 100,
        "pageSize": 100,
        "defaultPageSize": 20,
        "messageLength": 3000,
        "book": 50,
        "film": 3000,
    }
    described = await host.guest(
        '{ __type(name: "AddCommentInput") { inputFields { name description } } }'
    )
    texts = {item["name"]: item["description"] for item in described["inputFields"]}
    assert f"1 to {Settings.message_length:,} characters" in texts["message"]
    assert "1 to 100 characters" in texts["authorName"]
