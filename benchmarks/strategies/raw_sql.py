"""Statements written by hand, on the driver's own connection: no ORM, nothing that could forget."""

from __future__ import annotations

from .tables import Strategy, map_strategy

BY_HAND: Strategy = map_strategy("raw driver, by hand")
"""Its tables alone; what is executed on them stands in :mod:`benchmarks.hosts`."""
