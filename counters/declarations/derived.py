"""Derived columns: stored columns that Python computes from another column of their row.

A sum is taken over a stored column, so that the database can check it. Where Python computes that
column, only Python can tell whether it is right. A :class:`Derived` declares the computation and
keeps the column; :meth:`.Counters.verify` and :func:`.derived_columns.repair` use it::

    Derived(Comment.word_count, of=Comment.message, compute=lambda text: len(text.split()))

Assignments to attributes and flushes are kept by :mod:`.derivation`, from the declaration on,
and so is an INSERT that leaves the column out, on any connection. Other statements are kept by
:mod:`.derived_dml`, in the sessions that the :class:`.Counters` are installed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper

from ...errors import CounterDeclarationError
from ..session.protection import ENGINES
from . import derivation
from .counter import Counter


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
