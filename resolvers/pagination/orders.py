"""The orders of the API's lists. Each has an index in :mod:`tallied.models`."""

from __future__ import annotations

from ...models import Comment, Thread
from ...models.thread import last_activity
from .cursors import Order, SortKey

_THREAD_KEYS = {
    "CREATED_AT": SortKey(lambda thread: thread.created_at, lambda row: row["created_at"]),
    "LAST_COMMENT_AT": SortKey(
        last_activity, lambda row: row["last_comment_at"] or row["created_at"]
    ),
    "COMMENT_COUNT": SortKey(lambda thread: thread.comment_count, lambda row: row["comment_count"]),
    "WORD_COUNT": SortKey(lambda thread: thread.word_count, lambda row: row["word_count"]),
}
_COMMENT_KEYS = {
    "CREATED_AT": SortKey(lambda comment: comment.created_at, lambda row: row["created_at"])
}

THREADS = {
    (name, descending): Order(Thread, name, *key, descending)
    for name, key in _THREAD_KEYS.items()
    for descending in (False, True)
}
"""The orders of threads, by sort key and whether the largest comes first."""

COMMENTS = {
    (name, descending): Order(Comment, name, *key, descending)
    for name, key in _COMMENT_KEYS.items()
    for descending in (False, True)
}
"""The orders of comments, by the same."""

NUMBERED_COMMENTS = {
    ("SEQ", False): Order(Comment, "SEQ", lambda comment: comment.seq, lambda row: row["seq"])
}
"""The order of a thread's comments by their numbers, which is that of their commits."""
