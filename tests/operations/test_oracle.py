"""Plans answer random queries with the same bytes as graphql-core."""

from __future__ import annotations

import random

import pytest
from support.oracle import Oracle, fill, values

from tallied.database import Database

QUERIES = 12
"""How many random queries are compared in a round, each with several variables and viewers."""


@pytest.fixture
async def oracle(database: Database, oracle_round: int) -> Oracle:
    """An oracle of a filled database."""
    chance = random.Random(oracle_round)
    await fill(database, chance)
    return Oracle(database, await values(database), chance)


async def test_plans_answer_as_graphql_core(oracle: Oracle) -> None:
    for _ in range(QUERIES):
        await oracle.compare_one()
    assert not oracle.by_core
    assert oracle.equal > 3 * QUERIES


async def test_wrong_values_are_answered_as_by_graphql_core(oracle: Oracle) -> None:
    for _ in range(QUERIES):
        await oracle.compare_one(errors=0.05)
    assert oracle.equal
    assert not any(reason.startswith("failed") for reason in oracle.by_core)
