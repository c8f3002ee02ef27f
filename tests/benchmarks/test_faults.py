"""The short form of ``benchmarks/faults.py``: failing networks lose no acknowledged change."""

from __future__ import annotations

import pytest

from tallied.benchmarks.faults import run


@pytest.mark.slow
async def test_failing_networks_lose_and_double_nothing(
    empty_url: str, request: pytest.FixtureRequest
) -> None:
    seconds = 20 if request.config.getoption("exhaustive") else 3
    assert await run(empty_url, seconds, clients=6) == []
