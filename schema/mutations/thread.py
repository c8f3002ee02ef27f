"""The mutations of threads."""

from __future__ import annotations

from functools import partial

import strawberry
from strawberry import UNSET

from ...database.unit_of_work import UnitOfWork
from ...execution.field_declarations import ChangedEdgeField
from ...host.access import Access
from ...resolvers import threads
from ...resolvers.changes import ChangedRows
from ...resolvers.new_comment import NewComment
from ...resolvers.pagination.orders import THREADS
from ...resolvers.target_threads import get_or_create_thread
from ..arguments import (
    DEFAULT_THREAD_ORDER,
    TargetInput,
    ThreadOrderBy,
    unset_to_none,
)
from ..connections import Edge
from ..fields import field
from ..ids import encode_id
from ..types import Comment, Thread
from .declaration import (
    ChangePayload,
    InputField,
    build_edge,
    change,
    changed_row,
    changed_value,
)
from .inputs import THREAD_ID, TITLE, FirstCommentInput
from .rows import CHANGED_COMMENT, CHANGED_THREAD, NULL_THREAD

EDGE = ChangedEdgeField(CHANGED_THREAD, THREADS, DEFAULT_THREAD_ORDER)


@strawberry.type
class NewThreadPayload(ChangePayload):
    thread: Thread | None = changed_row(f"The new thread. {NULL_THREAD}", CHANGED_THREAD)
    comment: Comment | None = changed_row(
        "The thread's first comment. Null if none was given, or if the mutation was rejected.",
        CHANGED_COMMENT,
    )

    @field(
        "The new thread as an edge of a connection of threads. Null if thread is null.",
        declaration=EDGE,
    )
    def thread_edge(self, order_by: ThreadOrderBy = DEFAULT_THREAD_ORDER) -> Edge[Thread] | None:
        return build_edge(self.thread, EDGE, order_by)


@strawberry.type
class ThreadPayload(ChangePayload):
    thread: Thread | None = changed_row(
        f"The thread after the change. {NULL_THREAD}", CHANGED_THREAD
    )


@strawberry.type
class TargetThreadPayload(ChangePayload):
    thread: Thread | None = changed_row(
        "The thread about the object, new or existing. Null if the mutation was rejected.",
        CHANGED_THREAD,
    )


@strawberry.type
class DeletedThreadPayload(ChangePayload):
    thread: Thread | None = changed_row(
        "The thread as it was before its deletion. Its list of comments is empty. Null if the "
        "mutation was rejected.",
        CHANGED_THREAD,
    )
    deleted_thread_id: strawberry.ID | None = changed_value(
        "The id of the deleted thread, for the client's cache. Null if the mutation was rejected.",
        lambda change: encode_id("Thread", change.thread["id"]),
    )


async def _create_thread(
    unit: UnitOfWork, access: Access, title: str, comment: FirstCommentInput | None
) -> ChangedRows:
    first = None
    if comment is not None:
        first = NewComment(comment.message, unset_to_none(comment.author_name))
    return await threads.create_thread(unit, access, title, first)


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
        lambda unit, access, target: get_or_create_thread(unit, access, target.type, target.key),
        TargetThreadPayload,
        target=InputField("The object that the thread is about.", TargetInput),
    )
