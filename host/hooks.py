"""Hooks: a host's own code before and after every change.

A host derives a class from :class:`Hooks`, and overrides the methods that it needs::

    class NoShouting(Hooks):
        async def before_add_comment(self, event, session):
            if event.comment["message"].isupper():
                raise Vetoed("message is in capitals; write it in lower case.", field="message")

A ``before_*`` method runs within the unit of work, before the change is written, and only if the
viewer may make the change. Its writes by the session are flushed at once, and committed or rolled
back with the change; it may not commit or roll back the session itself. If it raises
:class:`~tallied.errors.Vetoed`, the client gets its message. Any other error is logged and masked,
and undoes the change, too. If the database asks to retry a unit, the unit runs again with its
hooks: code that cannot be undone belongs into ``after_*``.

An ``after_*`` method runs once the unit has committed, and never if it has not. The hooks run one
after another, in their given order. If one fails, the error is logged, and the others still run.
The caller waits for them for at most the ``patience`` of the database
(:class:`~tallied.database.Database`, 5 seconds); then they go on in the background, and closing the
database waits for them. The time limit of a request (``TALLIED_EXECUTION_TIME``) stops meanwhile,
so that a slow hook does not lose the response to a committed change. Work that must happen, or
that takes long, belongs into a queue of the host's.

A thread that ``threadFor`` creates is an event ``create_thread``, too. The first comment of a new
thread is in that event, and then has an event ``add_comment`` of its own:
``before_create_thread``, ``before_add_comment`` with the new thread in the session,
``after_create_thread``, ``after_add_comment``. A veto of that comment undoes the thread, and its
field ``message`` is reported as ``comment.message``.
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
    "restore_comment",
    "add_reaction",
    "remove_reaction",
    "mark_read",
    "moderate_comment",
    "flag_comment",
    "delete_author",
]


@dataclass(frozen=True)
class Event:
    """A change, which is read-only.

    Each of its rows is a mapping of values by the attribute names of its model.
    """

    operation: HookedOperation
    viewer: Viewer | None
    thread: Mapping[str, Any] | None = None
    """Before: at least its ``id``, and the new values. After: with its new counters."""
    comment: Mapping[str, Any] | None = None
    """Before: with its new values, or with its last ones if it is to be deleted. ``author_name`` is
    the displayed name: the author's if there is an ``author_id``, else the guest's."""
    previous_thread: Mapping[str, Any] | None = None
    """The thread from which a comment is moved."""
    author: Mapping[str, Any] | None = None
    """The deleted author, with its last values."""
    last_read_seq: int | None = None
    """The number of the last comment that the viewer marks as read."""
    reason: str | None = None
    """Why a comment is deleted or moderated, as the viewer says."""
    status: str | None = None
    """The status that a moderator gives a comment, or that flags give it."""
    flag: Mapping[str, Any] | None = None
    """A flag of a comment."""
    erases_comments: bool = False
    """Whether a deleted author's comments are deleted as well."""
    reaction: Mapping[str, Any] | None = None
    """The reaction: its ``comment_id``, ``author_id``, ``kind`` and ``created_at``."""
    by_host: bool = False
    """Whether the host itself makes the change in the viewer's name, as an import does."""
    request: HTTPConnection | None = field(default=None, compare=False, repr=False)
    """The request of the change, also of a guest: ``request.client`` has the address,
    ``request.headers["user-agent"]`` the browser. None if the host's own code passes none."""

    def __post_init__(self) -> None:
        for name in ("thread", "comment", "previous_thread", "author", "reaction", "flag"):
            row = getattr(self, name)
            if row is not None:
                object.__setattr__(self, name, MappingProxyType(dict(row)))


class Hooks:
    """The base class of hooks, whose methods do nothing."""

    async def before_create_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_rename_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_lock_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_unlock_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_delete_thread(self, event: Event, session: AsyncSession) -> None: ...
    async def before_add_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_edit_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_move_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_delete_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_restore_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_add_reaction(self, event: Event, session: AsyncSession) -> None: ...
    async def before_remove_reaction(self, event: Event, session: AsyncSession) -> None: ...
    async def before_mark_read(self, event: Event, session: AsyncSession) -> None: ...
    async def before_moderate_comment(self, event: Event, session: AsyncSession) -> None: ...
    async def before_flag_comment(self, event: Event, session: AsyncSession) -> None: ...
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
    async def after_restore_comment(self, event: Event) -> None: ...
    async def after_add_reaction(self, event: Event) -> None: ...
    async def after_remove_reaction(self, event: Event) -> None: ...
    async def after_mark_read(self, event: Event) -> None: ...
    async def after_moderate_comment(self, event: Event) -> None: ...
    async def after_flag_comment(self, event: Event) -> None: ...
    async def after_delete_author(self, event: Event) -> None: ...


def has_before_hook(hooks: Sequence[Hooks], operation: HookedOperation) -> bool:
    """Return whether a hook has a method of its own before an operation."""
    name = f"before_{operation}"
    unused = getattr(Hooks, name)
    return any(getattr(getattr(hook, name), "__func__", None) is not unused for hook in hooks)


async def run_before_hooks(hooks: Sequence[Hooks], event: Event, unit: UnitOfWork) -> None:
    """Run the hooks before a change.

    :raises Vetoed: if one of them forbids it.
    """
    for hook in hooks:
        await getattr(hook, f"before_{event.operation}")(event, unit.session)
        # An error of the hook's own writes is raised here, and not with the change.
        await unit.session.flush()


def schedule_after_hooks(hooks: Sequence[Hooks], event: Event, unit: UnitOfWork) -> None:
    """Schedule the hooks after a change, which run once it is committed."""
    name = f"after_{event.operation}"
    unit.after_commit += [partial(_run, hook, name, event) for hook in hooks]


async def _run(hook: Hooks, name: str, event: Event) -> None:
    try:
        await getattr(hook, name)(event)
    except Exception as error:
        # The change is committed: a request that failed now would be sent again.
        hook_name = f"{type(hook).__qualname__}.{name}"
        log_error(logger, "the hook %s has failed", hook_name, error=error)
