"""No counter, the floor of every cost; statements by hand; and Tallied's engine.

The floor has no listener of Tallied at all, since each would make Tallied look cheaper.
"""

from __future__ import annotations

from tallied.counters import Count, Counters, Latest, Sum

from .tables import Strategy, map_strategy

NO_COUNTER = map_strategy("no counter", keeps=(), is_derived=False)
NO_COUNTER_AGAIN = map_strategy("no counter, again", keeps=(), is_derived=False)
"""The same once more: how far the ratios of a run can be trusted."""

BY_HAND = map_strategy("raw driver, by hand")
"""Its tables alone; what is executed on them stands in :mod:`benchmarks.hosts`."""


def _tallied(name: str, *keeps: str) -> Strategy:
    strategy = map_strategy(name, keeps=keeps)
    Thread, Comment = strategy.Thread, strategy.Comment
    via = {"via": Comment.thread}
    declared = (
        Count(Thread.comment_count, **via),
        Sum(Thread.word_count, of=Comment.word_count, **via),
        Latest(Thread.last_comment_at, of=Comment.created_at, **via),
    )
    Counters(*(counter for counter in declared if counter.key in keeps)).install(strategy.Session)
    return strategy


TALLIED = _tallied("Tallied", "word_count")
TALLIED_THREE = _tallied(
    "Tallied, three counters", "comment_count", "word_count", "last_comment_at"
)
