"""The result of a change, and the steps that all changes share."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import HookedOperation
from .events import run_after
from .pagination.arguments import Record
from .validation import expect_type


class ChangedRows(NamedTuple):
    """The rows of a change, each with the columns that are in memory after it."""

    thread: Record
    comment: Record | None = None
    previous_thread: Record | None = None
    is_duplicate: bool = False
    """Whether nothing was written because the comment had been sent just before."""
    removed_ids: tuple[UUID, ...] = ()
    """The keys of the comments that are in no list any more."""


def expect_arguments(unit: UnitOfWork, access: Access, **ids: UUID) -> None:
    """Check the types of the arguments that every change takes.

    :raises TypeError: naming the first argument of another type.
    """
    expect_type(UnitOfWork, unit=unit)
    expect_type(Access, access=access)
    expect_type(UUID, **ids)


async def finish(
    unit: UnitOfWork,
    access: Access,
    operation: HookedOperation,
    change: ChangedRows,
    *,
    reason: str | None = None,
) -> ChangedRows:
    """Schedule the hooks that follow a change, and return the change."""
    if access.rules.hooks:
        rows = {name: getattr(change, name) for name in ("thread", "comment", "previous_thread")}
        await run_after(unit, access, operation, reason=reason, **rows)
    return change
