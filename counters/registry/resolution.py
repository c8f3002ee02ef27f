"""Derive the order of parents, the chains, and the tables to track from the declarations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from sqlalchemy import Table
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.mapper import _all_registries

from ...errors import CounterDeclarationError
from ..declarations.copied_relation import CopiedRelations
from ..declarations.counter import Counter
from ..declarations.kinds import Additive, Extreme
from .cascades import Cascades

Chains = dict[Mapper[Any], dict[Counter, Counter]]
"""By the class that is in the middle: the counters computed from its own, each with the one."""


def find_chains(declared: Iterable[Counter]) -> Chains:
    """Return the counters that are computed from counters."""
    chains: Chains = {}
    for outer in declared:
        for inner in declared:
            if outer.of is not None and outer.of.property is inner.target.property:
                chains.setdefault(inner.parent, {})[outer] = inner
    return chains


def passes_on(inner: Counter, outer: Counter) -> bool:
    """Return whether what happens to `inner` tells what happens to `outer`."""
    if isinstance(inner, Extreme) and isinstance(outer, Extreme):
        return type(inner).function is type(outer).function
    return isinstance(inner, Additive) and isinstance(outer, Additive)


def order_parents(
    parents: Iterable[Mapper[Any]],
    chains: Chains,
    relations: CopiedRelations,
    numbered: Collection[Mapper[Any]] = (),
) -> tuple[Mapper[Any], ...]:
    """Return `parents` in the order in which they are written: a referring table comes first.

    As in deletions, where what refers to a row is locked before the row. But what others are
    computed from comes before these.

    :raises CounterDeclarationError: where each of two has to be before the other.
    """
    before: dict[Mapper[Any], set[Mapper[Any]]] = defaultdict(set)
    for inner, outers in chains.items():
        for outer in outers:
            before[outer.parent].add(inner)
    for source, copied in relations.items():
        for relation in copied:
            before[relation.holder].add(source)
    done: list[Mapper[Any]] = []

    def visit(mapper: Mapper[Any], path: tuple[Mapper[Any], ...]) -> None:
        if mapper in path:
            names = " and ".join(step.class_.__name__ for step in path[path.index(mapper) :])
            raise CounterDeclarationError(
                "counters.E024",
                f"Counters of {names} are computed from counters of each other, so that neither "
                f"table can be written before the other.",
                "Let each chain lead through a table once.",
            )
        for inner in sorted(before[mapper] - {mapper}, key=_name):
            visit(inner, (*path, mapper))
        if mapper not in done:
            done.append(mapper)

    for mapper in _sort_by_reference(parents, numbered):
        visit(mapper, ())
    return tuple(done)


def _sort_by_reference(
    parents: Iterable[Mapper[Any]], numbered: Collection[Mapper[Any]]
) -> list[Mapper[Any]]:
    """Return `parents`, each before those that its foreign keys refer to; else by name.

    Those that number their sources come before the others, since a flush locks them first.

    Where two refer to each other, the one that would come first by name is the second.
    """
    by_name = sorted(parents, key=lambda mapper: (mapper not in numbered, _name(mapper)))
    referred = {mapper: _find_referred(mapper) for mapper in by_name}
    done: list[Mapper[Any]] = []

    def visit(mapper: Mapper[Any], path: tuple[Mapper[Any], ...]) -> None:
        path = (*path, mapper)
        for other in by_name:
            if other not in (*path, *done) and not referred[other].isdisjoint(mapper.tables):
                visit(other, path)
        done.append(mapper)

    for mapper in by_name:
        if mapper not in done:
            visit(mapper, ())
    return done


def _find_referred(mapper: Mapper[Any]) -> set[Any]:
    """Return the tables that the foreign keys of a class refer to."""
    tables: set[Any] = set()
    for table in mapper.tables:
        for constraint in getattr(table, "foreign_key_constraints", ()):
            with suppress(NoReferenceError):  # a table that nobody has declared
                tables.add(constraint.referred_table)
    return tables


def _name(mapper: Mapper[Any]) -> str:
    return str(mapper.local_table)


def all_mappers() -> list[Mapper[Any]]:
    """Return every mapped class of the process: a cascade may start from any of them."""
    return [mapper for registry in _all_registries() for mapper in registry.mappers]


def find_tables(
    sources: Collection[Mapper[Any]], parents: Collection[Mapper[Any]], cascades: Cascades
) -> Mapping[Table, Mapper[Any] | None]:
    """Return the tables that something is counted by or in, or that a cascade starts from.

    Each with the class that is mapped to it, the most general one; None where there is none.
    """
    tables: dict[Table, Mapper[Any] | None] = dict.fromkeys(cascades.starts())
    classes = (*sources, *parents)
    for mapper in all_mappers():
        table = mapper.local_table
        related = any(mapper.isa(other) or other.isa(mapper) for other in classes)
        if isinstance(table, Table) and (related or cascades.reaches_from(mapper.tables)):
            present = tables.get(table)
            if present is None or present.isa(mapper):
                tables[table] = mapper
    return tables


Partners: TypeAlias = Mapping[Mapper[Any], frozenset[Mapper[Any]]]
"""By a class that counts or is counted: the classes whose rows must be in the same database."""


def find_partners(counters: Iterable[Counter]) -> Partners:
    """Return, for each class, the classes that it counts and that count it."""
    partners: dict[Mapper[Any], set[Mapper[Any]]] = defaultdict(set)
    for counter in counters:
        partners[counter.parent].add(counter.source)
        partners[counter.source].add(counter.parent)
    return {mapper: frozenset(others - {mapper}) for mapper, others in partners.items()}
