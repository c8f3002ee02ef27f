"""The examples run, and say what their readers are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_orders_and_their_totals(tmp_path: Path) -> None:
    program = ROOT / "examples" / "orders.py"
    ran = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "before any SQL: 2 open orders, the first of 19.75",
        "one was paid: 1 open order, the first of 17.25",
        "one was cancelled: 0 open orders, the last of 2026-03-01",
        "a line was dropped: the first is of 7.25",
        "verified: 0 counters are wrong",
    ]
