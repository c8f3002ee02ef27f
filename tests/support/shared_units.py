"""Units of work that arrive while another one is under way, and so share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.database.group_commit import GroupCommit, SharedWork
from tallied.host.access import Access, HostRules
from tallied.models import Comment
from tallied.resolvers.comment_drafts import CommentDraft, draft_comment
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.reaction_drafts import ReactionDraft
from tallied.resolvers.shared_comments import SharedComments
from tallied.resolvers.shared_reactions import SharedReactions

from .rows import add_threads, fetch_values


class Shared:
    """The units of one kind of one database, behind a first one that is held.

    :param rules: those of the host.
    :param work: the kind of units, by default additions of comments.
    """

    def __init__(
        self, database: Database, rules: HostRules | None = None, work: HeldWork | None = None
    ) -> None:
        self.database = database
        self.rules = rules or HostRules(guests="write")
        self.work = work or HeldComments()
        self.group: GroupCommit[Any, Any] = GroupCommit(
            self.work,
            database.write,
            database._pending_tasks,
            database.patience,
            None,
        )
        self.acknowledged: list[str] = []
        """The names of the units that are committed, in the order of the calls."""

    def draft(
        self,
        thread_id: UUID,
        message: str,
        viewer: Viewer | None = None,
        submission: str | None = None,
    ) -> CommentDraft:
        """Return a draft of a guest, or of a viewer."""
        access = Access(self.rules, viewer)
        new = NewComment(message, None if viewer else "Gast")
        return draft_comment(access, thread_id, new, submission)

    def start(self, draft: Any) -> asyncio.Task[Any]:
        """Begin a unit."""

        def prepare(unit: UnitOfWork) -> None:
            unit.on_commit = lambda: self.acknowledged.append(self.work.name_of(draft))

        return asyncio.ensure_future(self.group.run(draft, prepare))

    async def hold(self, first: Any) -> asyncio.Task[Any]:
        """Begin the first unit, which all others wait for until :meth:`release`."""
        task = self.start(first)
        await self.work.started.wait()
        return task

    async def queue(self, drafts: Sequence[Any]) -> list[asyncio.Task[Any]]:
        """Begin units that wait for the first one."""
        tasks = [self.start(draft) for draft in drafts]
        await asyncio.sleep(0)
        return tasks

    def release(self) -> None:
        """Let the first unit go on."""
        self.work.gate.set()

    async def add(self, first: Any, *drafts: Any) -> list[Any]:
        """Run units of which all but the first share; return the results and errors."""
        tasks = [await self.hold(first), *await self.queue(drafts)]
        self.release()
        return await asyncio.gather(*tasks, return_exceptions=True)


class HeldWork(SharedWork[Any, Any]):
    """Units of which the first waits until it is let go."""

    def __init__(self) -> None:
        self.started, self.gate = asyncio.Event(), asyncio.Event()
        self.sizes: list[int] = []
        """How many units each shared transaction has been given."""
        self.before_batch: Callable[[UnitOfWork], Any] | None = None
        self.after_batch: Callable[[UnitOfWork], Any] | None = None
        self.alone: list[str] = []
        """The names of those that ran by themselves."""

    def name_of(self, item: Any) -> str:
        """Return the name of a unit."""
        raise NotImplementedError

    async def run(self, unit: UnitOfWork, item: Any) -> Any:
        """Run one unit."""
        self.alone.append(self.name_of(item))
        if not self.started.is_set():
            self.started.set()
            await self.gate.wait()
        return await self.run_once(unit, item)

    async def run_once(self, unit: UnitOfWork, item: Any) -> Any:
        """Run one unit, and hold nothing up."""
        return await super().run(unit, item)

    async def run_together(
        self, units: Sequence[UnitOfWork], items: Sequence[Any], *, waits: bool
    ) -> Any:
        """Run several units."""
        self.sizes.append(len(items))
        if self.before_batch is not None:
            await self.before_batch(units[0])
        results = await super().run_together(units, items, waits=waits)
        if self.after_batch is not None:
            await self.after_batch(units[0])
        return results


class HeldComments(HeldWork, SharedComments):
    """Additions of comments, each named by its message."""

    def name_of(self, item: CommentDraft) -> str:
        return item.message


class HeldReactions(HeldWork, SharedReactions):
    """Changes of reactions, each named by the viewer, the operation and the kind."""

    def name_of(self, item: ReactionDraft) -> str:
        assert item.access.viewer is not None
        return f"{item.access.viewer.name} {'-' if item.removing else '+'}{item.kind}"


async def store_threads(database: Database, number: int) -> list[UUID]:
    """Store threads without comments, and return their keys in order."""

    threads = await database.write(lambda unit: add_threads(unit, number))
    return sorted(thread.id for thread in threads)


async def read_messages(database: Database) -> list[str]:
    """Return the stored messages in the order of their times."""
    query = select(Comment.message).order_by(Comment.created_at, Comment.id)
    return await fetch_values(database, query)
