"""Trees of replies: one statement for all levels with the same arguments, on both paths."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.api import Api
from support.oracle import RULES, Oracle, values
from support.oracle_rows import fill
from support.random_documents import RandomQuery
from support.reply_trees import grow

from tallied.auth.viewer import Viewer
from tallied.database import Database

FIELDS = "id message depth totalReplies: replyCount authorName viewerCanEdit viewerCanReply"
PAGE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


def nested(*arguments: str, fields: str = FIELDS) -> str:
    """Return the replies of as many levels, each with its arguments."""
    if not arguments:
        return ""
    below = nested(*arguments[1:], fields=fields)
    return f"replies{arguments[0]} {{ {PAGE} nodes {{ {fields} {below} }} }}"


def tree(*arguments: str, fields: str = FIELDS) -> str:
    """Return a query of a page of a thread's comments with their replies."""
    below = nested(*arguments, fields=fields)
    variables = "$id: ID!, $n: Int = 2" if "$n" in below else "$id: ID!"
    return f"""query({variables}) {{ thread(id: $id) {{ title
      comments(first: 5) {{ {PAGE} nodes {{ {fields} {below} }} }} }} }}"""


QUERIES = [
    (tree("(first: 3)", "(first: 3)"), 1),
    (tree("(first: 1)", "(first: 1)", "(first: 1)", "(first: 1)"), 1),
    (tree("(last: $n)", "(last: $n)", "(last: $n)"), 1),
    (tree("", "", fields="message"), 1),
    (tree(*["(first: 2, orderBy: {field: CREATED_AT, direction: DESC})"] * 3), 1),
    (tree("(first: 3)", "(first: 2)", "(first: 2)"), 2),
    (tree("(first: 3)", "(last: 3)", "(first: 3)"), 3),
    # So many rows below one comment are read level by level.
    (tree("(first: 60)", "(first: 60)", fields="message"), 2),
    # What each level selects is another thing.
    (
        """query($id: ID!) { thread(id: $id) { comments(first: 5) { nodes { id
           replies(first: 2) { nodes { wordCount parent { message }
             replies(first: 2) { edges { cursor node { createdAt root { authorName }
               a: replies(first: 2) { nodes { messageHtml editedAt } }
               b: replies(first: 3) { totalCount nodes { id } }
             } } } } } } } } }""",
        2,
    ),
]
"""Queries, and how many statements read their replies."""


@pytest.mark.parametrize(
    "roots", [9, *(pytest.param(roots, marks=pytest.mark.exhaustive) for roots in (2, 40))]
)
async def test_tree_is_two_statements(database: Database, statements: Any, roots: int) -> None:
    id = await grow(database, roots)
    api = Api(database)
    for query, number in QUERIES:
        for is_compiled in (False, True):
            with statements() as executed:
                answer = await api(query, id=id)
            assert answer["comments"]["nodes"]
            verbs = executed.verbs
            if not is_compiled and "parent" in query:
                continue  # Comments that others refer to are further statements.
            if not is_compiled:  # which joins the authors
                verbs = [verb for verb in verbs if verb != "SELECT tallied_author"]
                assert len(executed) - len(verbs) <= 1 + number
            # The thread, the page of its top level, and the replies.
            assert len(verbs) == 2 + number, (query, executed)


async def test_plans_and_graphql_core_read_same_trees(database: Database) -> None:
    chance = random.Random(3)
    await fill(database, chance)
    id = await grow(database, 9)
    oracle = Oracle(database, await values(database), chance)
    for query, _ in QUERIES:
        for rules, viewer in ((RULES[0], None), (RULES[3], Viewer("77", "Ada"))):
            service = oracle.service(oracle.schemas[0], rules)
            request = RandomQuery(query, {"id": lambda: id})
            await oracle.compare(service, request, viewer, is_first=True, is_plain=True)
    assert oracle.equal == 2 * len(QUERIES)
