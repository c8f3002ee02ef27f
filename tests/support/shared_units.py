"""Units of work that arrive while another one is under way, and so share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tallied.auth.viewer import Viewer
from tallied.database import Database, UnitOfWork
from tallied.database.group_commit import GroupCommit
from tallied.host.access import Access, HostRules
from tallied.models import Comment, Thread
from tallied.models.counters import counters
from tallied.resolvers.changes import ChangedRows
from tallied.resolvers.comment_drafts import CommentDraft, draft_comment
from tallied.resolvers.new_comment import NewComment
from tallied.resolvers.shared_comments import SharedComments


class Shared:
    """The additions of comments to one database, behind a first one that is held.

    :param rules: those of the host.
    """

    def __init__(self, database: Database, rules: HostRules | None = None) -> None:
        self.database = database
        self.rules = rules or HostRules(guests="write")
        self.work = HeldComments()
        self.group: GroupCommit[CommentDraft, ChangedRows] = GroupCommit(
            self.work,
            database.write,
            database._pending_tasks,
            database.patience,
            None,
        )
        self.acknowledged: list[str] = []
        """The messages of the comments that are committed, in the order of the calls."""

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

    def start(self, draft: CommentDraft) -> asyncio.Task[ChangedRows]:
        """Begin to add a comment."""

        def prepare(unit: UnitOfWork) -> None:
            unit.on_commit = lambda: self.acknowledged.append(draft.message)

        return asyncio.ensure_future(self.group.run(draft, prepare))

    async def hold(self, first: CommentDraft) -> asyncio.Task[ChangedRows]:
        """Begin the first comment, which all others wait for until :meth:`release`."""
        task = self.start(first)
        await self.work.started.wait()
        return task

    async def queue(self, drafts: Sequence[CommentDraft]) -> list[asyncio.Task[ChangedRows]]:
        """Begin comments that wait for the first one."""
        tasks = [self.start(draft) for draft in drafts]
        await asyncio.sleep(0)
        return tasks

    def release(self) -> None:
        """Let the first comment go on."""
        self.work.gate.set()

    async def add(self, first: CommentDraft, *drafts: CommentDraft) -> list[Any]:
        """Add comments of which all but the first share; return the results and errors."""
        tasks = [await self.hold(first), *await self.queue(drafts)]
        self.release()
        return await asyncio.gather(*tasks, return_exceptions=True)


class HeldComments(SharedComments):
    """Additions of which the first waits until it is let go."""

    def __init__(self) -> None:
        self.started, self.gate = asyncio.Event(), asyncio.Event()
        self.sizes: list[int] = []
        """How many comments each shared transaction has been given."""
        self.before_batch: Callable[[UnitOfWork], Any] | None = None
        self.after_batch: Callable[[UnitOfWork], Any] | None = None
        self.alone: list[str] = []
        """The messages of those that ran by themselves."""

    async def run(self, unit: UnitOfWork, item: CommentDraft) -> ChangedRows:
        """Add one comment."""
        self.alone.append(item.message)
        if not self.started.is_set():
            self.started.set()
            await self.gate.wait()
        return await super().run(unit, item)

    async def run_together(
        self, units: Sequence[UnitOfWork], items: Sequence[CommentDraft], *, waits: bool
    ) -> Any:
        """Add several comments."""
        self.sizes.append(len(items))
        if self.before_batch is not None:
            await self.before_batch(units[0])
        results = await super().run_together(units, items, waits=waits)
        if self.after_batch is not None:
            await self.after_batch(units[0])
        return results


async def store_threads(database: Database, number: int) -> list[UUID]:
    """Store threads without comments, and return their keys in order."""

    async def work(unit: UnitOfWork) -> list[UUID]:
        threads = [Thread(title=f"Thread {n}") for n in range(number)]
        unit.session.add_all(threads)
        await unit.session.flush()
        return sorted(thread.id for thread in threads)

    return await database.write(work)


async def find_drifts(database: Database) -> list[Any]:
    async with database.read() as connection:
        return await connection.run_sync(lambda sync: list(counters.verify(sync)))


async def read_messages(database: Database) -> list[str]:
    """Return the stored messages in the order of their times."""
    async with database.read() as connection:
        query = select(Comment.message).order_by(Comment.created_at, Comment.id)
        return list(await connection.scalars(query))
