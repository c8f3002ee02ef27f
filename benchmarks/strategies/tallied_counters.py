"""No counter, the floor of every cost; and Tallied's engine.

The floor has no listener of Tallied at all, since each would make Tallied look cheaper.
"""

from __future__ import annotations

from tallied.counters import Count, Counters, Latest, Sum

from .tables import Strategy, map_strategy

NO_COUNTER = map_strategy("no counter", keeps=(), is_derived=False)
NO_COUNTER_AGAIN = map_strategy("no counter, again", keeps=(), is_derived=False)
"""The same once more: how far the ratios of a run can be trusted."""


def _tallied() -> Strategy:
    strategy = map_strategy("Tallied")
    Counters(
        Sum(
            strategy.Thread.word_count, of=strategy.Comment.word_count, via=strategy.Comment.thread
        ),
    ).install(strategy.Session)
    return strategy


def _tallied_three() -> Strategy:
    strategy = map_strategy(
        "Tallied, three counters", keeps=("comment_count", "word_count", "last_comment_at")
    )
    Counters(
        Count(strategy.Thread.comment_count, via=strategy.Comment.thread),
        Sum(
            strategy.Thread.word_count, of=strategy.Comment.word_count, via=strategy.Comment.thread
        ),
        Latest(
            strategy.Thread.last_comment_at,
            of=strategy.Comment.created_at,
            via=strategy.Comment.thread,
        ),
    ).install(strategy.Session)
    return strategy


TALLIED = _tallied()
TALLIED_THREE = _tallied_three()
