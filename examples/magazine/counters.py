"""The magazine's counters, beside Tallied's own, and the session class that keeps them all."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tallied.counters import Sum
from tallied.models import Thread
from tallied.models.counters import counters as tallied_counters

from .models import Article


class MagazineSession(Session):
    """The session class of the magazine, in which every comment is counted."""


# Comment -> thread -> article: a chain, of which Tallied has the first half.
counters = tallied_counters.extend(
    Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread),
)
counters.install(MagazineSession)
