"""Check that no column is both a counter and part of a derived column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..declarations.counter import REGISTRIES, Counter
from ..declarations.derivation import DERIVED, SOURCE
from ..declarations.derived import Derived


def check_no_counters(
    columns: Iterable[Derived], counters: Iterable[Counter]
) -> Iterator[tuple[str, str, str]]:
    """Yield a finding for each counter that is derived, or that a column is derived from."""
    of_counters = {
        column.info[name]
        for column in (counter.target.property.columns[0] for counter in counters)
        for name in (DERIVED, SOURCE)
        if name in column.info
    }
    for derived in columns:
        if REGISTRIES in derived.target.property.info or REGISTRIES in derived.of.property.info:
            of_counters.add(derived)
    for derived in of_counters:
        yield (
            "counters.E034",
            f"{derived} is derived from {derived.source_name}, and one of them is a counter, "
            f"which only its counter writes.",
            "Derive a column of its own from a column that is no counter.",
        )
