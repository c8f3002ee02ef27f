"""Who competes in :mod:`.writes` and :mod:`.writers`: each way, and who writes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from .hosts import DriverHost, Host, SessionHost
from .ways import (
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
    Way,
)


@dataclass(frozen=True)
class Contestant:
    """One way, and how its comments are written."""

    way: Way
    objects: bool = False
    """Whether comments are given threads, and not their keys."""

    def __str__(self) -> str:
        return f"{self.way}, threads as objects" if self.objects else str(self.way)

    def host(self, engine: Engine) -> Host:
        """Who writes them."""
        if self.way is BY_HAND:
            return DriverHost(engine)
        return SessionHost(engine, self.way, objects=self.objects)

    def ended(self, exact: Iterable[bool]) -> str:
        """The last cell of its row: whether the stored numbers were always the recount."""
        if not self.way.keeps:
            return "n/a"
        return "yes" if all(exact) else "no"


FLOOR = Contestant(NO_COUNTER)
CONTESTANTS = (
    FLOOR,
    Contestant(NO_COUNTER_AGAIN),
    Contestant(TALLIED),
    Contestant(TALLIED_THREE),
    Contestant(TRIGGER),
    Contestant(BY_HAND),
    Contestant(MAPPER_EVENT),
    Contestant(AGGREGATED),
    Contestant(NO_COUNTER, objects=True),
    Contestant(TALLIED, objects=True),
    Contestant(ATTRIBUTE_EVENTS, objects=True),
    Contestant(BEFORE_FLUSH, objects=True),
)
