"""The short form of ``benchmarks/faults.py``: failing networks lose no acknowledged change."""

from __future__ import annotations

import pytest

from tallied.benchmarks.databases import BACKENDS, fresh_database
from tallied.benchmarks.faults import run


@pytest.mark.parametrize("backend", BACKENDS)
async def test_failing_networks_lose_and_double_nothing(backend: str) -> None:
    with fresh_database(backend) as url:
        assert await run(url, seconds=5, clients=6) == []
