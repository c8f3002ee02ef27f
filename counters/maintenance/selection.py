"""The counters and the parents that ``verify`` and ``rebuild`` are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Mapper

from ...errors import CounterError
from ..declarations.counter import Counter
from ..declarations.derived import Derived
from ..declarations.mapped_rows import primary_key
from ..registry.counter_registry import CounterRegistry
from ..sql.recount import Within
from ..sql.rows import in_keys

Named: TypeAlias = str | type[Any] | InstrumentedAttribute[Any]
"""A counter or an amount, as ``Thread.word_count`` or by that name; or all of a class."""

Condition: TypeAlias = ColumnElement[bool]

SAMPLE_BATCH = 1000
"""How many parents of a sample one statement recounts."""


@dataclass(frozen=True)
class CounterSelection:
    """Selected counters by the class that holds them, and selected derived columns."""

    counters: dict[Mapper[Any], tuple[Counter, ...]]
    """In the order of the engine: a chain's inner links before its outer ones."""
    amounts: tuple[Derived, ...]

    def one_class(self) -> Mapper[Any]:
        """Return the one class that a condition or a key can be about, the one with the counters.

        Where amounts alone are selected, it is the class that holds them.

        :raises CounterError: where there are several.
        """
        mappers = [*self.counters] or list({derived.mapper: None for derived in self.amounts})
        if len(mappers) == 1:
            return mappers[0]
        names = " and ".join(mapper.class_.__name__ for mapper in mappers)
        raise CounterError(
            f"A condition or a key is about one class, and what is selected is of {names}; "
            f"name the counters of one class."
        )


def choose(
    registry: CounterRegistry, only: Iterable[Named], derived: bool = False
) -> CounterSelection:
    """Select the counters that `only` names; all of them where it is empty.

    :param derived: whether to choose among derived columns, too.
    :raises CounterError: for a name that is neither a counter nor one of these.
    """
    names_ = [only] if isinstance(only, str) else list(only)
    amounts = registry.derived if derived else ()
    candidates: list[Counter | Derived] = [*registry.declared, *amounts]
    for name in names_:
        if not any(_is(candidate, name) for candidate in candidates):
            names = ", ".join(str(candidate) for candidate in candidates)
            raise CounterError(f"There is no counter {_text(name)}; there is {names}.")
    selected = {
        candidate
        for candidate in candidates
        if not names_ or any(_is(candidate, name) for name in names_)
    }
    by_parent = {
        mapper: tuple(c for c in registry.counters_of(mapper) if c in selected)
        for mapper in registry.parents
    }
    return CounterSelection(
        {mapper: counters for mapper, counters in by_parent.items() if counters},
        tuple(candidate for candidate in amounts if candidate in selected),
    )


def _is(candidate: Counter | Derived, name: Named) -> bool:
    if isinstance(name, str):
        return name in (str(candidate), candidate.target.class_.__name__)
    return (
        name is candidate.target.class_ if isinstance(name, type) else str(candidate) == _text(name)
    )


def _text(name: Named) -> str:
    if isinstance(name, InstrumentedAttribute):
        return f"{name.class_.__name__}.{name.key}"
    return name if isinstance(name, str) else name.__name__


def expect_connection(connection: Any) -> None:
    """Check what the rows are read by.

    :raises TypeError: for anything but a connection, such as a session.
    """
    if not isinstance(connection, Connection):
        raise TypeError(
            f"connection must be a Connection, such as session.connection(), not a value of type "
            f"{type(connection).__name__}."
        )


def keys_of(mapper: Mapper[Any], where: Condition | None) -> Select[Any]:
    """Select the primary keys of the parents that meet `where`."""
    statement = select(*primary_key(mapper)).correlate(None)
    return statement if where is None else statement.where(where)


def parents_in(mapper: Mapper[Any], where: Condition | None) -> Within | None:
    """Return the parents that meet `where`; None for all of them."""
    return None if where is None else partial(in_keys, keys=keys_of(mapper, where))


def rows_in(
    derived: Derived, parent: Mapper[Any], counters: Sequence[Counter], within: Within
) -> ColumnElement[bool]:
    """Return the condition that a row of `derived` counts for a `parent` in `within`, or is one."""
    if parent.isa(derived.mapper):
        return within(primary_key(derived.mapper))
    ways = {c.foreign_key: None for c in counters if not c.is_copy and c.source.isa(derived.mapper)}
    class_ = derived.mapper.class_
    return or_(false(), *(within([getattr(class_, name) for name in names]) for names in ways))


def sample_parents(
    connection: Connection, mapper: Mapper[Any], where: Condition | None, size: int
) -> Iterator[Within]:
    """Yield a random sample of the parents that meet `where`, a batch at a time.

    Each parent is as likely as any other. The price is one pass over the parents' keys,
    which an index holds, and none over what they count. (``TABLESAMPLE SYSTEM`` would be
    cheaper, but PostgreSQL alone has it, and it favours rows that were written together.)
    """
    drawn = keys_of(mapper, where).order_by(func.random()).limit(size).subquery()
    ordered = select(*drawn.c).order_by(*drawn.c)
    keys = [tuple(row) for row in connection.execute(ordered)]
    for start in range(0, len(keys), SAMPLE_BATCH):
        yield partial(in_keys, keys=keys[start : start + SAMPLE_BATCH])
