"""One call for one change or one view, in asynchronous and in synchronous applications.

The functions of :mod:`tallied.resolvers` take a unit of work or a connection, and the rights of a
viewer. A shortcut takes the viewer alone, and gets the rest itself:

    await discussion.add_comment(viewer, thread_id, "A message")
    discussion.sync.add_comment(session, viewer, thread_id, "A message")

Both run the same function, with the policy, the hooks and the rules for texts. The first has a
transaction of its own, the second is part of the session's, which the caller commits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

from .auth.viewer import Viewer
from .database import Database
from .database.synchronous import SyncSession, find_session, run_in_session, run_unit
from .host.access import Access
from .resolvers import (
    authors,
    comments,
    flags,
    marks,
    moderation,
    moves,
    reactions,
    target_threads,
    threads,
    views,
)

P = ParamSpec("P")
T = TypeVar("T")

Requester: TypeAlias = Viewer | Access | None
"""A viewer, None for a guest, or an access such as that of :meth:`.Discussion.access_as_host`."""


class _Shortcut(Generic[P, T]):
    """A function of :mod:`tallied.resolvers` as a method of both kinds of shortcuts.

    :param has_cascades: whether it deletes rows that others refer to.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Any, Access, P], Awaitable[T]],
        *,
        has_cascades: bool = False,
    ) -> None:
        self._function = function
        self.has_cascades = has_cascades
        self.__doc__ = function.__doc__

    @overload
    def __get__(
        self, instance: AsyncShortcuts, owner: type
    ) -> Callable[Concatenate[Requester, P], Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(
        self, instance: SyncShortcuts, owner: type
    ) -> Callable[Concatenate[SyncSession, Requester, P], T]: ...

    @overload
    def __get__(self, instance: None, owner: type) -> _Shortcut[P, T]: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        shortcut = partial(instance._call, self)
        return update_wrapper(shortcut, self._function)

    def bind(self, access: Access, args: Any, kwargs: Any) -> Callable[[Any], Awaitable[T]]:
        """Return what is left to call with a unit of work, or with a connection."""
        return lambda target: self._function(target, access, *args, **kwargs)


class _Write(_Shortcut[P, T]):
    """A function that changes rows in a unit of work."""


class _Read(_Shortcut[P, T]):
    """A view, which reads rows on a connection."""


class _Shortcuts:
    """The functions that have shortcuts."""

    create_thread = _Write(threads.create_thread)
    rename_thread = _Write(threads.rename_thread)
    lock_thread = _Write(threads.lock_thread)
    delete_thread = _Write(threads.delete_thread, has_cascades=True)
    get_or_create_thread = _Write(target_threads.get_or_create_thread)
    add_comment = _Write(comments.add_comment)
    edit_comment = _Write(comments.edit_comment)
    delete_comment = _Write(comments.delete_comment, has_cascades=True)
    restore_comment = _Write(comments.restore_comment)
    move_comment = _Write(moves.move_comment, has_cascades=True)
    add_reaction = _Write(reactions.add_reaction)
    remove_reaction = _Write(reactions.remove_reaction)
    flag_comment = _Write(flags.flag_comment)
    delete_author = _Write(authors.delete_author, has_cascades=True)
    moderate_comments = _Write(moderation.moderate_comments)
    mark_read = _Write(marks.mark_read)

    read_thread = _Read(views.read_thread)
    read_thread_for = _Read(views.read_thread_for)
    read_threads = _Read(views.read_threads)
    read_comment = _Read(views.read_comment)
    read_comments = _Read(views.read_comments)
    read_comments_since = _Read(views.read_comments_since)
    read_latest_comments = _Read(views.read_latest_comments)
    read_moderation_queue = _Read(views.read_moderation_queue)
    read_replies = _Read(views.read_replies)
    read_around = _Read(views.read_around)
    read_trees = _Read(views.read_trees)
    read_reactions = _Read(views.read_reactions)
    read_history = _Read(views.read_history)
    read_withdrawn_texts = _Read(views.read_withdrawn_texts)
    read_unread = _Read(views.read_unread)
    read_counts = _Read(views.read_counts)


class AsyncShortcuts(_Shortcuts):
    """Shortcuts that are coroutines, each with a transaction of its own."""

    database: Database

    def access(self, viewer: Viewer | None = None) -> Access:
        """Return the rights of a viewer, by default of a guest."""
        raise NotImplementedError

    async def _call(
        self, shortcut: _Shortcut[Any, T], requester: Requester, *args: Any, **kwargs: Any
    ) -> T:
        work = shortcut.bind(_find_access(self, requester), args, kwargs)
        if isinstance(shortcut, _Read):
            return await self.database.run_query(work)
        return await self.database.write(work)


class SyncShortcuts(_Shortcuts):
    """Shortcuts of synchronous applications, on their sessions: ``discussion.sync``.

    :param discussion: the application's policy, hooks and rules.
    """

    def __init__(self, discussion: AsyncShortcuts) -> None:
        self._discussion = discussion

    def _call(
        self,
        shortcut: _Shortcut[Any, T],
        session: SyncSession,
        requester: Requester,
        *args: Any,
        **kwargs: Any,
    ) -> T:
        sync_session = find_session(session)
        work = shortcut.bind(_find_access(self._discussion, requester), args, kwargs)
        if isinstance(shortcut, _Read):
            return run_in_session(sync_session, work)
        return run_unit(sync_session, work, has_cascades=shortcut.has_cascades)


def _find_access(discussion: AsyncShortcuts, requester: Requester) -> Access:
    return requester if isinstance(requester, Access) else discussion.access(requester)
