"""The columns that the statements of a request name, and the shape of each statement."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.api import Api, mutation
from support.statements import Budget

from tallied.models import Base


def named(statement: str, table: str = "tallied_thread") -> set[str]:
    """Return the columns of a table that a statement names, wherever it does."""
    columns = "|".join(Base.metadata.tables[table].c.keys())
    return set(re.findall(rf"\b{table}(?:_\d)?\.({columns})\b", statement))


def selected(statement: str) -> list[str]:
    """Return the columns that a SELECT hands out, without their table."""
    columns = statement.split("FROM")[0].removeprefix("SELECT").split(", ")
    return [column.split(".")[-1].split()[-1] for column in columns]


@pytest.fixture
def spent(api: Api, statements: Any) -> Budget:
    return Budget(api, statements)


async def test_word_count_is_one_select_of_column(api: Api, spent: Budget) -> None:
    id = await api.thread("Engines", "one two", "three")
    (statement,) = await spent("query($id: ID!) { thread(id: $id) { wordCount } }", id=id)
    assert spent.answer == {"wordCount": 3}
    assert statement.startswith("SELECT")
    assert selected(statement) == ["word_count"]
    assert named(statement) == {"word_count", "id"}
    assert "tallied_comment" not in statement


ASKED = [
    ("id", ["id"]),
    ("__typename", ["id"]),
    ("title", ["title"]),
    ("wordCount commentCount lastCommentAt", ["comment_count", "last_comment_at", "word_count"]),
    ("createdAt updatedAt", ["created_at", "updated_at"]),
    ("a: title b: title id", ["id", "title"]),
    ("title @skip(if: true) id", ["id"]),
    ("title @include(if: $no) id @include(if: $yes)", ["id"]),
    ("... on Thread { title } ... on Node { id }", ["id", "title"]),
    ("...Words ...Words", ["word_count"]),
    ("...Words @skip(if: $yes) id", ["id"]),
    ("comments(first: 1) { totalCount }", ["id", "top_level_count"]),
]
"""Selections of a thread, and the columns that they need."""


async def test_only_selected_columns_are_read(api: Api, spent: Budget) -> None:
    id = await api.thread("Engines", "one two")
    for selection, columns in ASKED:
        end = "fragment Words on Thread { wordCount }" if "...Words" in selection else ""
        variables = "".join(
            f", ${name}: Boolean!" for name in ("yes", "no") if f"${name}" in selection
        )
        for field in (
            f"thread(id: $id) {{ {selection} }}",
            f"node(id: $id) {{ ... on Thread {{ {selection} }} }}",
        ):
            query = f"query($id: ID!{variables}) {{ {field} }} {end}"
            (statement,) = await spent(query, id=id, yes=True, no=False)
            assert selected(statement) == columns, query


async def test_comment_with_thread_id_is_one_select(api: Api, spent: Budget) -> None:
    thread_id = await api.thread("Engines", "one two")
    id = await api.comment(thread_id)
    query = "query($id: ID!) { comment(id: $id) { message thread { id __typename } } }"
    (statement,) = await spent(query, id=id)
    assert spent.answer["thread"] == {"id": thread_id, "__typename": "Thread"}
    assert selected(statement) == ["message", "thread_id"]
    query = "query($id: ID!) { comment(id: $id) { message thread { title } } }"
    _, second = await spent(query, id=id)
    assert spent.answer["thread"] == {"title": "Engines"}
    assert selected(second) == ["id", "title"]


async def fill(api: Api, threads: int, comments: int) -> None:
    for number in range(threads):
        await api.thread(f"Thread {number}", *(["one two three"] * comments))


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "comments"), [(2, 2), (6, 11)])
async def test_page_and_its_comments_are_two_statements(
    api: Api, spent: Budget, threads: int, comments: int
) -> None:
    await fill(api, threads, comments)
    (statement,) = await spent("{ threads(first: 5) { nodes { title wordCount } } }")
    assert len(spent.answer["nodes"]) == min(5, threads)
    assert selected(statement) == ["title", "word_count"]
    for end in ("first", "last"):
        page, nested = await spent(
            f"""{{ threads({end}: 5) {{ edges {{ cursor node {{ title
                   comments({end}: 10) {{ totalCount edges {{ cursor node {{ message }} }}
                     pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}
                 pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""
        )
        assert named(page) == {"id", "title", "last_comment_at", "created_at", "top_level_count"}
        assert named(nested) <= {"id"}
        for edge in spent.answer["edges"]:
            assert edge["node"]["comments"]["totalCount"] == comments
            assert len(edge["node"]["comments"]["edges"]) == min(10, comments)


async def test_page_from_cursor_is_one_statement(api: Api, spent: Budget) -> None:
    await fill(api, 4, 3)
    query = """query($after: String, $first: Int) { threads(first: $first, after: $after) {
      nodes { comments(first: 2) { nodes { message } } }
      pageInfo { endCursor hasNextPage hasPreviousPage } } }"""
    assert len(await spent(query, first=2)) == 2
    after = spent.answer["pageInfo"]["endCursor"]
    assert len(await spent(query, first=1, after=after)) == 2
    assert spent.answer["pageInfo"] == {
        "endCursor": spent.answer["pageInfo"]["endCursor"],
        "hasNextPage": True,
        "hasPreviousPage": True,
    }
    after = (await api(query, first=4))["pageInfo"]["endCursor"]
    assert len(await spent(query, first=2, after=after)) == 1
    assert spent.answer["nodes"] == []


async def test_total_count_with_counter_costs_nothing(api: Api, spent: Budget) -> None:
    await fill(api, 3, 2)
    assert len(await spent("{ threads(first: 2) { nodes { id } } }")) == 1
    counted, _ = sorted(await spent("{ threads(first: 2) { totalCount nodes { id } } }"))
    assert "count(*)" in counted
    assert spent.answer["totalCount"] == 3
    (only,) = await spent("{ threads(first: 2) { totalCount } }")
    assert "count(*)" in only
    (only,) = await spent("{ threads(first: 2) { nodes { comments(first: 1) { totalCount } } } }")
    assert "tallied_comment" not in only
    assert spent.answer["nodes"] == [{"comments": {"totalCount": 2}}] * 2


async def test_threads_of_comments_are_at_most_one_statement(api: Api, spent: Budget) -> None:
    await fill(api, 3, 4)
    query = "{ threads(first: 3) { nodes { %s comments(first: 4) { nodes { thread { %s } } } } } }"
    assert len(await spent(query % ("title", "id title"))) == 2
    assert len(await spent(query % ("title", "wordCount"))) == 3
    for node in spent.answer["nodes"]:
        assert node["comments"]["nodes"] == [{"thread": {"wordCount": 12}}] * 4
    assert len(await spent(query % ("", "comments(first: 1) { nodes { id } }"))) == 3


ADD = mutation(
    "addComment",
    "comment { id message wordCount authorName createdAt editedAt thread { id wordCount } }"
    " thread { id wordCount commentCount lastCommentAt }",
)


async def test_add_comment_is_three_statements(api: Api, spent: Budget) -> None:
    """The look comes first, under the row's lock: is it locked, and what is its latest comment?"""
    id = await api.thread("Engines", "one two", "three")
    input = {"threadId": id, "authorName": "Ada", "message": "four five"}
    select, insert, update = await spent(ADD, i=input)
    assert insert.startswith("INSERT INTO tallied_comment")
    assert re.search(r"UPDATE tallied_thread .* RETURNING ", update, re.DOTALL)
    assert select.startswith("SELECT tallied_thread.id")
    assert api.database.is_sqlite or "FOR NO KEY UPDATE OF tallied_thread" in select
    assert spent.answer["thread"]["wordCount"] == 5
    assert spent.answer["comment"]["thread"] == {"id": id, "wordCount": 5}


async def test_other_fields_of_edited_thread_are_one_select(api: Api, spent: Budget) -> None:
    id = await api.comment(await api.thread("Engines", "one two", "three"), "four five")
    query = mutation("editComment", "thread { title wordCount commentCount updatedAt }")
    *_, select = executed = await spent(query, i={"commentId": id, "message": "four"})
    assert len(executed) == 5  # with the revision that the first edit stores
    assert selected(select) == ["id", "title", "updated_at"]
    assert spent.answer["thread"]["wordCount"] == 4


async def test_filter_names_only_its_columns(api: Api, spent: Budget) -> None:
    await fill(api, 2, 2)
    (statement,) = await spent(
        """{ threads(first: 9, filterBy: {minCommentCount: 1},
             orderBy: {field: CREATED_AT, direction: ASC}) { nodes { title } } }"""
    )
    assert named(statement) == {"title", "comment_count", "created_at", "id"}
    *_, statement = await spent(
        """{ threads(first: 9) { nodes {
             comments(first: 9, filterBy: {authorName: "Ada"}) { totalCount } } } }"""
    )
    # Only what is in lists, at the top level.
    listed = {"parent_id", "placeholder", "shown"}
    assert named(statement, "tallied_comment") == {"thread_id", "author_name_key", *listed}
    assert "message" not in statement
