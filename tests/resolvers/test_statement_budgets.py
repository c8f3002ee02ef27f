"""How many statements each request costs, and which columns they name. Counted, never timed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from graphql import FieldNode, OperationDefinitionNode, parse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from support.api import Api

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.host.access import HostRules
from tallied.host.targets import Target, targets_by_name
from tallied.models import Author, Comment, Thread
from tallied.schema.build import schema
from tallied.schema.ids import encode_id

COLUMNS = {
    "tallied_thread": "id title created_at updated_at comment_count word_count last_comment_at "
    "locked_at author_id target_type target_id title_folded",
    "tallied_comment": "id thread_id author_id author_name_key author_name message "
    "word_count created_at edited_at",
}


def named(statement: str, table: str = "tallied_thread") -> set[str]:
    """The columns of a table that a statement names, wherever it does."""
    columns = "|".join(COLUMNS[table].split())
    return set(re.findall(rf"\b{table}(?:_\d)?\.({columns})\b", statement))


def selected(statement: str) -> list[str]:
    """The columns that a SELECT hands out, without their table."""
    columns = statement.split("FROM")[0].removeprefix("SELECT").split(", ")
    return [column.split(".")[-1].split()[-1] for column in columns]


class Budget:
    """Asks the API, and keeps what the database was told meanwhile."""

    def __init__(self, api: Api, statements: Any) -> None:
        self.api = api
        self._recording = statements

    async def __call__(self, query: str, **variables: Any) -> list[str]:
        """The statements of a request that succeeds, transactions apart."""
        with self._recording() as executed:
            self.answer = await self.api(query, **variables)
        return list(executed)


@pytest.fixture
def spent(api: Api, statements: Any) -> Budget:
    return Budget(api, statements)


async def test_a_threads_word_count_is_one_select_of_that_column(api: Api, spent: Budget) -> None:
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
    (
        "wordCount commentCount lastCommentAt",
        ["comment_count", "last_comment_at", "word_count"],
    ),
    ("createdAt updatedAt", ["created_at", "updated_at"]),
    ("a: title b: title id", ["id", "title"]),
    ("title @skip(if: true) id", ["id"]),
    ("title @include(if: $no) id @include(if: $yes)", ["id"]),
    ("... on Thread { title } ... on Node { id }", ["id", "title"]),
    ("...Words ...Words", ["word_count"]),
    ("...Words @skip(if: $yes) id", ["id"]),
    ("comments(first: 1) { totalCount }", ["comment_count", "id"]),
]
"""Selections of a thread, and the columns that they need."""


async def test_only_the_columns_asked_for_are_read(api: Api, spent: Budget) -> None:
    id = await api.thread("Engines", "one two")
    for asked, columns in ASKED:
        end = "fragment Words on Thread { wordCount }" if "...Words" in asked else ""
        variables = "".join(f", ${name}: Boolean!" for name in ("yes", "no") if f"${name}" in asked)
        for field in (
            f"thread(id: $id) {{ {asked} }}",
            f"node(id: $id) {{ ... on Thread {{ {asked} }} }}",
        ):
            query = f"query($id: ID!{variables}) {{ {field} }} {end}"
            (statement,) = await spent(query, id=id, yes=True, no=False)
            assert selected(statement) == columns, query


async def test_a_comment_is_one_select_and_knows_its_threads_id(api: Api, spent: Budget) -> None:
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


@pytest.mark.parametrize(("threads", "comments"), [(2, 2), (5, 4), (9, 12)])
async def test_a_page_is_one_statement_and_its_comments_one_more(
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
        assert named(page) == {"id", "title", "comment_count", "last_comment_at", "created_at"}
        assert named(nested) <= {"id"}
        for edge in spent.answer["edges"]:
            assert edge["node"]["comments"]["totalCount"] == comments
            assert len(edge["node"]["comments"]["edges"]) == min(10, comments)


async def test_a_page_from_a_cursor_on_is_one_statement_too(api: Api, spent: Budget) -> None:
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


async def test_every_distinct_argument_set_is_one_more_statement(api: Api, spent: Budget) -> None:
    await fill(api, 4, 3)
    executed = await spent(
        """{ threads(first: 4) { nodes {
               a: comments(first: 1) { nodes { message } }
               b: comments(first: 2) { nodes { message } }
               c: comments(last: 1) { nodes { message } }
               same: comments(first: 1) { nodes { message } }
               counted: comments(first: 1) { totalCount } } } }"""
    )
    assert len(executed) == 1 + 3
    for node in spent.answer["nodes"]:
        assert [len(node[name]["nodes"]) for name in ("a", "b", "c", "same")] == [1, 2, 1, 1]
        assert node["counted"] == {"totalCount": 3}


async def test_total_counts_cost_nothing_where_there_is_a_counter(api: Api, spent: Budget) -> None:
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


async def test_threads_of_listed_comments_are_one_more_statement_or_none(
    api: Api, spent: Budget
) -> None:
    await fill(api, 3, 4)
    query = "{ threads(first: 3) { nodes { %s comments(first: 4) { nodes { thread { %s } } } } } }"
    assert len(await spent(query % ("title", "id title"))) == 2
    assert len(await spent(query % ("title", "wordCount"))) == 3
    for node in spent.answer["nodes"]:
        assert node["comments"]["nodes"] == [{"thread": {"wordCount": 12}}] * 4
    assert len(await spent(query % ("", "comments(first: 1) { nodes { id } }"))) == 3


async def test_sibling_root_fields_are_one_statement_each(api: Api, spent: Budget) -> None:
    id = await api.thread("Engines", "one two")
    executed = await spent(
        """query($id: ID!) { a: thread(id: $id) { title } b: thread(id: $id) { wordCount }
             threads(first: 3) { nodes { title } } c: node(id: $id) { id } }""",
        id=id,
    )
    assert len(executed) == 4


ADD = """mutation($i: AddCommentInput!) { addComment(input: $i) {
  comment { id message wordCount authorName createdAt editedAt thread { id wordCount } }
  thread { id wordCount commentCount lastCommentAt } } }"""


async def test_add_comment_is_an_insert_an_update_and_a_look_at_the_thread(
    api: Api, spent: Budget
) -> None:
    """The look comes first, under the row's lock: is it locked, and what is its latest comment?"""
    id = await api.thread("Engines", "one two", "three")
    given = {"threadId": id, "authorName": "Ada", "message": "four five"}
    select, insert, update = await spent(ADD, i=given)
    assert insert.startswith("INSERT INTO tallied_comment")
    assert re.search(r"UPDATE tallied_thread .* RETURNING ", update, re.DOTALL)
    assert select.startswith("SELECT tallied_thread.id")
    assert api.database.is_sqlite or "FOR NO KEY UPDATE OF tallied_thread" in select
    assert spent.answer["thread"]["wordCount"] == 5
    assert spent.answer["comment"]["thread"] == {"id": id, "wordCount": 5}


async def test_what_else_is_asked_of_a_new_comments_thread_costs_nothing_more(
    api: Api, spent: Budget
) -> None:
    id = await api.thread("Engines", "one two", "three")
    given = {"threadId": id, "authorName": "Ada", "message": "four five"}
    query = """mutation($i: AddCommentInput!) { addComment(input: $i) {
      thread { title wordCount commentCount updatedAt lockedAt viewerCanComment } } }"""
    assert len(await spent(query, i=given)) == 3
    assert (spent.answer["thread"]["title"], spent.answer["thread"]["wordCount"]) == ("Engines", 5)


async def test_what_else_is_asked_of_an_edited_comments_thread_is_one_select(
    api: Api, spent: Budget
) -> None:
    id = await api.comment(await api.thread("Engines", "one two", "three"), "four five")
    query = """mutation($i: EditCommentInput!) { editComment(input: $i) {
      thread { title wordCount commentCount updatedAt } } }"""
    *_, select = executed = await spent(query, i={"commentId": id, "message": "four"})
    assert len(executed) == 4
    assert selected(select) == ["id", "title", "updated_at"]
    assert spent.answer["thread"]["wordCount"] == 4


COUNTED = "thread { id wordCount commentCount lastCommentAt }"
COSTS: dict[str, int | tuple[int, int]] = {
    # The insert, the update of the thread, and a look at the thread: is it locked? A viewer's
    # author is found, and counted.
    """mutation($id: ID!) { addComment(input: { threadId: $id, authorName: "Ada",
         message: "six" }) { commentEdge { cursor node { id message } } %s } }""": (3, 5),
    # Its row under lock, and two updates. A viewer's author is found here and below, and that of
    # the comment is counted.
    """mutation($c: ID!) { editComment(input: { commentId: $c,
         message: "one" }) { %s } }""": (3, 5),
    # One update for both threads, and a look at the one that it comes to. Its author has as many
    # comments and words as before.
    """mutation($c: ID!, $to: ID!) { moveComment(input: { commentId: $c,
         threadId: $to }) { commentEdge { cursor } %s previousThread { wordCount } } }""": (4, 5),
    # It was the latest of its thread, so the one before it is looked up.
    "mutation($c: ID!) { deleteComment(input: { commentId: $c }) { %s } }": (4, 6),
    """mutation($id: ID!) { renameThread(input: { threadId: $id,
         title: "x" }) { %s } }""": (2, 3),
    "mutation($id: ID!) { lockThread(input: { threadId: $id }) { %s } }": (2, 3),
    "mutation($id: ID!) { unlockThread(input: { threadId: $id }) { %s } }": (2, 3),
    # Its row to see whether a viewer may, and under lock; the comments that go with it are looked
    # up, locked, and looked at once it is gone, since their authors' counters follow.
    "mutation($id: ID!) { deleteThread(input: { threadId: $id }) { %s } }": (5, 7),
    """mutation { createThread(input: { title: "Looms" }) { threadEdge { cursor } %s } }""": (1, 2),
    """mutation { createThread(input: { title: "Looms", comment: { authorName: "Ada",
         message: "one two" } }) { comment { message } threadEdge { cursor } %s } }""": (2, 4),
    # It is looked for, and so is the object; then it is inserted, and read. A viewer's author is
    # found twice: as who may read it, and under lock, as who begins it.
    """mutation { threadFor(input: { target: {type: "book", key: "7"} }) { %s } }""": (4, 6),
    # The next time it is found.
    """mutation { again: threadFor(input: { target: {type: "book", key: "7"} }) { %s } }""": (1, 2),
    # As of a thread; the guests' author has no comments that could be locked and looked at.
    "mutation($a: ID!) { deleteAuthor(input: { authorId: $a }) { deletedAuthorId } }": (4, 7),
}
"""What each mutation costs a guest and a viewer, with the counters in its payload.

On PostgreSQL a deletion costs one more: the comments are locked ahead of what they count for.
"""

REJECTED: dict[str, int | tuple[int, int]] = {
    """mutation { createThread(input: { title: "" }) { userErrors { code } } }""": 0,
    """mutation($id: ID!) { renameThread(input: { threadId: $id,
         title: "" }) { userErrors { code } } }""": 0,
    """mutation($id: ID!) { addComment(input: { threadId: $id, authorName: "Ada",
         message: "" }) { userErrors { code } } }""": 0,
    """mutation($c: ID!) { editComment(input: { commentId: $c,
         message: "" }) { userErrors { code } } }""": 0,
    """mutation($gone: ID!) { deleteComment(input: { commentId: $gone }) {
         userErrors { code } } }""": 1,
    """mutation($gone: ID!, $id: ID!) { moveComment(input: { commentId: $gone, threadId: $id }) {
         userErrors { code } } }""": 1,
    """mutation($none: ID!) { deleteThread(input: { threadId: $none }) {
         userErrors { code } } }""": 1,
    "mutation($none: ID!) { lockThread(input: { threadId: $none }) { userErrors { code } } }": 1,
    "mutation($none: ID!) { unlockThread(input: { threadId: $none }) { userErrors { code } } }": 1,
    """mutation { threadFor(input: { target: {type: "film", key: "7"} }) {
         userErrors { code } } }""": 0,
    """mutation { threadFor(input: { target: {type: "book", key: "8"} }) {
         userErrors { code } } }""": (2, 3),
    """mutation($nobody: ID!) { deleteAuthor(input: { authorId: $nobody }) {
         userErrors { code } } }""": (1, 2),
}
"""What it costs a guest and a viewer, whose author is found, to be told that nothing was done."""

PAGE = """totalCount edges { cursor node { id title } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
READS: dict[str, int | tuple[int, int]] = {
    "query($id: ID!) { thread(id: $id) { title wordCount commentCount lastCommentAt } }": 1,
    """query($id: ID!) { thread(id: $id) { comments(first: 5) { totalCount nodes { message }
         pageInfo { hasNextPage } } } }""": 2,
    "{ limits { titleLength messageLength pageSize } }": 0,
    "query($c: ID!) { comment(id: $c) { message thread { id } } }": 1,
    "query($c: ID!) { comment(id: $c) { message thread { title } } }": 2,
    "query($c: ID!) { node(id: $c) { id ... on Comment { message } ... on Thread { title } } }": 1,
    "query($gone: ID!) { comment(id: $gone) { message thread { title } } }": 1,
    """query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Comment { message }
         ... on Thread { title } } }""": 2,
    """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Thread { comments(last: 3) {
         nodes { message } } } ... on Comment { thread { title } } } }""": 4,
    f"{{ threads(first: 100) {{ {PAGE} }} }}": 2,
    f"""{{ threads(last: 100, orderBy: {{field: COMMENT_COUNT, direction: ASC}},
         filterBy: {{titleContains: "thread", activeSince: "2020-01-01T00:00:00Z",
         minCommentCount: 1}}) {{ {PAGE} }} }}""": 2,
    """{ threads(first: 100) { nodes { title
         a: comments(first: 3) { nodes { message thread { title } } }
         b: comments(last: 3, orderBy: {field: CREATED_AT, direction: DESC}) {
           edges { cursor node { message } } } } } }""": 3,
    # A page of each filter, and where it is asked for, one count of all that it lets through.
    """{ threads(first: 100) { nodes { title
         a: comments(first: 3, filterBy: {authorName: "Ada"}) {
           totalCount nodes { message } pageInfo { hasNextPage } }
         b: comments(first: 3, filterBy: {since: "2020-01-01T00:00:00Z"}) {
           totalCount }
         c: comments(first: 3, filterBy: {}) { totalCount } } } }""": 4,
    """query($id: ID!, $c: ID!) { a: thread(id: $id) { title } b: comment(id: $c) { message }
         c: threads(first: 2) { nodes { title } } d: node(id: $id) { id } }""": 4,
    "query($a: ID!) { author(id: $a) { name commentCount wordCount createdAt } }": 1,
    """query($a: ID!, $id: ID!) { nodes(ids: [$a, $id]) { id ... on Author { name }
         ... on Thread { title author { name } } } }""": (2, 3),
    "{ viewer { name isModerator } }": 0,
    """{ threadFor(target: {type: "book", key: "9"}) { title } }""": 1,
    # All authors in one; the viewer's own, by which it is known what they may do, in another.
    """{ threads(first: 100) { nodes { author { name } viewerCanComment viewerCanDelete
         comments(first: 3) { nodes { authorName author { name } viewerCanEdit } } } } }""": (2, 4),
}
"""What each query costs a guest, in whose threads only guests write, and a viewer."""


async def books(session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """The titles of a host's books, of which there is one."""
    found = await session.execute(text("SELECT '7' AS id, 'The Mill on the Floss' AS title"))
    return {row.id: row.title for row in found if row.id in ids}


RULES = HostRules(targets=targets_by_name([Target("book", books)]))
GUEST, VIEWER = 0, 1


@pytest.mark.parametrize("who", [GUEST, VIEWER])
@pytest.mark.parametrize("size", [2, 7, 30])
async def test_every_request_costs_the_same_whatever_the_sizes(
    database: Database, statements: Any, size: int, who: int
) -> None:
    viewer = Viewer("7", "Ada", is_moderator=True) if who == VIEWER else None
    api = Api(database, rules=RULES, viewer=viewer)
    spent = Budget(api, statements)
    threads, author = await filled(api, size, size, viewer)
    to = await api.thread("Looms", "one two three")
    gone = await api.comment(to)
    await api(
        "mutation($id: ID!) { deleteComment(input: {commentId: $id}) { deletedCommentId } }",
        id=gone,
    )
    comments = [await api.comment(id) for id in threads]
    none, nobody = (encode_id(name, UUID(int=7)) for name in ("Thread", "Author"))
    given = {"id": threads[0], "to": to, "gone": gone, "none": none, "c": comments[0]}
    given |= {"ids": [*threads, gone, *comments], "a": author, "nobody": nobody}

    async def cost(query: str) -> int:
        asked = query.replace("%s", COUNTED)
        if who == VIEWER:
            asked = asked.replace('authorName: "Ada",', "")
        variables = {name: value for name, value in given.items() if f"${name}:" in asked}
        return len(await spent(asked, **variables))

    def allowed(query: str, budget: Any) -> int:
        # A guest who may do everything has the comments locked of a thread that may not be there.
        locks_ahead = ("deleteThread" in query and (query in COSTS or who == GUEST)) or (
            "deleteAuthor" in query and query in COSTS
        )
        known = budget[query] if isinstance(budget[query], int) else budget[query][who]
        return known + (locks_ahead and not database.is_sqlite)

    for budget in (READS, REJECTED, COSTS):
        spent_on = {query: await cost(query) for query in budget}
        assert spent_on == {query: allowed(query, budget) for query in budget}


async def filled(
    api: Api, threads: int, comments: int, viewer: Viewer | None = None
) -> tuple[list[str], str]:
    """The ids of so many threads, each with so many comments, and of an author.

    :param viewer: who has written them; by default, guests.
    """
    author = Author(subject=viewer.subject if viewer else "8", name="Ada")
    theirs: dict[str, Any] = {"author": author} if viewer else {}
    made = [
        Thread(
            title=f"Thread {number}",
            comments=[
                Comment(author_name=None if viewer else "Ada", message="one two", **theirs)
                for _ in range(comments)
            ],
            **theirs,
        )
        for number in range(threads)
    ]

    async def fill(unit: UnitOfWork) -> None:
        unit.session.add_all([author, *made])

    await api.database.write(fill)
    return [encode_id("Thread", thread.id) for thread in made], encode_id("Author", author.id)


def test_every_field_of_the_roots_has_its_budget() -> None:
    for root, budgets in (("Query", READS), ("Mutation", COSTS), ("Mutation", REJECTED)):
        asked = {
            field.name.value
            for text in budgets
            for operation in parse(text.replace("%s", "")).definitions
            if isinstance(operation, OperationDefinitionNode)
            for field in operation.selection_set.selections
            if isinstance(field, FieldNode)
        }
        assert asked == set(schema._schema.type_map[root].fields)


async def test_only_the_columns_that_a_filter_needs_are_named(api: Api, spent: Budget) -> None:
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
    assert named(statement, "tallied_comment") == {"thread_id", "author_name_key"}
    assert "message" not in statement


async def test_a_new_thread_with_its_comment_is_two_inserts(spent: Budget) -> None:
    executed = await spent(
        """mutation { createThread(input: {title: "Looms", comment: {authorName: "Ada",
             message: "one two"}}) { thread { title wordCount commentCount lastCommentAt
             createdAt updatedAt } comment { message thread { title } } } }"""
    )
    assert [statement.split()[2] for statement in executed] == ["tallied_thread", "tallied_comment"]
    assert spent.answer["thread"]["wordCount"] == 2
