"""What may have made a counter wrong, as far as that can be told from what is there now.

Whoever reads "stored 5, true 7" asks how that came to be. What has happened is not
recorded anywhere, so these are likely causes and no more: each follows from the two
values, from the parent's other counters, or from one row that is just the difference.
Where nothing can be told, nothing is said.

"Past the engine" means: by raw SQL, by a database trigger, or by a program or an older
version that does not have the counter declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, literal

from ..declarations.counter import Count, Counter, Extreme, Sum
from ..declarations.mapped_rows import columns_of, select_rows
from ..declarations.special_values import comparable
from ..sql.recount import key_columns


class Found(NamedTuple):
    """What is known of one counter of one parent."""

    stored: Any
    true: Any
    is_a_row: bool = False
    """Whether some source has just the amount that the counter lacks."""


AMOUNT = "the row was written past the ORM, or the rule that computes it has changed since"
"""Why an amount is not what Python computes for its row."""


def a_row_has_it(
    counter: Sum, parents: FromClause, stored: ColumnElement[Any], true: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether some source of a parent has just the amount that `stored` lacks of `true`.

    Part of the statement that finds drift, so it is asked of the same snapshot; and since it is
    only selected there, of drifted parents alone.
    """
    foreign = columns_of(counter.source, counter.foreign_key)
    key = key_columns(parents, counter.parent)
    lacking = select_rows(counter.source, literal(1)).where(
        *(mine == its for mine, its in zip(foreign, key, strict=True)),
        counter.amount == true - stored,
    )
    if counter.condition is not None:
        lacking = lacking.where(counter.condition)
    return lacking.correlate_except(*counter.source.tables).exists()


def likely_cause(counter: Counter, found: Mapping[Counter, Found]) -> str | None:
    """One sentence without a full stop; None where nothing can be told.

    :param found: what is known of the parent's counters, this one included.
    """
    mine = found[counter]
    if counter.is_linked:
        return _of_copy(counter, mine)
    if isinstance(counter, Extreme):
        return _of_extreme(counter, mine)
    if mine.stored == counter.empty:
        return "still at its default: never filled, or its rows were added past the engine"
    if isinstance(counter, Count):
        return _of_count(mine)
    return _of_sum(mine, _count_beside(counter, found))


def _of_copy(counter: Counter, mine: Found) -> str:
    name = counter.source.class_.__name__
    if mine.stored == counter.empty:
        return f"still at its default: never filled, or pointed to the {name} past the engine"
    if mine.true == counter.empty:
        return f"it points to no {name} that counts: detached or deleted past the engine"
    return f"the {name} was changed, or another one pointed to, past the engine"


def _of_extreme(counter: Extreme, mine: Found) -> str:
    if mine.stored is None:
        return "still at its default: never filled, or its rows were added past the engine"
    if mine.true is None:
        return "no row is left: they were deleted or moved past the engine"
    if counter.best(mine.stored, mine.true) is mine.stored:
        return "no row has this value: it was deleted, moved or changed past the engine"
    return "the row with the true value was added, moved or changed past the engine"


def _of_count(mine: Found) -> str:
    difference = mine.stored - mine.true
    if mine.stored < 0:
        return "less than none: a row that was never counted was taken off"
    if difference > 0:
        return f"{_rows(difference)} deleted or moved away past the engine"
    return f"{_rows(-difference)} added or moved in past the engine"


def _of_sum(mine: Found, count: Found | None) -> str | None:
    if count is not None and count.stored > count.true == 0:
        return "no row is left: they were deleted or moved past the engine"
    if mine.is_a_row:
        return f"one row is just what is missing ({mine.true - mine.stored}): added past the engine"
    if count is None:
        return None
    if count.stored == count.true:
        return "the number of rows is right: an amount was changed past the engine"
    too_many = count.stored > count.true
    is_greater = comparable(mine.stored) > comparable(mine.true)
    # Rows that were added do not make a sum too great, unless amounts are negative.
    return _of_count(count) if too_many == is_greater else None


def _count_beside(counter: Counter, found: Mapping[Counter, Found]) -> Found | None:
    """What is known of the number of the same rows."""
    for other, known in found.items():
        same = other.relationship is counter.relationship and other.source is counter.source
        if isinstance(other, Count) and same and _same(other.where, counter.where):
            return known
    return None


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one.compare(other))


def _rows(number: int) -> str:
    return "1 row was" if number == 1 else f"{number:,} rows were"
