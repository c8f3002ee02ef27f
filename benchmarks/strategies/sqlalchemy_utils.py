"""SQLAlchemy-Utils' ``aggregated``, used as its documentation shows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer, event, func
from sqlalchemy.orm import Mapper, Session, configure_mappers
from sqlalchemy_utils import aggregated
from sqlalchemy_utils.aggregates import manager

from .tables import Strategy, map_strategy

# Importing it listens to every session of the process and to every configuration of
# mappers. Here it listens to the sessions of its own way, so that no other way pays for
# it; and its mappers are configured once, since every further call doubles its UPDATEs.
event.remove(Session, "after_flush", manager.construct_aggregate_queries)
event.remove(Mapper, "after_configured", manager.update_generator_registry)


class AggregatedWords:
    """The cached column, as SQLAlchemy-Utils declares it."""

    @aggregated("comments", Column(Integer, nullable=False, server_default="0"))
    def word_count(cls: Any):  # type: ignore[no-untyped-def]  # what it returns is not a column
        """Return the expression that each UPDATE stores in the column."""
        return func.coalesce(func.sum(cls.comments.property.mapper.class_.word_count), 0)


def _aggregate_words() -> Strategy:
    strategy = map_strategy("SQLAlchemy-Utils", AggregatedWords)
    configure_mappers()
    manager.update_generator_registry()
    event.listen(strategy.Session, "after_flush", manager.construct_aggregate_queries)
    return strategy


AGGREGATED = _aggregate_words()
