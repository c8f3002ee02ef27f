"""The benchmark of requests runs in its smallest form, with either generator of load."""

from __future__ import annotations

import pytest
import typer

from tallied.benchmarks import http
from tallied.benchmarks.serving.load import run_client, run_wrk
from tallied.benchmarks.serving.operations import OPERATIONS
from tallied.benchmarks.serving.processes import split_cores

SCALE = http.Scale(threads=60, comments=2, seconds=0.3, rounds=1, rest=0.0)


@pytest.mark.slow
def test_benchmark_of_requests_runs(
    empty_url: str,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # wrk takes whole seconds, and is not on every machine.
    monkeypatch.setattr(http, "generator", lambda: run_client)
    with split_cores() as cores:
        result = http.measure(empty_url, list(OPERATIONS), SCALE, cores)
    http.show(backend, result, SCALE)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("|") for line in lines) == len(OPERATIONS) + 2
    assert "Failed requests: none." in lines
    assert "Threads with a wrong counter: 0." in lines
    assert (result.sessions is None) == (backend == "sqlite")
    for pair in result.rows.values():
        assert all(figures.rates[0] > 0 for figures in pair)


@pytest.mark.slow
def test_wrk_reports_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = "LOAD 120 7 1000000 250 9000"

    class Done:
        stdout = printed

    monkeypatch.setattr("subprocess.run", lambda *_, **__: Done)
    load = run_wrk(80, OPERATIONS["page"].bare([]), 2, 0.2)
    assert load == (120, 7, 1.0, 0.00025, 0.009)


@pytest.mark.slow
def test_unknown_row_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match=r"there is no elsewhere; use page, nested"):
        http.chosen_rows("page, elsewhere")
