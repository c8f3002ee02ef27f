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

from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute

from ...errors import CounterDeclarationError
from . import derivation
from .computation import Computation


@dataclass(frozen=True, eq=False)
class Derived(Computation):
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

    registries: list[Any] = field(default_factory=list, init=False, repr=False)
    """The registries that keep it in statements."""

    def __post_init__(self) -> None:
        for finding in _findings(self):
            raise CounterDeclarationError(*finding)
        derivation.listen(self)


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
            f"The compute of {derived} is not a plain function.",
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
