"""Conflicts between registries in one process: counters that two keep, or that one cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column

from ..declarations.counter import REGISTRIES, Counter
from ..declarations.mapped_rows import column_of
from ..registry.counter_registry import CounterRegistry
from .findings import Finding
from .session_classes import name_of

INSTALLED = "tallied.counters.installed"
"""The key in a column's ``info`` for the installed registries that keep or read it."""


def related_registries(registry: CounterRegistry) -> set[CounterRegistry]:
    """Return the other registries with some of the same counters or derived columns."""
    lists = [c.target.property.info.get(REGISTRIES, ()) for c in registry.declared]
    lists += [derived.registries for derived in registry.derived]
    return {other for registries in lists for other in registries} - {registry}


def check_installed(registry: CounterRegistry, session_class: type[Any]) -> Iterator[Finding]:
    """Find the counters that another registry keeps on sessions of `session_class` already."""
    for counter in registry.declared:
        for other in counter.target.property.info.get(REGISTRIES, ()):
            clash = any(
                issubclass(session_class, other_class) or issubclass(other_class, session_class)
                for other_class in other.classes
            )
            if (
                other is not registry
                and clash
                and not (other.extends(registry) or registry.extends(other))
            ):
                yield (
                    "counters.E013",
                    f"{counter} is kept on {name_of(session_class)} by another Counters already.",
                    "Declare each counter once for a session class; to add some to those that are "
                    "installed there, extend the extension: install what its own extend() "
                    "returns.",
                )


def check_apart(registry: CounterRegistry) -> Iterator[Finding]:
    """Find counters of one registry that are computed from a counter that only another keeps.

    A registry's counters are written by statements that no other registry sees.
    """
    others: dict[CounterRegistry, None] = {}
    for column in (*_kept(registry), *_read(registry)):
        others |= dict.fromkeys(column.info.get(INSTALLED, ()))
    for other in others.keys() - {registry}:
        for reader, keeper in ((registry, other), (other, registry)):
            columns, known_columns = _kept(keeper), _kept(reader)
            for column, counter in _read(reader).items():
                if column in columns and column not in known_columns:
                    yield (
                        "counters.E025",
                        f"{counter} is computed from {columns[column]}, which another Counters "
                        f"keeps.",
                        "Install what the extend() of the other returns, with both.",
                    )


def record_installed(registry: CounterRegistry) -> None:
    """Record `registry` at the columns that it keeps and reads."""
    for column in {*_kept(registry), *_read(registry)}:
        column.info.setdefault(INSTALLED, {})[registry] = None


def _kept(registry: CounterRegistry) -> dict[Column[Any], Counter]:
    return {column_of(c.parent, c.key): c for c in registry.declared}


def _read(registry: CounterRegistry) -> dict[Column[Any], Counter]:
    return {column_of(c.source, name): c for c in registry.declared for name in c.names_read}
