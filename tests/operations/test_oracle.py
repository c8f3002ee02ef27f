"""Plans answer random queries with the same bytes as graphql-core."""

from __future__ import annotations

import random
from typing import Any

import pytest
from graphql import GraphQLObjectType
from support.oracle import ROOTS, Oracle, ServedSchema, values
from support.oracle_rows import fill

from tallied.database import Database
from tallied.execution.field_declarations import DECLARATION, ComputedField, RelatedRowField
from tallied.migrations.runner import migrate
from tallied.schema.build import merge_schemas

QUERIES = 8
"""How many random queries are compared in a round, each with several variables and viewers."""


@pytest.fixture
async def oracle(database: Database, oracle_round: int) -> Oracle:
    """An oracle of a filled database."""
    chance = random.Random(oracle_round)
    await fill(database, chance)
    return Oracle(database, await values(database), chance)


async def compare_queries(oracle: Oracle) -> None:
    """Compare random queries, and more of them where many are too large to be executed."""
    for number in range(2 * QUERIES):
        if number < QUERIES or oracle.equal <= 3 * QUERIES:
            await oracle.compare_one()


async def test_plans_answer_as_graphql_core(oracle: Oracle) -> None:
    await compare_queries(oracle)
    assert not oracle.by_core
    assert oracle.equal > 3 * QUERIES


@pytest.mark.slow
async def test_wrong_values_are_answered_as_by_graphql_core(oracle: Oracle) -> None:
    for _ in range(QUERIES):
        await oracle.compare_one(errors=0.05)
    assert oracle.equal
    assert not any(reason.startswith("failed") for reason in oracle.by_core)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_plans_read_tables_of_a_schema(empty_url: str, oracle_round: int) -> None:
    database = Database(empty_url, schema="forum")
    try:
        await migrate(database)
        chance = random.Random(oracle_round)
        await fill(database, chance)
        oracle = Oracle(database, await values(database), chance)
        await compare_queries(oracle)
        assert oracle.equal > 3 * QUERIES
    finally:
        await database.dispose()


WRONG = [
    ("Thread", "updatedAt", ComputedField(lambda _, time: time, "rules", ("created_at",))),
    ("Comment", "editedAt", ComputedField(lambda _, time: time, "rules", ("created_at",))),
    ("Author", "wordCount", ComputedField(lambda _, count: count, "rules", ("comment_count",))),
    ("Comment", "author", RelatedRowField("thread", "Thread")),
]
"""Fields of types, each with a declaration that its resolver does not follow."""


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.parametrize(("type_name", "field", "declaration"), WRONG)
async def test_wrong_declaration_is_noticed(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, type_name: str, field: str, declaration: Any
) -> None:
    schema = merge_schemas(prefix="Wrong")  # A new one, which keeps nothing for other tests.
    oracle.schemas = [ServedSchema(schema, "Wrong", ROOTS, ())]
    type_ = schema._schema.type_map[f"Wrong{type_name}"]
    assert isinstance(type_, GraphQLObjectType)
    definition = type_.fields[field].extensions["strawberry-definition"]
    monkeypatch.setattr(definition, "metadata", {DECLARATION: declaration})
    with pytest.raises(AssertionError):
        for _ in range(20 * QUERIES):
            await oracle.compare_one()
