"""Check the columns of a counter: its own, the one that it sums, and those of its condition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Date, DateTime, Float, Integer, Numeric, TextClause, Time
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute
from sqlalchemy.types import TypeDecorator

from ..declarations.counter import Counter
from ..declarations.kinds import Additive, Count
from ..declarations.mapped_rows import column_of
from ..declarations.number import Number
from .findings import Finding


def check_target(counter: Counter) -> Iterator[Finding]:
    prop = counter.target.property
    if counter.parent.column_attrs.get(counter.key) is not prop:
        yield (
            "counters.E005",
            f"{counter} is not a column of {counter.parent.class_.__name__}, "
            f"{'where' if counter.is_copy else 'to which'} {counter.via} "
            f"{'starts' if counter.is_copy else 'leads'}.",
            "Let the counter and the relationship name the same class.",
        )
        return
    column = column_of(counter.parent, counter.key)
    if column not in set(counter.parent.local_table.c):
        yield (
            "counters.E016",
            f"{counter} is stored in {column.table}, while {counter.via} leads to rows of "
            f"{counter.parent.local_table}.",
            "Declare the counter on the class that the relationship leads to.",
        )
        return
    yield from _check_default(counter, column)
    version = counter.parent.version_id_col
    # Any UPDATE gives the row another version by xmin, or by what a trigger sets.
    if version is not None and (
        version is column or version.system or version.server_onupdate is not None
    ):
        yield (
            "counters.E009",
            f"{counter.parent.class_.__name__} takes {version.name} for its version_id_col, "
            f"which every change of {counter} would bump.",
            "Use a version column that only the ORM writes.",
        )


def _check_default(counter: Counter, column: Column[Any]) -> Iterator[Finding]:
    if counter.empty is not None and column.nullable:
        yield (
            "counters.E006",
            f"{counter} is nullable, and NULL plus a difference stays NULL.",
            "Declare it nullable=False (Mapped[int]) with server_default='0'.",
        )
    if counter.empty is not None and column.server_default is None:
        yield (
            "counters.E007",
            f"{counter} has no server default, so a row that SQL inserts would have no count.",
            "Add server_default='0'.",
        )
    if counter.empty is None and not column.nullable:
        yield (
            "counters.E008",
            f"{counter} is not nullable, but a parent without sources has none.",
            "Declare it nullable (Mapped[… | None]).",
        )
    if (start := _start(column)) is not None and start != counter.empty:
        yield (
            "counters.E026",
            f"{counter} starts at {start} by its server default, before anything counts for it.",
            "Leave the server default at '0', or at NULL for an extreme.",
        )


def _start(column: Column[Any]) -> Decimal | None:
    """Return the number that a new row starts with; None where no number is written down."""
    written = getattr(column.server_default, "arg", None)
    match = _NUMBER.fullmatch(str(written)) if isinstance(written, str | TextClause) else None
    return None if match is None else Decimal(match.group(1))


_NUMBER = re.compile(r"[\s('\"]*([+-]?\d+(?:\.\d*)?)[\s)'\"]*(?:::.*)?")


def check_of(counter: Counter) -> Iterator[Finding]:
    if isinstance(counter, Count):
        return
    of: Any = counter.of
    mapped = isinstance(of, InstrumentedAttribute) and isinstance(of.property, ColumnProperty)
    if (
        not mapped
        or counter.source.column_attrs.get(of.key) is not of.property
        or not isinstance(column_of(counter.source, of.key), Column)
    ):
        yield (
            "counters.E010",
            f"{counter} is computed from {of}, which is not a column of "
            f"{counter.source.class_.__name__}, "
            f"{'to which' if counter.is_copy else 'where'} {counter.via} "
            f"{'leads' if counter.is_copy else 'starts'}.",
            "A sum takes a stored column of the class that is counted; for a chain, that is "
            "the counter one step further down.",
        )
        return
    if counter.key not in counter.parent.column_attrs:
        return  # as check_target says
    yield from _check_types(counter, of)


def _check_types(counter: Counter, of: InstrumentedAttribute[Any]) -> Iterator[Finding]:
    source = plain_type(column_of(counter.source, of.key).type)
    target = plain_type(column_of(counter.parent, counter.key).type)
    if isinstance(counter, Additive):
        if isinstance(source, Float) or not isinstance(source, Integer | Numeric):
            yield (
                "counters.E011",
                f"{counter} sums {of}, whose sum is not exact, or not a number.",
                "Use Integer or Numeric.",
            )
        elif _scale(target) < _scale(source):
            yield (
                "counters.E011",
                f"{counter} keeps fewer digits than {of}, which it sums.",
                "Give the counter the type of the column, with room for the sum.",
            )
    elif not isinstance(source, Integer | Numeric | Date | DateTime | Time):
        yield (
            "counters.E017",
            f"{counter} compares {of}, which the database may order differently from Python.",
            "Take the extreme of a number or a time.",
        )


def check_number(counter: Counter) -> Iterator[Finding]:
    """Yield a finding for a column that cannot take the numbers of :class:`.Number`."""
    if not isinstance(counter, Number):
        return
    column = column_of(counter.source, counter.of.key)
    if counter.is_copy or not isinstance(plain_type(column.type), Integer):
        yield (
            "counters.E042",
            f"{counter.of} is not an integer column of the class that {counter.via} starts from.",
            "Number the rows of the class that has the foreign key, by an Integer or BigInteger.",
        )
    elif not column.nullable or column.default is not None or column.server_default is not None:
        yield (
            "counters.E042",
            f"{counter.of} is not nullable or has a default, but a row has no number until "
            f"{counter} gives it one.",
            "Declare it nullable (Mapped[int | None]), without a default.",
        )


def plain_type(type_: Any) -> Any:
    return type_.impl_instance if isinstance(type_, TypeDecorator) else type_


def _scale(type_: Any) -> float:
    """Return the number of decimal places of a type; infinite where it sets no limit."""
    if isinstance(type_, Numeric):
        return float("inf") if type_.scale is None else float(type_.scale)
    return 0.0


def check_where(counter: Counter) -> Iterator[Finding]:
    hint = "Compare the source's own stored columns with values, by ==, <, in_, is_, and_, or_."
    try:
        predicate = counter.predicate
    except Exception as error:
        yield "counters.E012", f"The where of {counter} cannot be evaluated: {error}.", hint
        return
    if predicate is not None and not predicate.names:
        yield "counters.E012", f"The where of {counter} names no column of the source.", hint
