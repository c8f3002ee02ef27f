"""Plans make and answer random mutations as graphql-core does."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.mutation_oracle import MutationOracle

from tallied.database import Database

DOCUMENTS = 8
"""How many random mutations are compared in a round, each with several variables and viewers."""


@pytest.fixture
def twin_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of another fresh database with Tallied's tables."""
    if backend == "sqlite":
        path = tmp_path / "twin.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        path.chmod(0o600)
        yield f"sqlite+aiosqlite:///{path}"
        return
    with request.getfixturevalue("databases").database() as url:
        yield url


@pytest.fixture
async def oracle(
    database: Database, twin_url: str, oracle_round: int
) -> AsyncIterator[MutationOracle]:
    """An oracle of two equal databases."""
    twin = Database(twin_url)
    yield await MutationOracle.create(database, twin, oracle_round)
    await twin.dispose()


async def test_plans_change_as_graphql_core(oracle: MutationOracle) -> None:
    for _ in range(DOCUMENTS):
        await oracle.compare_one()
    await oracle.compare_rows()
    assert oracle.executed


@pytest.mark.slow
async def test_wrong_inputs_are_answered_as_by_graphql_core(oracle: MutationOracle) -> None:
    for _ in range(DOCUMENTS):
        await oracle.compare_one(errors=0.1)
    await oracle.compare_rows()
    assert not any(reason.startswith("failed") for reason in oracle.by_core)
