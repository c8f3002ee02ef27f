"""Renamed root fields next to fields of a host with the same names."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from support.host import Host

from tallied.database import Database
from tallied.errors import ConfigurationError
from tallied.schema import build
from tallied.schema.build import merge_schemas


@strawberry.type
class Viewer:
    shelf: str


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self) -> Viewer:
        return Viewer(shelf="the host's own")

    @strawberry.field
    def author(self, isbn: str) -> str:
        return f"who wrote {isbn}"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def add_comment(self, text: str) -> str:
        return text.upper()


RENAME = {"viewer": "forumViewer", "author": "forumAuthor", "addComment": "addForumComment"}
SCHEMA = merge_schemas(Query, Mutation, prefix="Forum", rename=RENAME)


async def test_fields_of_equal_name_are_both_served(database: Database) -> None:
    host = Host(database, schema=SCHEMA, settings={"guests": "write"})
    thread = await Host(database).ada.thread("Looms")
    added = await host.ada(
        """mutation($i: ForumAddCommentInput!) { addComment(text: "mine")
             addForumComment(input: $i) { comment { wordCount } thread { commentCount }
               userErrors { code } } }""",
        i={"threadId": thread, "message": "one two three"},
    )
    assert added == {
        "addComment": "MINE",
        "addForumComment": {
            "comment": {"wordCount": 3},
            "thread": {"commentCount": 1},
            "userErrors": [],
        },
    }
    read = await host.ada(
        """query($id: ID!) { viewer { shelf } author(isbn: "7")
             forumViewer { name author { id wordCount } } thread(id: $id) { title }
             node(id: $id) { __typename } }""",
        id=thread,
    )
    id = read["forumViewer"]["author"].pop("id")
    assert read == {
        "viewer": {"shelf": "the host's own"},
        "author": "who wrote 7",
        "forumViewer": {"name": "Ada", "author": {"wordCount": 3}},
        "thread": {"title": "Looms"},
        "node": {"__typename": "ForumThread"},
    }
    query = "query($id: ID!) { forumAuthor(id: $id) { name } }"
    assert await host.guest(query, id=id) == {"name": "Ada"}


async def test_renamed_mutation_still_rejects(database: Database) -> None:
    host = Host(database, schema=SCHEMA, settings={"guests": "write"})
    thread = await Host(database).ada.thread("Looms")
    before = await host.ada.contents()
    (error,) = await host.ada.rejected(
        """mutation($i: ForumAddCommentInput!) { addForumComment(input: $i) {
             userErrors { message field code } } }""",
        i={"threadId": thread, "message": " "},
    )
    assert (error["code"], error["field"]) == ("BLANK", "message")
    assert await host.ada.contents() == before


def test_renamed_field_keeps_its_description_and_arguments() -> None:
    plain, renamed = build.schema._schema, merge_schemas(rename={"threads": "discussions"})._schema
    assert plain.query_type is not None
    assert renamed.query_type is not None
    before, after = plain.query_type.fields["threads"], renamed.query_type.fields["discussions"]
    assert "threads" not in renamed.query_type.fields
    assert list(renamed.query_type.fields) == [
        "discussions" if name == "threads" else name for name in plain.query_type.fields
    ]
    assert after.description == before.description
    assert {key: str(argument.type) for key, argument in after.args.items()} == {
        key: str(argument.type) for key, argument in before.args.items()
    }


def test_name_is_renamed_in_both_roots() -> None:
    schema = merge_schemas(rename={"threadFor": "forumThreadFor"})._schema
    for root in (schema.query_type, schema.mutation_type):
        assert root is not None
        assert "forumThreadFor" in root.fields
        assert "threadFor" not in root.fields


@pytest.mark.parametrize(
    ("input", "sentence"),
    [
        ({"rename": {"node": "forumNode"}}, "node cannot be renamed: Relay asks for it"),
        ({"rename": {"add_comment": "x"}}, "add_comment, which is not a root field of Tallied's"),
        ({"rename": {"viewer": "forum viewer"}}, "viewer the name 'forum viewer', which no field"),
        ({"rename": {"viewer": "__viewer"}}, "viewer the name '__viewer', which no field"),
        ({"rename": {"viewer": "author"}}, "gives two fields of Tallied's the name author"),
        ({"query": Query}, r"has a field author and viewer, .* pass rename={'author': \.\.\.} to"),
        (
            {"query": Query, "rename": {"viewer": "forumViewer"}},
            "has a field author, and so has Tallied's",
        ),
        (
            {"query": strawberry.type(type("Own", (build.Query,), {})), "rename": RENAME},
            "rename cannot be used where the host's query derives from Tallied's",
        ),
    ],
)
def test_rename_that_cannot_be_is_refused(input: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        merge_schemas(**input)


def test_node_field_of_hosts_is_refused() -> None:
    @strawberry.type
    class Root:
        node: str

    with pytest.raises(ConfigurationError, match=r"field node, .*; leave it to Tallied's, which"):
        merge_schemas(Root, prefix="Forum")


def test_scalar_that_both_have_is_refused() -> None:
    other = strawberry.scalar(name="SafeInt", serialize=str)

    @strawberry.type
    class Root:
        number: complex

    with pytest.raises(ConfigurationError, match=r"a scalar SafeInt, .* tallied\.schema\.scalars"):
        merge_schemas(Root, scalars={complex: other})
