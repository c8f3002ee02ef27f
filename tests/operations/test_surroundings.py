"""Links to comments: one with those above it and its neighbours, on both paths."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from support.api import Api
from support.oracle import RULES, Oracle, values
from support.random_documents import RandomQuery
from support.reply_trees import grow

from tallied.auth.viewer import Viewer
from tallied.database import Database
from tallied.models import Comment
from tallied.models.comment import is_listed
from tallied.schema.ids import encode_id

FIELDS = "id message depth authorName viewerCanEdit viewerCanReply"
PAGE = f"""totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
  nodes {{ {FIELDS} }}"""
AROUND = f"""query($id: ID!, $comment: ID!, $n: Int = 2, $by: CommentOrder) {{
  thread(id: $id) {{ title around(commentId: $comment, siblings: $n, orderBy: $by) {{
    comment {{ {FIELDS} parent {{ id }} }} ancestors {{ {FIELDS} }}
    siblings {{ {PAGE} }} }} }} }}"""
PERMALINK = f"""query($comment: ID!) {{ comment(id: $comment) {{ {FIELDS} ancestors {{ {FIELDS} }}
  thread {{ title around(commentId: $comment) {{ siblings {{ edges {{ cursor node {{ id
    ancestors {{ id wordCount replies(first: 2) {{ nodes {{ id ancestors {{ message }} }} }} }}
  }} }} }} }} }} }} }}"""
LIST = f"""query($id: ID!, $after: String, $before: String, $first: Int, $last: Int,
    $by: CommentOrder) {{
  thread(id: $id) {{ comments(after: $after, before: $before, first: $first, last: $last,
    orderBy: $by) {{ {PAGE} }} }} }}"""
REPLIES = LIST.replace("thread(id", "comment(id").replace("comments(", "replies(")
ASCENDING = {"field": "CREATED_AT", "direction": "ASC"}
DESCENDING = {"field": "CREATED_AT", "direction": "DESC"}


async def read_lines(database: Database) -> list[list[str]]:
    """Return the ids of each comment that readers see, after those above it."""
    async with database.read() as connection:
        statement = select(Comment.id, Comment.parent_id).where(is_listed())
        parents = {row.id: row.parent_id for row in await connection.execute(statement)}

    def line(id: UUID | None) -> list[str]:
        return [] if id is None else [*line(parents[id]), encode_id("Comment", id)]

    return [line(id) for id in parents]


@pytest.mark.sampled
@pytest.mark.parametrize("roots", [1, 5, 12])
async def test_surroundings_continue_lists(database: Database, statements: Any, roots: int) -> None:
    """Two statements for any comment and any size, and the cursors are those of its own list."""
    id = await grow(database, roots)
    api = Api(database)
    lines = await read_lines(database)
    chance = random.Random(roots)
    for *above, comment in [max(lines, key=len), *chance.sample(lines, k=min(7, len(lines)))]:
        by, size = chance.choice((ASCENDING, DESCENDING)), chance.randrange(4)
        for is_compiled in (False, True):
            with statements() as executed:
                around = (await api(AROUND, id=id, comment=comment, n=size, by=by))["around"]
            if not is_compiled:  # which joins the authors and the parent
                own = [verb for verb in executed.verbs if verb != "SELECT tallied_author"]
                assert len(own) <= 2 + bool(above), executed
            else:
                assert len(executed) == 2, executed
        assert around["comment"]["id"] == comment
        assert [ancestor["id"] for ancestor in around["ancestors"]] == above
        page = around["siblings"]
        assert comment in [node["id"] for node in page["nodes"]]
        parent, query = (above[-1], REPLIES) if above else (id, LIST)
        field = "replies" if above else "comments"
        whole = (await api(query, id=parent, first=100, by=by))[field]
        assert page["totalCount"] == whole["totalCount"]
        info = page["pageInfo"]
        before = (await api(query, id=parent, last=50, before=info["startCursor"], by=by))[field]
        after = (await api(query, id=parent, first=50, after=info["endCursor"], by=by))[field]
        assert before["nodes"] + page["nodes"] + after["nodes"] == whole["nodes"]
        assert info["hasPreviousPage"] == bool(before["nodes"])
        assert info["hasNextPage"] == bool(after["nodes"])
        position = [node["id"] for node in page["nodes"]].index(comment)
        assert position == min(size, len(before["nodes"]) + position)
        assert len(page["nodes"]) - position - 1 <= size


async def test_plans_and_graphql_core_read_same_surroundings(database: Database) -> None:
    chance = random.Random(3)
    id = await grow(database, 3)
    oracle = Oracle(database, await values(database), chance)
    comments = oracle.values.ids["Comment"]
    for query, rules in ((AROUND, RULES[0]), (PERMALINK, RULES[3])):
        service = oracle.service(oracle.schemas[0], rules)
        for viewer in (None, Viewer("9", "Max", is_moderator=True)):
            for number, comment in enumerate(chance.sample(comments, k=3)):
                variables = {"id": lambda: id, "comment": lambda comment=comment: comment}
                request = RandomQuery(query, variables)
                await oracle.compare(service, request, viewer, is_first=not number, is_plain=True)
    assert oracle.equal == 2 * 2 * 3


async def test_wrong_arguments_of_surroundings(database: Database) -> None:
    id = await grow(database, 1)
    api = Api(database)
    none = encode_id("Comment", UUID(int=7))
    for _ in range(2):
        assert (await api(AROUND, id=id, comment=none))["around"] is None
        for n in (-1, 50):
            (error,) = (await api.post(AROUND, id=id, comment=none, n=n))["errors"]
            assert error["message"] == f"siblings must be from 0 to 49, not {n}."
        (error,) = (await api.post(AROUND, id=id, comment=id))["errors"]
        assert error["extensions"]["field"] == "commentId"
