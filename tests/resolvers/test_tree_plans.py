"""Pages of trees read as many rows of a thread of 100,000 comments as of one of 1,000."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from support.plans import PlannedApi
from support.query_plans import executed, sqlite_steps

from tallied.benchmarks.databases import blocking_engine
from tallied.benchmarks.reply_trees import StoredTree, store_tree
from tallied.benchmarks.trees import PAGES, document
from tallied.database import Database
from tallied.schema.ids import encode_id

DESCENDING = "orderBy: {field: CREATED_AT, direction: DESC}"
QUERIES = [
    *map(document, PAGES.values()),
    f"query($thread: ID!, $comment: ID!) {{ thread(id: $thread) {{ around(commentId: $comment,"
    f" siblings: 9, {DESCENDING}) {{ siblings {{ totalCount nodes {{ message }} }} }} }} }}",
    "query($reply: ID!, $thread: ID!) { thread(id: $thread) { around(commentId: $reply) {"
    " siblings { totalCount nodes { message author { name } } } } } }",
    f"query($comment: ID!, $after: String) {{ comment(id: $comment) {{ replies(first: 9, "
    f"after: $after, {DESCENDING}) {{ nodes {{ id ancestors {{ message }} }} }} }} }}",
    """query($thread: ID!) { thread(id: $thread) { comments(first: 20) { nodes {
         replies(first: 3) { nodes { message replies(last: 2) { nodes { message
           ancestors { message } } } } } } } } }""",
    """query($thread: ID!) { thread(id: $thread) { comments(first: 50,
         filterBy: {topLevelOnly: false}) { nodes { ancestors { message authorName } } } } }""",
]


def variables(tree: StoredTree) -> dict[str, str]:
    return {
        "thread": encode_id("Thread", tree.thread),
        "comment": encode_id("Comment", tree.answered),
        "reply": encode_id("Comment", tree.reply(tree.size // 20)),
        "deepest": encode_id("Comment", tree.deepest),
    }


def literal(value: Any) -> str:
    """Return a value as PostgreSQL reads it in the text of a statement."""
    if isinstance(value, list | tuple):
        return f"'{{{','.join(map(str, value))}}}'"
    return "NULL" if value is None else f"'{value}'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_of_postgresql(engine: Engine, statement: str, parameters: Any, mode: str) -> int:
    """Return how many rows all parts of a plan have handled."""
    arguments = ", ".join(map(literal, parameters))
    call = f"EXECUTE measured({arguments})" if parameters else "EXECUTE measured"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
        connection.exec_driver_sql(f"PREPARE measured AS {statement}")
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) {call}"
        ((plan,),) = connection.exec_driver_sql(explain).all()
        connection.exec_driver_sql("DEALLOCATE measured")
    parts = [*nodes(plan[0]["Plan"])]
    scanned = [part.get("Relation Name") for part in parts if part["Node Type"] == "Seq Scan"]
    assert "tallied_comment" not in scanned, plan
    removed = "Rows Removed by Filter"
    rows = ((part["Actual Rows"] + part.get(removed, 0)) * part["Actual Loops"] for part in parts)
    return round(sum(rows))


@pytest.mark.slow
@pytest.mark.parametrize("is_compiled", [False, True])
async def test_pages_of_trees_cost_same_in_large_threads(
    database: Database, is_compiled: bool
) -> None:
    """Also by the plan that PostgreSQL keeps for any parameters, which knows no sizes."""
    engine = blocking_engine(database.url)
    with engine.begin() as connection:
        small, large = (store_tree(connection, size, n) for n, size in enumerate((900, 90_000), 1))
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    api = PlannedApi(database)
    for query in QUERIES:
        costs: list[list[int]] = []
        for tree in (small, large):
            values = {
                name: value for name, value in variables(tree).items() if f"${name}:" in query
            }
            with executed(database) as statements:
                answer = await (api if is_compiled else api.by_core)(query, **values)
            assert "errors" not in answer, answer
            measured = []
            for statement, parameters in statements:
                if database.is_sqlite:
                    measured.append(sqlite_steps(database, statement, parameters))
                    continue
                for mode in ("force_custom_plan", "force_generic_plan"):
                    measured.append(rows_of_postgresql(engine, statement, parameters, mode))
            costs.append(measured)
        for few, many in zip(*costs, strict=True):
            assert many <= 1.2 * few + 10, (query, costs)
    engine.dispose()
