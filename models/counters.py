"""Every cached number of Tallied, one line each.

How they are kept is taught in :mod:`tallied.counters`.
"""

from __future__ import annotations

from ..counters import Count, Counters, Latest, Sum
from .author import Author
from .comment import Comment, comment_words
from .thread import Thread

counters = Counters(
    Count(Thread.comment_count, via=Comment.thread),
    Sum(Thread.word_count, of=Comment.word_count, via=Comment.thread),
    Latest(Thread.last_comment_at, of=Comment.created_at, via=Comment.thread),
    Count(Author.comment_count, via=Comment.author),
    Sum(Author.word_count, of=Comment.word_count, via=Comment.author),
)

amounts = (comment_words,)
"""What the sums are taken over, where Python computes it."""
