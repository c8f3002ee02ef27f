"""No counter, the floor of every cost; and Tallied's engine."""

from __future__ import annotations

from tallied.counters import Count, Counters, Latest, Sum

from .tables import Way, map_way

NO_COUNTER = map_way("no counter", keeps=())
NO_COUNTER_AGAIN = map_way("no counter, again", keeps=())
"""The same once more: how far the ratios of a run can be trusted."""


def _tallied() -> Way:
    way = map_way("Tallied")
    Counters(
        Sum(way.Thread.word_count, of=way.Comment.word_count, via=way.Comment.thread),
    ).install(way.Session)
    return way


def _tallied_three() -> Way:
    way = map_way(
        "Tallied, three counters", keeps=("comment_count", "word_count", "last_comment_at")
    )
    Counters(
        Count(way.Thread.comment_count, via=way.Comment.thread),
        Sum(way.Thread.word_count, of=way.Comment.word_count, via=way.Comment.thread),
        Latest(way.Thread.last_comment_at, of=way.Comment.created_at, via=way.Comment.thread),
    ).install(way.Session)
    return way


TALLIED = _tallied()
TALLIED_THREE = _tallied_three()
