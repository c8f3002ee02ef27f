"""The mutations of threads."""

from __future__ import annotations

from functools import partial

import strawberry
from strawberry import UNSET

from ...database.unit_of_work import UnitOfWork
from ...execution.requested_fields import Info
from ...host.access import Access
from ...resolvers import threads
from ...resolvers.changes import ChangedRows
from ...resolvers.pagination.orders import THREADS
from ...resolvers.target_threads import get_or_create_thread
from ..arguments import (
    DEFAULT_THREAD_ORDER,
    TargetInput,
    ThreadOrderBy,
    read_order,
    unset_to_none,
)
from ..connections import Edge
from ..fields import field
from ..ids import encode_id
from ..types import Comment, Thread
from .declaration import ChangePayload, InputField, change
from .inputs import THREAD_ID, TITLE, FirstCommentInput, new_comment

NULL_THREAD = "Null if the mutation was rejected, or if the thread has been deleted since."
"""When the thread of a payload is null."""


@strawberry.type
class NewThreadPayload(ChangePayload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The new thread. {NULL_THREAD}"
    )
    comment: Comment | None = strawberry.field(
        default=None,
        description="The thread's first comment. Null if none was given, or if the mutation was "
        "rejected.",
    )

    @field("The new thread as an edge of a connection of threads. Null if thread is null.")
    def thread_edge(self, order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER) -> Edge[Thread] | None:
        if self.thread is None:
            return None
        order = read_order(THREADS, order_by or DEFAULT_THREAD_ORDER)
        return Edge(cursor=order.encode(order.position_of(self.thread.record)), node=self.thread)

    async def fill(self, info: Info, change: ChangedRows) -> None:
        self.thread = await self.load_thread(info, change.thread)
        if change.comment is not None:
            self.comment = Comment.from_record(change.comment, {"thread": change.thread})


@strawberry.type
class ThreadPayload(ChangePayload):
    thread: Thread | None = strawberry.field(
        default=None, description=f"The thread after the change. {NULL_THREAD}"
    )

    async def fill(self, info: Info, change: ChangedRows) -> None:
        self.thread = await self.load_thread(info, change.thread)


@strawberry.type
class TargetThreadPayload(ChangePayload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread about the object, new or existing. Null if the mutation was "
        "rejected.",
    )

    async def fill(self, info: Info, change: ChangedRows) -> None:
        self.thread = await self.load_thread(info, change.thread)


@strawberry.type
class DeletedThreadPayload(ChangePayload):
    thread: Thread | None = strawberry.field(
        default=None,
        description="The thread as it was before its deletion. Its list of comments is empty. "
        "Null if the mutation was rejected.",
    )
    deleted_thread_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The id of the deleted thread, for the client's cache. Null if the mutation "
        "was rejected.",
    )

    async def fill(self, info: Info, change: ChangedRows) -> None:
        self.thread = Thread.from_record(change.thread)
        self.deleted_thread_id = encode_id("Thread", change.thread["id"])


async def _create_thread(
    unit: UnitOfWork, access: Access, title: str, comment: FirstCommentInput | None
) -> ChangedRows:
    comment = unset_to_none(comment)
    first = None if comment is None else new_comment(comment.message, comment.author_name)
    return await threads.create_thread(unit, access, title, first)


async def _get_or_create_thread(
    unit: UnitOfWork, access: Access, target: TargetInput
) -> ChangedRows:
    return await get_or_create_thread(unit, access, target.type, target.key)


@strawberry.type
class ThreadMutations:
    create_thread = change(
        "create_thread",
        "Create a thread, and its first comment if one is given.",
        _create_thread,
        NewThreadPayload,
        title=TITLE,
        comment=InputField(
            "The thread's first comment. Leave it out for a thread without comments.",
            FirstCommentInput | None,
            UNSET,
        ),
    )
    rename_thread = change(
        "rename_thread",
        "Change the title of a thread.",
        threads.rename_thread,
        ThreadPayload,
        thread_id=THREAD_ID,
        title=TITLE,
    )
    delete_thread = change(
        "delete_thread",
        "Delete a thread and all its comments.",
        threads.delete_thread,
        DeletedThreadPayload,
        thread_id=THREAD_ID,
    )
    lock_thread = change(
        "lock_thread",
        "Lock a thread, so that it accepts no more comments. A thread that is locked "
        "already stays as it is.",
        threads.lock_thread,
        ThreadPayload,
        thread_id=THREAD_ID,
    )
    unlock_thread = change(
        "unlock_thread",
        "Unlock a thread, so that it accepts comments again. A thread that is not locked "
        "stays as it is.",
        partial(threads.lock_thread, locked=False),
        ThreadPayload,
        thread_id=THREAD_ID,
    )
    thread_for = change(
        "thread_for",
        "Return the thread about an object of the host, and create it if there is none.",
        _get_or_create_thread,
        TargetThreadPayload,
        target=InputField("The object that the thread is about.", TargetInput),
    )
