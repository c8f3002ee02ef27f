"""The events of changes, for hooks: the viewer, the request, and the rows as the API shows them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import Event, HookedOperation, run_before_hooks, schedule_after_hooks
from ..models import Author
from .pagination.arguments import Record

_BY_AUTHOR = frozenset({"create_thread", "add_comment"})
"""The operations whose comment is the viewer's own."""


async def run_before(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **rows: Record | None
) -> None:
    """Run the hooks before a change.

    :param rows: the rows of the :class:`~tallied.host.hooks.Event`.
    :raises Vetoed: if one of them forbids the change.
    """
    if access.rules.hooks:
        event = await _build_event(unit, access, operation, rows)
        await run_before_hooks(access.rules.hooks, event, unit)


async def run_after(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **rows: Record | None
) -> None:
    """Schedule the hooks after a change, which run once it is committed."""
    if access.rules.hooks:
        event = await _build_event(unit, access, operation, rows)
        schedule_after_hooks(access.rules.hooks, event, unit)


async def _build_event(
    unit: UnitOfWork, access: Access, operation: HookedOperation, rows: Any
) -> Event:
    comment, viewer = rows.get("comment"), access.viewer
    if comment is not None:
        if viewer is not None and viewer.name is not None and operation in _BY_AUTHOR:
            name: str | None = viewer.name  # The author has this name by now.
        else:
            name = await _display_name(unit, access, comment)
        rows = {**rows, "comment": {**comment, "author_name": name}}
    return Event(operation, viewer, **rows, by_host=access.is_host, request=access.request)


async def _display_name(unit: UnitOfWork, access: Access, comment: Record) -> str | None:
    """Return the name of a comment's author or guest, as the API shows it."""
    name: str | None = comment["author_name"]
    author_id: UUID | None = comment["author_id"]
    if author_id is not None:
        if author_id not in unit.author_names:
            with unit.session.no_autoflush:
                query = select(Author.name).where(Author.id == author_id)
                unit.author_names[author_id] = await unit.session.scalar(query)
        return unit.author_names[author_id]
    return access.rules.deleted_author() if name is None else name
