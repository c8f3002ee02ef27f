"""NaN and the infinities, which PostgreSQL's NUMERIC and floats have.

A difference cannot undo them in a sum, since NaN - NaN and Infinity - Infinity are NaN. PostgreSQL
takes NaN as equal to itself and greater than any other number ("Numeric Types" in its
documentation); Python does not order it. SQLite stores NaN as NULL.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import total_ordering
from math import isfinite
from typing import Any

UNTRAPPED = Context(traps=[])
"""For arithmetic as in the database, where Infinity - Infinity is NaN and no error."""


def is_finite(value: Any) -> bool:
    """Return whether a difference may be made of `value`; anything but a number passes."""
    if isinstance(value, Decimal):
        return value.is_finite()
    return not isinstance(value, float) or isfinite(value)


@total_ordering
class _Greatest:
    """Stands for NaN where values are compared."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __lt__(self, other: object) -> bool:
        return False


_GREATEST = _Greatest()


def are_same(one: Any, other: Any) -> bool:
    """Return whether two values are the same to the database, where NaN equals itself."""
    return bool(comparable(one) == comparable(other))


def comparable(value: Any) -> Any:
    """Return what compares with others as `value` does in the database."""
    return _GREATEST if isinstance(value, Decimal | float) and value != value else value
