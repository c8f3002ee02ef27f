"""The mutations of threads."""

from __future__ import annotations

from typing import Annotated

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
from .declaration import ChangePayload, change
from .inputs import FirstCommentInput, ThreadKey, Title, new_comment

NULL_THREAD = "Null if the mutation was rejected, or if the thread has been deleted since."
"""When the thread of a payload is null."""

FirstComment = Annotated[
    FirstCommentInput | None,
    strawberry.argument(
        description="The thread's first comment. Leave it out for a thread without comments."
    ),
]
Target = Annotated[
    TargetInput, strawberry.argument(description="The object that the thread is about.")
]


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
            self.comment = Comment.from_record(change.comment, change.thread)


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


@strawberry.type
class ThreadMutations:
    @change("Create a thread, and its first comment if one is given.", NewThreadPayload)
    async def create_thread(
        self, unit: UnitOfWork, access: Access, title: Title, comment: FirstComment = UNSET
    ) -> ChangedRows:
        given = unset_to_none(comment)
        first = None if given is None else new_comment(given.message, given.author_name)
        return await threads.create_thread(unit, access, title, first)

    @change("Change the title of a thread.", ThreadPayload)
    async def rename_thread(
        self, unit: UnitOfWork, access: Access, thread_id: ThreadKey, title: Title
    ) -> ChangedRows:
        return await threads.rename_thread(unit, access, thread_id, title)

    @change("Delete a thread and all its comments.", DeletedThreadPayload)
    async def delete_thread(
        self, unit: UnitOfWork, access: Access, thread_id: ThreadKey
    ) -> ChangedRows:
        return await threads.delete_thread(unit, access, thread_id)

    @change(
        "Lock a thread, so that it accepts no more comments. A thread that is locked "
        "already stays as it is.",
        ThreadPayload,
    )
    async def lock_thread(
        self, unit: UnitOfWork, access: Access, thread_id: ThreadKey
    ) -> ChangedRows:
        return await threads.lock_thread(unit, access, thread_id)

    @change(
        "Unlock a thread, so that it accepts comments again. A thread that is not locked "
        "stays as it is.",
        ThreadPayload,
    )
    async def unlock_thread(
        self, unit: UnitOfWork, access: Access, thread_id: ThreadKey
    ) -> ChangedRows:
        return await threads.lock_thread(unit, access, thread_id, locked=False)

    @change(
        "Return the thread about an object of the host, and create it if there is none.",
        TargetThreadPayload,
    )
    async def thread_for(self, unit: UnitOfWork, access: Access, target: Target) -> ChangedRows:
        return await get_or_create_thread(unit, access, target.type, target.key)
