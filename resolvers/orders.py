"""Every order in which the API pages; each has its index in :mod:`tallied.models`."""

from __future__ import annotations

from ..models import Comment, Thread
from ..models.thread import last_activity
from .cursors import Order

_THREAD_KEYS = {
    "CREATED_AT": lambda thread: thread.created_at,
    "LAST_COMMENT_AT": lambda _: last_activity(),
    "COMMENT_COUNT": lambda thread: thread.comment_count,
    "WORD_COUNT": lambda thread: thread.word_count,
}
_COMMENT_KEYS = {"CREATED_AT": lambda comment: comment.created_at}

THREADS = {
    (name, descending): Order(Thread, name, key, descending)
    for name, key in _THREAD_KEYS.items()
    for descending in (False, True)
}
"""The orders of threads, by sort key and whether the largest comes first."""

COMMENTS = {
    (name, descending): Order(Comment, name, key, descending)
    for name, key in _COMMENT_KEYS.items()
    for descending in (False, True)
}
"""The orders of comments, likewise."""
