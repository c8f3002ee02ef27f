"""Refuse declarations that cannot work before the first row is written.

Each check has a stable id, a sentence and a hint, like Django's system checks. They look at the
mappers alone and need no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy.orm import RelationshipProperty

from ..declarations.counter import REGISTRIES, Counter
from ..declarations.dependent_columns import check_generated
from ..declarations.derivation import DERIVED, SOURCE
from ..declarations.derived import Derived
from ..declarations.mapped_rows import column_of
from .column_checks import check_number, check_of, check_target, check_where
from .findings import Finding
from .relationship_checks import check_copy, check_join, check_via
from .resolution import passes_on
from .table_checks import check_mapped_tables


def check(counters: Sequence[Counter]) -> tuple[list[Counter], list[Finding]]:
    """Return the counters that can be looked at further, and what is wrong with `counters`."""
    findings: list[Finding] = []
    sound = []
    for counter in counters:
        own = list(_findings(counter))
        findings += own
        if not own:
            sound.append(counter)
    return sound, [*findings, *_check_together(sound), *check_generated(sound)]


def _findings(counter: Counter) -> Iterator[Finding]:
    yield from check_via(counter)
    if not isinstance(counter.via.property, RelationshipProperty):
        return
    yield from check_mapped_tables(counter)
    yield from check_join(counter)
    yield from check_copy(counter)
    yield from check_target(counter)
    of_findings = list(check_of(counter))
    yield from of_findings or check_number(counter)
    yield from check_where(counter)


def _check_together(counters: Sequence[Counter]) -> Iterator[Finding]:
    by_column: dict[Any, Counter] = {}
    for counter in counters:
        column = column_of(counter.parent, counter.key)
        if column in by_column:
            yield (
                "counters.E013",
                f"{counter} is declared twice, via {by_column[column].via} and via {counter.via}.",
                "Give each counter a column of its own.",
            )
        by_column[column] = counter
    for counter in counters:
        inner = _inner(counter, by_column)
        if inner is not None and not counter.is_copy and not passes_on(inner, counter):
            yield (
                "counters.E041",
                f"{counter} is computed from {inner}, and a change of that does not tell what it "
                f"comes to.",
                "Chain a sum to sums and counts, a maximum to maxima, and a minimum to minima.",
            )
        path = [counter]
        while inner is not None:
            if inner in path:
                yield (
                    "counters.E014",
                    f"{counter} is, through {inner}, computed from itself.",
                    "A chain must end at rows that are counted.",
                )
                return
            path.append(inner)
            inner = _inner(inner, by_column)
        predicate = counter.predicate
        for name in predicate.names if predicate is not None else ():
            if column_of(counter.source, name) in by_column:
                yield (
                    "counters.E015",
                    f"The where of {counter} depends on the counter {name}.",
                    "Let the condition depend on columns that are not counters.",
                )


def _inner(counter: Counter, by_column: dict[Any, Counter]) -> Counter | None:
    """Return the counter that `counter` is computed from, if there is one."""
    if counter.of is None:
        return None
    return by_column.get(column_of(counter.source, counter.of.key))


def check_no_counters(columns: Iterable[Derived], counters: Iterable[Counter]) -> Iterator[Finding]:
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
            "Derive a column of its own from a column that is not a counter.",
        )
