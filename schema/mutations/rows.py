"""The rows of changes, as the payloads of several mutations return them."""

from __future__ import annotations

from operator import attrgetter

from ...execution.field_declarations import ChangedRowField

CHANGED_THREAD = ChangedRowField("Thread", attrgetter("thread"))
PREVIOUS_THREAD = ChangedRowField("Thread", attrgetter("previous_thread"))
CHANGED_COMMENT = ChangedRowField(
    "Comment", attrgetter("comment"), {"thread": attrgetter("thread")}
)

NULL_THREAD = "Null if the mutation was rejected, or if the thread has been deleted since."
"""When the thread of a payload is null."""
