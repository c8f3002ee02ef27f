"""Numbers of the rows of a parent, in the order of commits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, func, or_
from sqlalchemy.orm import InstrumentedAttribute

from .change import Change
from .kinds import Max


class Number(Max):
    """The number of a source within its parent: 1, 2, 3, … in the order in which they commit.

    ``Number(Comment.seq, via=Comment.thread, last=Thread.last_seq)`` gives each comment the next
    number of its thread, under the lock of the thread's row. So a reader of all rows up to a number
    misses none that commits later. `last` is the greatest number that was ever given; a
    deletion leaves it as it is, so that no number is given twice.

    With ``where=Comment.shown``, a comment takes its number once it first meets the condition, and
    keeps it from then on; so the numbers tell nothing of comments that have never met it.

    :param number: the column of the source that takes the number; it is NULL until then.
    :param via: the relationship from the source to its parent.
    :param last: the column of the parent with the last number.
    :param where: as of every counter.
    """

    def __init__(
        self,
        number: InstrumentedAttribute[Any],
        *,
        via: InstrumentedAttribute[Any],
        last: InstrumentedAttribute[Any],
        where: ColumnElement[bool] | InstrumentedAttribute[bool] | None = None,
    ) -> None:
        super().__init__(last, of=number, via=via, where=where)

    @property
    def empty(self) -> Any:
        return 0

    def decrement(self, change: Change, value: Any) -> None:
        """Do nothing: a number that is gone is not given again."""

    def must_look_up(self, change: Change, stored: Any) -> bool:
        return False

    def unnumbered(self) -> ColumnElement[int]:
        """Return the aggregate for how many sources have no number of their own."""
        number = self.amount
        rows: ColumnElement[int] = func.count()
        if self.condition is not None:
            rows = func.count().filter(or_(self.condition, number.is_not(None)))
        return rows - func.count(number.distinct())

    def recounted(
        self, stored: ColumnElement[Any], greatest: Any, unnumbered: Any
    ) -> ColumnElement[Any]:
        """Return the value that `last` should have once all sources are numbered.

        :param greatest: the greatest number of the sources, or NULL.
        :param unnumbered: how many have no number of their own, or NULL.
        """
        greatest = func.coalesce(greatest, 0)
        last = case((stored >= greatest, stored), else_=greatest)
        return last + func.coalesce(unnumbered, 0)
