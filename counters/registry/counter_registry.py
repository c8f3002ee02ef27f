"""The declared counters of one :class:`.Counters`: resolved, checked, and ready to look up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Table
from sqlalchemy.orm import InstanceState, Mapper, Session, configure_mappers

from ..declarations.copied_relation import (
    CopiedRelation,
    CopiedRelations,
    copied_names,
    find_copied_relations,
    tracked_counters,
)
from ..declarations.counter import Counter
from ..declarations.derived import Derived
from ..declarations.mapped_rows import counts_as
from ..declarations.number import Number
from .cascades import Cascades
from .checks import check, check_no_counters
from .deletion_lock_order import DeletionLockOrder
from .findings import raise_findings
from .resolution import (
    Chains,
    Partners,
    find_chains,
    find_partners,
    find_tables,
    order_parents,
)
from .source import Source
from .table_checks import check_tables


class CounterRegistry:
    """A set of counters and derived columns, and the session classes that they are installed on.

    The rest of the engine looks up here. The maps are empty until :meth:`resolve`.

    :raises TypeError: for anything but declarations.
    """

    def __init__(self, *counters: Counter | Derived) -> None:
        for declaration in counters:
            if not isinstance(declaration, Counter | Derived):
                raise TypeError(
                    "Counters takes declarations one by one, such as Count(...) and Derived(...), "
                    f"not {type(declaration).__name__}; unpack a list with *."
                )
        self.declared = tuple(c for c in counters if isinstance(c, Counter))
        self.derived = tuple(dict.fromkeys(d for d in counters if isinstance(d, Derived)))
        self.derived_tables = frozenset(d.column.table for d in self.derived)
        self.sources: dict[Mapper[Any], Source] = {}
        """By the declared class, with the counters that were declared on it."""
        self.parents: tuple[Mapper[Any], ...] = ()
        """The classes that hold counters, in the order in which they are written."""
        self.numbers: tuple[Number, ...] = ()
        """The counters that number their sources."""
        self.tables: Mapping[Table, Mapper[Any] | None] = {}
        """The tables of sources and parents, and those from which a cascade starts."""
        self.cascades = Cascades(())
        self.deletion_lock_order = DeletionLockOrder(())
        self.partners: Partners = {}
        """By a class: the classes whose rows must be in the same database."""
        self.copied_relations: CopiedRelations = {}
        """By the class that others copy from."""
        self.followers: dict[Counter, list[Callable[..., None]]] = {}
        """Callbacks that show the copies of a counter when memory shows a new value of it."""
        self.classes: tuple[type[Session], ...] = ()
        """The session classes that the counters are installed on."""
        self.extensions: dict[type[Session], CounterRegistry] = {}
        """By a session class: the extension that keeps these counters there, with its own."""
        self.bases: tuple[CounterRegistry, ...] = ()
        """The registries whose counters this one keeps as their extension."""
        self.allows_uncounted = False
        """Whether sessions without the counters may write counted rows."""
        self.verdicts: MutableMapping[type[Session], dict[Mapper[Any], bool]] = WeakKeyDictionary()
        """Whether sessions of a class may write rows of a mapper; cleared at each install."""
        self.is_resolved = False
        self._of_parent: dict[Mapper[Any], tuple[Counter, ...]] = {}
        self._empty: dict[Mapper[Any], dict[str, Any]] = {}
        self._chained: Chains = {}
        self._dependencies: dict[Mapper[Any], tuple[str, ...]] = {}
        self.source_of_class = _SourcesByClass(())
        """By the class of an object: what it counts for, or None."""

    def resolve(self) -> None:
        """Configure the mappers, check the declarations, and fill the maps.

        :raises CounterDeclarationError: with all that is wrong.
        """
        configure_mappers()
        sound, findings = check(self.declared)
        findings += check_no_counters(self.derived, sound)
        by_source: dict[Mapper[Any], list[Counter]] = {}
        by_parent: dict[Mapper[Any], list[Counter]] = {}
        chains = find_chains(sound)
        self.copied_relations = find_copied_relations(sound, chains)
        tracked = tracked_counters(sound, self.copied_relations)
        self.source_of_class = _SourcesByClass(tracked)
        for counter in tracked:
            by_source.setdefault(counter.source, []).append(counter)
        for counter in sound:
            by_parent.setdefault(counter.parent, []).append(counter)
        for mapper in self.copied_relations:
            by_parent.setdefault(mapper, [])
        raise_findings([*findings, *check_tables(by_source)])
        self.numbers = tuple(counter for counter in sound if isinstance(counter, Number))
        self.parents = order_parents(
            by_parent, chains, self.copied_relations, {n.parent for n in self.numbers}
        )
        self._of_parent = {mapper: tuple(counters) for mapper, counters in by_parent.items()}
        self._empty = {
            mapper: {counter.key: counter.empty for counter in counters}
            for mapper, counters in by_parent.items()
        }
        self.sources = {mapper: Source(mapper, counters) for mapper, counters in by_source.items()}
        # Copies are not changed by differences.
        self._chained = {
            mapper: {outer: inner for outer, inner in chained.items() if not outer.is_copy}
            for mapper, chained in chains.items()
        }
        self._dependencies = {mapper: self._find_dependencies(mapper) for mapper in by_parent}
        self.cascades = Cascades(self.sources.values())
        self.deletion_lock_order = DeletionLockOrder(self.sources.values())
        self.partners = find_partners(self.declared)
        self.tables = find_tables(self.sources, self.parents, self.cascades)

    def extends(self, other: CounterRegistry) -> bool:
        """Return whether this registry has all counters of `other`, and more."""
        return {*other.declared, *other.derived} < {*self.declared, *self.derived}

    def find_installed(self, session_class: type[Session]) -> CounterRegistry | None:
        """Return the registry that keeps these counters in sessions of a class.

        This one, or an extension of it; None where they are not installed.
        """
        for extended_class, extension in self.extensions.items():
            if issubclass(session_class, extended_class):
                return extension.find_installed(session_class)
        return self if issubclass(session_class, self.classes) else None

    def is_active_in(self, session: Session) -> bool:
        """Return whether this registry keeps its counters in `session`, and no extension does."""
        extended = isinstance(session, tuple(self.extensions))
        return isinstance(session, self.classes) and not extended

    def parent_of(self, class_: type[Any]) -> Mapper[Any]:
        """Return the declared parent that `class_` is, or inherits from.

        :raises TypeError: for a class that has no counters.
        """
        mapper: Mapper[Any] = class_.__mapper__
        for parent in self.parents:
            if mapper.isa(parent):
                return parent
        raise TypeError(f"{class_.__name__} has no counters")

    def counters_of(self, parent: Mapper[Any]) -> tuple[Counter, ...]:
        """Return the counters that are stored on `parent`."""
        return self._of_parent[parent]

    def empty_counters(self, parent: Mapper[Any]) -> Mapping[str, Any]:
        """Return the counters of a parent that nothing counts for, by attribute name."""
        return self._empty[parent]

    def chained(self, parent: Mapper[Any]) -> dict[Counter, Counter]:
        """Return the counters that are computed from counters of `parent`, with the inner ones."""
        return self._chained.get(parent, {})

    def dependencies_on(self, parent: Mapper[Any]) -> tuple[str, ...]:
        """Return the attributes of `parent` that chains and copies go on with."""
        return self._dependencies[parent]

    def _find_dependencies(self, parent: Mapper[Any]) -> tuple[str, ...]:
        names = {name for outer in self.chained(parent) for name in outer.tracked}
        if not self.counters_of(parent):  # of rows that others copy something of
            names |= copied_names(self.copied_relations[parent])
        return tuple(sorted(names))

    def all_copied_relations(self) -> list[CopiedRelation]:
        """Return every link, whatever it points to."""
        return [relation for relations in self.copied_relations.values() for relation in relations]

    def knows(self, mapper: Mapper[Any]) -> bool:
        """Return whether the tables of `mapper` hold or feed counters or derived columns."""
        return any(table in self.tables or table in self.derived_tables for table in mapper.tables)

    def mapper_of(self, table: Table) -> Mapper[Any] | None:
        """Return the class that is mapped to a table of the registry, if there is one."""
        derived = (column.mapper for column in self.derived if column.column.table is table)
        return self.tables.get(table) or next(derived, None)

    def sources_in(self, tables: Iterable[Any]) -> list[Source]:
        """Return the sources whose rows are stored in one of `tables`."""
        return [source for source in self.sources.values() if {*tables} & {*source.mapper.tables}]

    def source_of(self, state: InstanceState[Any]) -> Source | None:
        """Return what an object counts for; None if it counts for nothing."""
        return self.source_of_class[state.mapper]


class _SourcesByClass(dict[Mapper[Any], Source | None]):
    """The sources of classes, each with the counters of all classes that it inherits from."""

    def __init__(self, counters: Iterable[Counter]) -> None:
        self._counters = tuple(counters)

    def __missing__(self, mapper: Mapper[Any]) -> Source | None:
        counters = [c for c in self._counters if counts_as(mapper, c.source)]
        source = self[mapper] = Source(mapper, counters) if counters else None
        return source
