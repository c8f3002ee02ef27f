"""Who competes in :mod:`.writes` and :mod:`.writers`: each way, and who writes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from .hosts import DriverHost, Host, SessionHost
from .strategies import (
    AGGREGATED,
    ATTRIBUTE_EVENTS,
    BEFORE_FLUSH,
    BY_HAND,
    MAPPER_EVENT,
    NO_COUNTER,
    NO_COUNTER_AGAIN,
    TALLIED,
    TALLIED_THREE,
    TRIGGER,
    Strategy,
)


@dataclass(frozen=True)
class Candidate:
    """One way, and how its comments are written."""

    strategy: Strategy
    objects: bool = False
    """Whether comments are given threads, and not their keys."""

    def __str__(self) -> str:
        return f"{self.strategy}, threads as objects" if self.objects else str(self.strategy)

    def host(self, engine: Engine) -> Host:
        """Return the host that writes the comments."""
        if self.strategy is BY_HAND:
            return DriverHost(engine)
        return SessionHost(engine, self.strategy, objects=self.objects)

    def ended(self, exact: Iterable[bool]) -> str:
        """Return the last cell of the row: whether the stored numbers were always right."""
        if not self.strategy.keeps:
            return "n/a"
        return "yes" if all(exact) else "no"


FLOOR = Candidate(NO_COUNTER)
CANDIDATES = (
    FLOOR,
    Candidate(NO_COUNTER_AGAIN),
    Candidate(TALLIED),
    Candidate(TALLIED_THREE),
    Candidate(TRIGGER),
    Candidate(BY_HAND),
    Candidate(MAPPER_EVENT),
    Candidate(AGGREGATED),
    Candidate(NO_COUNTER, objects=True),
    Candidate(TALLIED, objects=True),
    Candidate(ATTRIBUTE_EVENTS, objects=True),
    Candidate(BEFORE_FLUSH, objects=True),
)
