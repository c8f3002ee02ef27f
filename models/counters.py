"""Every cached number and every derived column of Tallied, one line each.

How they are kept is taught in :mod:`tallied.counters`.
"""

from __future__ import annotations

from ..content.characters import name_key
from ..counters import Count, Counters, Derived, Latest, Sum
from .author import Author
from .comment import Comment
from .thread import Thread, fold

counters = Counters(
    # By way of the class, so that a host's own rule counts.
    Derived(Comment.word_count, of=Comment.message, compute=lambda text: Comment.count_words(text)),
    Derived(
        Comment.author_name_key,
        of=Comment.author_name,
        compute=lambda name: None if name is None else name_key(name),
    ),
    Derived(Thread.title_folded, of=Thread.title, compute=fold),
    Count(Thread.comment_count, via=Comment.thread),
    Sum(Thread.word_count, of=Comment.word_count, via=Comment.thread),
    Latest(Thread.last_comment_at, of=Comment.created_at, via=Comment.thread),
    Count(Author.comment_count, via=Comment.author),
    Sum(Author.word_count, of=Comment.word_count, via=Comment.author),
)
