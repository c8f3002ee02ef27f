"""The mutation of marks."""

from __future__ import annotations

import strawberry
from strawberry import UNSET

from ...resolvers import marks
from ..scalars import SafeInt
from ..types import Thread
from .declaration import ChangePayload, InputField, change, changed_row, changed_value
from .inputs import THREAD_ID
from .rows import CHANGED_THREAD, NULL_THREAD


@strawberry.type
class MarkPayload(ChangePayload):
    thread: Thread | None = changed_row(
        f"The thread with its new number of unread comments. {NULL_THREAD}", CHANGED_THREAD
    )
    last_read_seq: SafeInt | None = changed_value(
        "The Comment.seq up to which the viewer has read the thread. It is greater than upTo if "
        "the viewer has read further already. Null if the mutation was rejected.",
        lambda change: change.last_read_seq,
    )


@strawberry.type
class MarkMutations:
    mark_read = change(
        "mark_read",
        "Mark the comments of a thread as read by the viewer, up to one of them. What is read "
        "stays read.",
        marks.mark_read,
        MarkPayload,
        thread_id=THREAD_ID,
        up_to=InputField(
            "The Comment.seq of the last comment that the viewer has read. Leave it out for all "
            "comments of the thread.",
            SafeInt | None,
            UNSET,
        ),
    )
