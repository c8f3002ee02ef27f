"""The events of changes, for hooks: the viewer, the request, and the rows as the API shows them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from ..database.unit_of_work import UnitOfWork
from ..host.access import Access
from ..host.hooks import Event, HookedOperation, run_before_hooks, schedule_after_hooks
from ..models import Author
from ..models.comment import DELETED
from .pagination.arguments import Record

_BY_AUTHOR = frozenset({"create_thread", "add_comment"})
"""The operations whose comment is the viewer's own."""


async def run_before(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **values: Any
) -> None:
    """Run the hooks before a change.

    :param values: the rows and other values of the :class:`~tallied.host.hooks.Event`.
    :raises Vetoed: if one of them forbids the change.
    """
    if access.rules.hooks:
        event = await _build_event(unit, access, operation, values)
        await run_before_hooks(access.rules.hooks, event, unit)


async def run_after(
    unit: UnitOfWork, access: Access, operation: HookedOperation, **values: Any
) -> None:
    """Schedule the hooks after a change, which run once it is committed."""
    if access.rules.hooks:
        event = await _build_event(unit, access, operation, values)
        schedule_after_hooks(access.rules.hooks, event, unit)


async def _build_event(
    unit: UnitOfWork, access: Access, operation: HookedOperation, values: Any
) -> Event:
    comment, viewer = values.get("comment"), access.viewer
    if comment is not None:
        if viewer is not None and viewer.name is not None and operation in _BY_AUTHOR:
            name: str | None = viewer.name  # The author has this name by now.
        else:
            name = await _display_name(unit, access, comment)
        values = {**values, "comment": {**comment, "author_name": name}}
    return Event(operation, viewer, **values, by_host=access.is_host, request=access.request)


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
    if name is None and comment["status"] != DELETED:
        return access.rules.deleted_author()
    return name
