"""The short form of ``scripts/soak``: sixteen random writers leave the counters exact."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Open
from sqlalchemy import text

from tallied.benchmarks.random_units import OPERATIONS
from tallied.benchmarks.soak import Soak
from tallied.models import Base

pytestmark = pytest.mark.filterwarnings("ignore:DELETE statement on table")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
async def test_sixteen_random_writers_leave_counters_exact(open_database: Open) -> None:
    # What is tested is what becomes of the counters, however slow the machine is.
    database = open_database(pool_size=20, patience=60)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    run = Soak(database)
    await run.run(units=400)
    assert run.errors == []
    assert run.drift == []
    assert run.recounts > 0
    assert len(run.done) > len(OPERATIONS) - 3, "about every kind was drawn"


@pytest.mark.slow
async def test_drift_and_errors_are_reported(open_database: Open) -> None:
    database = open_database(pool_size=20)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    run = Soak(database, writers=2)
    await run.run(units=40)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE tallied_thread SET word_count = word_count + 5"))
    await run.run(units=80)
    assert len(run.drift) >= run.threads
    assert any("word_count" in failure for failure in run.failures())
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE tallied_comment RENAME TO elsewhere"))
    with pytest.raises(Exception, match="tallied_comment"):
        await run.run(units=1000)


@pytest.mark.slow
def test_script_prints_result() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.05", "--database", "sqlite"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )
    printed = " ".join(result.stdout.split())
    assert re.search(r"units in \d+ s .* 0 wrong counters, 0 errors; memory \d+, ", printed), (
        printed
    )
    assert "add by key" in printed
    # So short a run may not come round to every kind, and says so.
    assert result.returncode == (1 if "never done" in printed else 0), result.stderr
