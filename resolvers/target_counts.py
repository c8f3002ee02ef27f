"""The counts of many objects of the host, by one statement, for lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    func,
    or_,
    select,
)

from ..database.row_reader import RowReader
from ..errors import BadUserInput
from ..host.access import HostRules
from ..models import Thread
from .lists import is_among
from .selections import table_of
from .validation import find_unstorable
from .view_types import TargetCounts

MAX_TARGETS = 100
"""The most objects whose counts are read at once."""


class TargetKey(NamedTuple):
    """The registered type and the id of an object of the host."""

    type: str
    id: str


def check_targets(rules: HostRules, targets: Sequence[TargetKey]) -> None:
    """Check what objects the counts are asked of.

    :raises BadUserInput: for too many.
    :raises UnknownTargetType: for a type that is not registered.
    """
    if len(targets) > MAX_TARGETS:
        raise BadUserInput(
            f"targets has {len(targets)} objects; ask for at most {MAX_TARGETS} at once.",
            field="targets",
        )
    for index, target in enumerate(targets):
        rules.target(target.type, f"targets[{index}].type")


async def read_target_counts(
    reader: RowReader,
    targets: Sequence[TargetKey],
    read_condition: ColumnElement[bool] | None = None,
) -> list[TargetCounts]:
    """Return the counts of each object, in the order of `targets`.

    :param read_condition: the condition that their threads must meet.
    """
    is_sqlite = reader.dialect.name == "sqlite"
    conditions = target_conditions(targets, read_condition, is_sqlite=is_sqlite)
    rows = await reader.select(select_counts(conditions)) if conditions else ()
    return counts_of(targets, rows)


def target_conditions(
    targets: Sequence[TargetKey],
    read_condition: ColumnElement[bool] | None,
    *,
    is_sqlite: bool,
) -> list[ColumnElement[bool]]:
    """Return the conditions for the threads about these objects; none if there cannot be any."""
    ids: dict[str, dict[str, None]] = {}
    for type, id in targets:
        if not find_unstorable(id):
            ids.setdefault(type, {})[id] = None
    if not ids:
        return []
    table = table_of(Thread)
    of_targets = [
        and_(table.c.target_type == type, _is_among(table.c.target_id, list(ids[type]), is_sqlite))
        for type in sorted(ids)
    ]
    return [or_(*of_targets), *([] if read_condition is None else [read_condition])]


def _is_among(column: Any, values: list[str], is_sqlite: bool) -> ColumnElement[bool]:
    condition = is_among(column, values, is_sqlite=is_sqlite)
    # The nulls of threads about nothing, of which there may be very many, are in the statistics of
    # ANALYZE like one frequent value, for which SQLite would rather read the whole table. (With the
    # type of a condition, the function would be written as a comparison with 1.)
    return func.unlikely(condition) if is_sqlite else condition


def select_counts(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query of the counts of the threads that meet these conditions."""
    names = ("target_type", "target_id", "comment_count", "word_count", "last_comment_at")
    table = table_of(Thread)
    return select(*(table.c[name] for name in names)).where(*conditions)


def counts_of(targets: Sequence[TargetKey], rows: Sequence[Sequence[Any]]) -> list[TargetCounts]:
    """Return the counts of each object by the rows of :func:`select_counts`.

    An object without a thread, or with one that the viewer may not read, has no comments.
    """
    by_target: Mapping[Any, Sequence[Any]] = {(row[0], row[1]): row[2:] for row in rows}
    return [TargetCounts(*target, *by_target.get(target, (0, 0, None))) for target in targets]
