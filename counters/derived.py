"""Derived columns: stored columns that Python computes from another column of their row.

A sum is taken over a stored column, so that the database can check it; but whether that
column is right itself, only Python can tell where Python computes it. A :class:`Derived`
says how it is computed, keeps it, and :meth:`.Counters.verify` and :func:`repair` go by it::

    Derived(Comment.word_count, of=Comment.message, compute=lambda text: len(text.split()))

Assignments to attributes and flushes are kept by :mod:`.derivation`, from the declaration on,
and so is an INSERT that leaves the column out, on any connection. Other statements are kept by
:mod:`.derived_dml`, in the sessions that the :class:`.Counters` are installed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Select, select
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper, Session

from ..errors import CounterDeclarationError
from . import derivation
from .binds import bound_to_write
from .declare import Counter, Key
from .guard import ENGINES
from .rows import MOST_PARAMETERS, in_keys, primary_key
from .special_values import are_same
from .truth import after

AHEAD = 100_000
"""How many keys are held in memory, at most, where rows are chosen by a condition."""


@dataclass(frozen=True, eq=False)
class Derived:
    """A stored column that is a function of another column of its row.

    From here on it is kept: setting the other column sets this one too, and assigning another
    value to it is refused. Hand the declaration to :class:`.Counters` to keep it in statements,
    and to verify it.

    :param target: the column that is computed.
    :param of: the column that it is computed from.
    :param compute: from a value of `of`, as Python sees it, to the value of `target`. It is
        called with None only where `of` may be NULL.
    :raises CounterDeclarationError: for a column that cannot be kept so.
    """

    target: InstrumentedAttribute[Any]
    of: InstrumentedAttribute[Any]
    compute: Callable[[Any], Any]
    engines: list[Any] = field(default_factory=list, init=False, repr=False)
    """The :class:`.Counters` that keep it in statements."""

    def __post_init__(self) -> None:
        for finding in _findings(self):
            raise CounterDeclarationError(*finding)
        derivation.keep(self)

    def __str__(self) -> str:
        return f"{self.target.class_.__name__}.{self.target.key}"

    @property
    def source_name(self) -> str:
        """The name of the column that it is computed from, such as ``Comment.message``."""
        return f"{self.of.class_.__name__}.{self.of.key}"

    @property
    def mapper(self) -> Mapper[Any]:
        """The mapper of the class that has both columns."""
        mapper: Mapper[Any] = self.target.class_.__mapper__
        return mapper

    @cached_property
    def column(self) -> Column[Any]:
        """The table's column that is computed."""
        return _column_of(self.target)

    @cached_property
    def source_column(self) -> Column[Any]:
        """The table's column that it is computed from."""
        return _column_of(self.of)

    def computed(self, value: Any) -> Any:
        """Return the value of `target` for a value of `of`.

        None for None where `of` cannot be NULL: then the database refuses the row.
        """
        if value is None and not self.source_column.nullable:
            return None
        return self.compute(value)


def _column_of(attribute: InstrumentedAttribute[Any]) -> Column[Any]:
    column: Column[Any] = attribute.property.columns[0]
    return column


def _findings(derived: Derived) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a declaration: an id, a sentence and a hint each."""
    for attribute in (derived.target, derived.of):
        if not _is_plain_column(attribute):
            yield (
                "counters.E030",
                f"A derived column was declared with {attribute}, which is not a plain column.",
                "Give two mapped columns that neither the database nor an onupdate computes.",
            )
            return
    target, of = derived.column, derived.source_column
    is_same_class = derived.of.class_ is derived.target.class_
    if target is of or target.table is not of.table or not is_same_class:
        yield (
            "counters.E031",
            f"{derived} is derived from {derived.source_name}, which is not another column of its "
            f"own class and table.",
            "Derive it from a column of the same row.",
        )
    if derivation.DERIVED in target.info:
        yield (
            "counters.E032",
            f"{derived} is derived twice.",
            "Declare it once, and hand that declaration to each Counters.",
        )
    if derivation.DERIVED in of.info or derivation.SOURCE in target.info:
        yield (
            "counters.E032",
            f"{derived} and {derived.source_name} would be derived one after the other.",
            "Derive both from the same first column.",
        )
    if not callable(derived.compute) or iscoroutinefunction(derived.compute):
        yield (
            "counters.E033",
            f"The compute of {derived} is no plain function.",
            "Give a function from a value of one column to a value of the other.",
        )


def _is_plain_column(attribute: Any) -> bool:
    """Return whether nobody but a writer changes the attribute's column."""
    if not isinstance(attribute, InstrumentedAttribute):
        return False
    prop = attribute.property
    if not isinstance(prop, ColumnProperty) or not isinstance(prop.columns[0], Column):
        return False
    column = prop.columns[0]
    return column.computed is None and column.onupdate is None and column.server_onupdate is None


def check_no_counters(
    columns: Iterable[Derived], counters: Iterable[Counter]
) -> Iterator[tuple[str, str, str]]:
    """Yield a finding for each counter that is derived, or that a column is derived from."""
    of_counters = {
        column.info[name]
        for column in (_column_of(counter.target) for counter in counters)
        for name in (derivation.DERIVED, derivation.SOURCE)
        if name in column.info
    }
    for derived in columns:
        if ENGINES in derived.target.property.info or ENGINES in derived.of.property.info:
            of_counters.add(derived)
    for derived in of_counters:
        yield (
            "counters.E034",
            f"{derived} is derived from {derived.source_name}, and one of them is a counter, "
            f"which only its counter writes.",
            "Derive a column of its own from a column that is no counter.",
        )


@dataclass(frozen=True)
class Page:
    """Some rows that were looked at, in the order of their keys."""

    rows: int
    """How many there were."""
    last: Key
    """The key of the last one; go on after it."""
    wrong: list[Key]
    """The keys of those whose amount is wrong."""


def pages(
    connection: Connection,
    derived: Derived,
    *,
    size: int,
    start: Key | None = None,
    where: ColumnElement[bool] | None = None,
) -> Iterator[Page]:
    """Look through all rows, `size` at a time at most, each page in a transaction of its own.

    Between two pages nothing is locked and no snapshot is held, so that the wrong rows of
    each can be put right by :func:`repair` in another transaction.

    :param start: the key to start after.
    :param where: which rows to look at.
    """
    size = min(size, MOST_PARAMETERS // len(derived.mapper.primary_key))
    walk = _all(connection, derived, size, start)
    if where is not None:
        walk = _chosen(connection, derived, size, start, where)
    for rows in walk:
        wrong = [
            own for own, value, stored in rows if not are_same(derived.computed(value), stored)
        ]
        yield Page(len(rows), rows[-1][0], wrong)


Row: TypeAlias = tuple[Key, Any, Any]
"""The key of a row, what its amount is computed from, and the amount that it has."""


def _all(
    connection: Connection, derived: Derived, size: int, start: Key | None
) -> Iterator[list[Row]]:
    key, last = primary_key(derived.mapper), start
    statement = _rows_of(derived).limit(size)
    while rows := _read(
        connection, statement if last is None else statement.where(after(key, last))
    ):
        last = rows[-1][0]
        yield rows


def _chosen(
    connection: Connection,
    derived: Derived,
    size: int,
    start: Key | None,
    where: ColumnElement[bool],
) -> Iterator[list[Row]]:
    """Rows that meet `where`, whose keys are looked up for many pages at once.

    No index holds them in the order of their keys, so looking them up may mean to go
    through all of them and sort; for each page, that would be quadratic.
    """
    key, last = primary_key(derived.mapper), start
    statement = select(*key).where(where).order_by(*key).limit(AHEAD)
    while True:
        ahead = statement if last is None else statement.where(after(key, last))
        with connection.begin():
            keys = [tuple(row) for row in connection.execute(ahead)]
        for first in range(0, len(keys), size):
            some = keys[first : first + size]
            if rows := _read(connection, _rows_of(derived).where(in_keys(key, some))):
                yield rows
        if len(keys) < AHEAD:
            return
        last = keys[-1]


def _rows_of(derived: Derived) -> Select[Any]:
    key = primary_key(derived.mapper)
    return select(*key, derived.of, derived.target).order_by(*key)


def _read(connection: Connection, statement: Select[Any]) -> list[Row]:
    with connection.begin():
        return [(tuple(row[:-2]), row[-2], row[-1]) for row in connection.execute(statement)]


def repair(session: Session, derived: Derived, keys: Sequence[Key]) -> int:
    """Put the amounts of some rows right through `session`, so that every counter follows.

    The rows are locked before they are read, so an edit that is under way meanwhile is
    neither lost nor mixed up. It is a change of each row like any other: the session's
    events and the columns' ``onupdate`` take part.

    :param session: one that the counters are installed on, in a transaction that the
        caller commits. On SQLite that transaction must have begun as a writer's.
    :returns: how many of them were still wrong.
    """
    key = primary_key(derived.mapper)
    locked = (
        select(derived.mapper.class_)
        .where(in_keys(key, keys))
        .order_by(*key)
        .with_for_update(key_share=True, of=derived.mapper.tables)
        .execution_options(populate_existing=True)
    )
    repaired = 0
    with bound_to_write(session, derived.mapper):
        objects = session.scalars(locked).all()
    for obj in objects:
        true = derived.computed(getattr(obj, derived.of.key))
        if not are_same(getattr(obj, derived.target.key), true):
            setattr(obj, derived.target.key, true)
            repaired += 1
    session.flush()
    return repaired
