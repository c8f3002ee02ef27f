"""Hooks: a host's own code around every change.

A host derives a class from :class:`Hooks`, and overrides what it cares for::

    class NoShouting(Hooks):
        async def before_add_comment(self, event, session):
            if event.comment["message"].isupper():
                raise Vetoed("message is in capitals; write it in lower case.", field="message")

A ``before_*`` method runs inside the unit of work, before the change is written, and only
where the viewer may make the change. What it does with the session is written right away,
and commits or goes with the change; to commit the session itself, or to roll it back, is
refused. A :class:`~tallied.errors.Vetoed` that it raises is told to the client; whatever else
it raises is logged, masked, and undoes the change just so. A unit that the database asks to
retry runs again from its start, with its hooks: what cannot be undone belongs into
``after_*``.

An ``after_*`` method runs once the unit has committed, and not at all where it has not. All
run one after another, in the order in which the hooks were given; one that fails is logged,
and stops no other. Who makes the change waits for them, for as long as the database's
``patience`` (:class:`~tallied.database.Database`, 5 seconds) and no longer; then they go on by
themselves, and are waited for when the database is closed. A request's time
(``TALLIED_EXECUTION_TIME``) stands still meanwhile, so that no answer of a change that is in is
lost to a slow hook. What must happen, or takes long, belongs into a queue of the host's.

A thread that ``threadFor`` begins is an event ``create_thread``, too. The first comment of a
new thread comes with that event, and then is an ``add_comment`` of its own:
``before_create_thread``, ``before_add_comment`` with the new thread there to be read,
``after_create_thread``, ``after_add_comment``. A veto of that comment undoes the thread, and its
field ``message`` is told as ``comment.message``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from ..auth.viewer import Viewer
from ..database.unit_of_work import UnitOfWork
from ..logs.errors import log_error

logger = logging.getLogger("tallied.host.hooks")

HookedOperation: TypeAlias = Literal[
    "create_thread",
    "rename_thread",
    "lock_thread",
    "unlock_thread",
    "delete_thread",
    "add_comment",
    "edit_comment",
    "move_comment",
    "delete_comment",
    "delete_author",
]


@dataclass(frozen=True)
class Event:
    """A change, to be read only.

    What it has of a row are values by the names of its model's attributes.
    """

    operation: HookedOperation
    viewer: Viewer | None
    thread: Mapping[str, Any] | None = None
    """Before: its ``id`` at least, and what is to be written. After: with its new counters."""
    comment: Mapping[str, Any] | None = None
    """Before: as it is to be written, or as it last was where it is to be deleted. Its
    ``author_name`` is the name as it is shown: the author's, or a guest's; ``author_id`` tells
    which."""
    previous_thread: Mapping[str, Any] | None = None
    """The thread that a comment is moved from."""
    author: Mapping[str, Any] | None = None
    """The author that is deleted, as it last was."""
    by_host: bool = False
    """Whether the host itself makes the change, as an import does, in the viewer's name."""
    request: HTTPConnection | None = field(default=None, compare=False, repr=False)
    """The request that asks for the change, of guests too: ``request.client`` has the address,
    ``request.headers["user-agent"]`` the browser. None where the host's own code passed none."""

    def __post_init__(self) -> None:
        for name in ("thread", "comment", "previous_thread", "author"):
            row = getattr(self, name)
            if row is not None:
                object.__setattr__(self, name, MappingProxyType(dict(row)))


class Hooks:
    """What a host does before and after each change; here, nothing."""

    async def before_create_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_rename_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_lock_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_unlock_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_delete_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_add_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_edit_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_move_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_delete_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_delete_author(self, event: Event, session: AsyncSession) -> None: ...

    async def after_create_thread(self, event: Event) -> None: ...
    async def after_rename_thread(self, event: Event) -> None: ...
    async def after_lock_thread(self, event: Event) -> None: ...
    async def after_unlock_thread(self, event: Event) -> None: ...
    async def after_delete_thread(self, event: Event) -> None: ...
    async def after_add_comment(self, event: Event) -> None: ...
    async def after_edit_comment(self, event: Event) -> None: ...
    async def after_move_comment(self, event: Event) -> None: ...
    async def after_delete_comment(self, event: Event) -> None: ...
    async def after_delete_author(self, event: Event) -> None: ...


async def run_before_hooks(hooks: Sequence[Hooks], event: Event, unit: UnitOfWork) -> None:
    """Run what comes before the change.

    :raises Vetoed: where one of them forbids it.
    """
    for hook in hooks:
        await getattr(hook, f"before_{event.operation}")(event, unit.session)
        # Its own mistakes are its own: they are not to be found where the change is written.
        await unit.session.flush()


def schedule_after_hooks(hooks: Sequence[Hooks], event: Event, unit: UnitOfWork) -> None:
    """Have what comes after the change run once it is committed."""
    name = f"after_{event.operation}"
    unit.after_commit += [partial(_run, hook, name, event) for hook in hooks]


async def _run(hook: Hooks, name: str, event: Event) -> None:
    try:
        await getattr(hook, name)(event)
    except Exception as error:
        # The change is in: a request that failed now would be sent again.
        what = f"{type(hook).__qualname__}.{name}"
        log_error(logger, "the hook %s has failed", what, error=error)
