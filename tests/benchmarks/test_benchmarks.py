"""The benchmarks run in their smallest form and report which way stays exact."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tallied.benchmarks import calls, candidates, pings, trees, writers, writes
from tallied.benchmarks.candidates import CANDIDATES
from tallied.benchmarks.databases import blocking_engine
from tallied.benchmarks.reply_trees import store_tree
from tallied.benchmarks.serving.storage import fill
from tallied.database import Database
from tallied.execution.executor import Executor
from tallied.models.counters import counters as counters_of_tallied
from tallied.schema.build import schema
from tallied.settings import Settings

EXACT = ("Tallied", "delta trigger", "raw driver")


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    engine = blocking_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_benchmark_of_each_operation_runs(
    engine: Engine, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    scale = writes.Scale(threads=4, comments=9, rounds=3, batches=3)
    results = {
        str(item): matches for item, matches in asyncio.run(writes.measure(engine, scale)).items()
    }
    assert len(results) == len(CANDIDATES)
    for name, result in results.items():
        assert None not in result.seconds.values(), name
        if name.startswith(EXACT):
            assert all(result.exact.values()), name
    wrong = {
        name: {operation for operation, exact in result.exact.items() if not exact}
        for name, result in results.items()
        if not name.startswith((*EXACT, "no counter"))
    }
    assert wrong == {
        "mapper event": {"edit", "move", "delete"},
        "SQLAlchemy-Utils": {"move"},
        "attribute events, threads as objects": {"delete"},
        "before_flush, threads as objects": {"move", "delete"},
    }
    writes.show(backend, {item: results[str(item)] for item in CANDIDATES})
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if "|" in line]
    ends = {row[0].strip(): row[-1].strip() for row in rows}
    assert ends["Tallied"] == "yes"
    assert ends["mapper event"] == "no"
    assert ends["no counter"] == "n/a"


def test_comparisons_take_the_candidates_of_their_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = {
        item: candidates.Result({o.name: place for o in writes.OPERATIONS}, defaultdict(bool))
        for place, item in enumerate(CANDIDATES, start=1)
    }
    writes.show("sqlite", results)
    lines = capsys.readouterr().out.splitlines()[-len(writes.COMPARISONS) :]
    places = {str(item): place for place, item in enumerate(CANDIDATES, start=1)}
    expected = [
        places["Tallied, with replies"] / places["Tallied, locked first"],
        places["Tallied"] / places["delta trigger"],
    ]
    assert [line.split(": ")[1].split()[0] for line in lines] == [f"{x:.2f}" for x in expected]


@pytest.mark.slow
def test_benchmark_of_concurrent_writers_runs(
    empty_url: str, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    scale = writers.Scale(writers=2, inserts=3, comments=5, rounds=3)
    results = {str(item): matches for item, matches in writers.measure(empty_url, scale).items()}
    for name, result in results.items():
        if name.startswith((*EXACT, "no counter")):
            assert None not in result.seconds.values(), name
            assert all(result.exact.values()), name
    writers.show(backend, {item: results[str(item)] for item in CANDIDATES}, scale)
    assert " a second" in capsys.readouterr().out


@pytest.mark.slow
async def test_benchmark_of_trees_runs(
    database: Database, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    scale = trees.Scale((30, 60), 3)
    engine = blocking_engine(database.url)
    with engine.begin() as connection:
        stored = {size: store_tree(connection, size, size) for size in scale.sizes}
        assert list(counters_of_tallied.verify(connection)) == []
    engine.dispose()
    trees.show(backend, await trees.measure(database, stored, scale), scale)
    assert "around the deepest reply" in capsys.readouterr().out


@pytest.mark.slow
def test_benchmark_of_attacks_runs() -> None:
    """What takes long at the server is executed in no test; it is allowed, and costly."""
    executor = Executor(schema, Settings())
    for name in pings.ATTACKS:
        text = json.loads(pings.body_of(name, 1))["query"]
        fault = executor._find_error(text) if name != "nothing" else None
        assert (fault is None) == name.startswith(("allowed", "refused late", "nothing")), name
        if name.startswith("allowed: 100 x"):
            document = executor.documents.read(text)
            (operation,) = document.operations
            assert executor._cost(document, operation).nodes({}, 100) > 10_000, name


@pytest.mark.slow
def test_benchmark_of_pings_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def run(port: int) -> None:
        with pings.connected(port) as connection:
            late = json.loads(pings.ask(connection, pings.body_of(LATE, 1)))
        assert late["errors"][0]["extensions"]["limit"] == "answer_size"
        pings.show("nothing", pings.measure(port, "nothing", attackers=0, seconds=0.2))
        attack = "allowed: 100 threads"
        pings.show(attack, pings.measure(port, attack, attackers=1, seconds=0.5))

    pings.on_a_server(run, threads=20)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["nothing", "allowed: 100 threads"]
    assert all(int(line.split()[-4]) > 1 for line in lines)


@pytest.mark.slow
def test_benchmark_of_calls_runs(
    empty_url: str, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    scale = calls.Scale(threads=40, comments=1, rounds=2)
    stored = asyncio.run(fill(empty_url, scale.threads, scale.comments))
    results = calls.measure_rows(empty_url, stored, ["thread", "page_signed_in", "add"], scale)
    assert results["add"].packages["counters"] > 0 == results["thread"].packages["counters"]
    floor = calls.measure_rows(empty_url, stored, ["thread"], scale, is_bare=True)["thread"]
    assert 0 < floor.packages.total() < results["thread"].packages.total()
    calls.show(backend, results)
    assert "operations" in capsys.readouterr().out


LATE = "refused late: 2800 long messages"


@pytest.mark.slow
def test_benchmark_of_races_runs() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.races", "--quick"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split("│")[1:3] for line in result.stdout.splitlines() if line.startswith("│")]
    ends = {strategy.strip(): cell.strip() for strategy, cell in rows}
    assert (ends["Tallied"], ends["delta trigger"]) == ("12", "12")
    assert int(ends["SQLAlchemy-Utils"].split(",")[0]) < 12
