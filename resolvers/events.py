"""What hooks are told of a change: who asks for it, by which request, and the rows as shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import Event, HookedOperation, run_before_hooks, schedule_after_hooks
from ..models import Author
from .pagination.arguments import Record

_OF_THEIR_OWN = frozenset({"create_thread", "add_comment"})
"""The operations whose comment is the viewer's own."""


async def run_before(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **rows: Record | None
) -> None:
    """Run the hooks before a change.

    :param rows: what an :class:`~tallied.host.hooks.Event` has of them.
    :raises Vetoed: where one of them forbids it.
    """
    if access.rules.hooks:
        await run_before_hooks(
            access.rules.hooks, await _event(unit, access, operation, rows), unit
        )


async def run_after(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **rows: Record | None
) -> None:
    """Have the hooks after a change run once it is committed."""
    if access.rules.hooks:
        schedule_after_hooks(access.rules.hooks, await _event(unit, access, operation, rows), unit)


async def _event(unit: UnitOfWork, access: Access, operation: HookedOperation, rows: Any) -> Event:
    comment = rows.get("comment")
    if comment is not None:
        viewer = access.viewer
        if viewer is not None and viewer.name is not None and operation in _OF_THEIR_OWN:
            name: str | None = viewer.name  # which their author has by now
        else:
            name = await _shown_name(unit, access, comment)
        rows = {**rows, "comment": {**comment, "author_name": name}}
    return Event(operation, access.viewer, **rows, by_host=access.is_host, request=access.request)


async def _shown_name(unit: UnitOfWork, access: Access, comment: Record) -> str | None:
    """Return the name of who wrote a comment, as the API shows it."""
    name: str | None = comment["author_name"]
    author_id: UUID | None = comment["author_id"]
    if author_id is not None:
        if author_id not in unit.author_names:
            with unit.session.no_autoflush:
                query = select(Author.name).where(Author.id == author_id)
                unit.author_names[author_id] = await unit.session.scalar(query)
        return unit.author_names[author_id]
    return access.rules.deleted_author() if name is None else name
