"""Statements written by hand, on the driver's own connection: no ORM, nothing that could forget."""

from __future__ import annotations

from .tables import Way, map_way

BY_HAND: Way = map_way("raw driver, by hand")
"""Its tables alone; what is executed on them stands in :mod:`benchmarks.hosts`."""
