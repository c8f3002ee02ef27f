"""Every cached number and every derived column of Tallied, one line each.

How they are kept is taught in :mod:`tallied.counters`.
"""

from __future__ import annotations

from ..content.characters import name_key
from ..counters import Count, Counters, Derived, Latest, Number, Sum
from .author import Author
from .comment import PENDING, Comment, is_listed, is_shown, is_top_level
from .flag import Flag
from .reaction import Reaction, ReactionTotal
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
    Derived(Comment.shown, of=Comment.status, compute=is_shown),
    Number(Comment.seq, via=Comment.thread, last=Thread.last_seq, where=Comment.shown),
    Count(Thread.comment_count, via=Comment.thread, where=Comment.shown),
    Count(Thread.top_level_count, via=Comment.thread, where=is_top_level() & is_listed()),
    Sum(Thread.word_count, of=Comment.word_count, via=Comment.thread, where=Comment.shown),
    Latest(Thread.last_comment_at, of=Comment.created_at, via=Comment.thread, where=Comment.shown),
    Count(Thread.pending_count, via=Comment.thread, where=Comment.status == PENDING),
    Count(Thread.flagged_count, via=Comment.thread, where=Comment.flagged),
    Count(Comment.flag_count, via=Flag.comment, where=Flag.closed_at.is_(None)),
    Count(Comment.child_count, via=Comment.parent),
    Count(Comment.reply_count, via=Comment.parent, where=Comment.shown),
    Count(Comment.listed_reply_count, via=Comment.parent, where=is_listed()),
    Count(Comment.thread_reply_count, via=Comment.root, where=Comment.shown),
    Count(ReactionTotal.count, via=Reaction.total),
    Sum(Comment.reaction_count, of=ReactionTotal.count, via=ReactionTotal.comment),
    Count(Author.comment_count, via=Comment.author, where=Comment.shown),
    Sum(Author.word_count, of=Comment.word_count, via=Comment.author, where=Comment.shown),
)
