"""From declarations to the order of parents, the chains, and the tables to watch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.mapper import _all_registries

from .cascade import Cascades
from .declare import Counter

Chains = dict[Mapper[Any], dict[Counter, Counter]]
"""By the class that is in the middle: the counters computed from its own, each with the one."""


def find_chains(declared: Iterable[Counter]) -> Chains:
    """The counters that are computed from counters."""
    chains: Chains = {}
    for outer in declared:
        for inner in declared:
            if outer.of is not None and outer.of.property is inner.target.property:
                chains.setdefault(inner.parent, {})[outer] = inner
    return chains


def in_order(parents: Iterable[Mapper[Any]], chains: Chains) -> tuple[Mapper[Any], ...]:
    """Parents by the name of their table, but a chain's inner links before its outer ones."""
    done: list[Mapper[Any]] = []

    def visit(mapper: Mapper[Any]) -> None:
        for inner, outers in chains.items():
            if inner is not mapper and any(outer.parent is mapper for outer in outers):
                visit(inner)
        if mapper not in done:
            done.append(mapper)

    for mapper in sorted(parents, key=lambda each: str(each.local_table)):
        visit(mapper)
    return tuple(done)


def all_mappers() -> list[Mapper[Any]]:
    """Every mapped class of the process: a cascade may start from any base's."""
    return [mapper for registry in _all_registries() for mapper in registry.mappers]


def find_tables(
    sources: Collection[Mapper[Any]], parents: Collection[Mapper[Any]], cascades: Cascades
) -> Mapping[Table, Mapper[Any] | None]:
    """The tables that something is counted by or in, or that a cascade starts from.

    Each with the class that is mapped to it, the most general one; None where there is none.
    """
    tables: dict[Table, Mapper[Any] | None] = dict.fromkeys(cascades.starts())
    known = (*sources, *parents)
    for mapper in all_mappers():
        table = mapper.local_table
        related = any(mapper.isa(each) or each.isa(mapper) for each in known)
        if isinstance(table, Table) and (related or cascades.reaches_from(mapper.tables)):
            present = tables.get(table)
            if present is None or present.isa(mapper):
                tables[table] = mapper
    return tables
