"""Who competes in :mod:`.writes` and :mod:`.writers`: each way, and who writes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table
from sqlalchemy import Engine

from .databases import markdown_table
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
    WITH_REPLIES,
    WITHOUT_REPLIES,
    Strategy,
)
from .timing import as_ratio


@dataclass(frozen=True)
class Candidate:
    """One way, and how its comments are written."""

    strategy: Strategy
    objects: bool = False
    """Whether comments are given threads, and not their keys."""

    def __str__(self) -> str:
        return f"{self.strategy}, threads as objects" if self.objects else str(self.strategy)

    @property
    def uses_driver(self) -> bool:
        """Whether it writes by hand, on the connection of a blocking driver."""
        return self.strategy is BY_HAND

    def host(self, engine: Engine) -> Host:
        """Return the host that writes the comments."""
        if self.uses_driver:
            return DriverHost(engine)
        return SessionHost(engine, self.strategy, objects=self.objects)

    def ended(self, exact: Iterable[bool]) -> str:
        """Return the last cell of the row: whether the stored numbers were always right."""
        if not self.strategy.keeps:
            return "n/a"
        return "yes" if all(exact) else "no"


@dataclass
class Result:
    """The measurements of one candidate, by the name of what was measured."""

    seconds: dict[str, float | None] = field(default_factory=dict)
    """The time that it takes; None if it failed."""
    exact: dict[str, bool] = field(default_factory=dict)
    """Whether the stored numbers equalled the recount afterwards."""


FLOOR = Candidate(NO_COUNTER)
CANDIDATES = (
    FLOOR,
    Candidate(NO_COUNTER_AGAIN),
    Candidate(TALLIED),
    Candidate(TALLIED_THREE),
    Candidate(WITHOUT_REPLIES),
    Candidate(WITH_REPLIES),
    Candidate(TRIGGER),
    Candidate(BY_HAND),
    Candidate(MAPPER_EVENT),
    Candidate(AGGREGATED),
    Candidate(NO_COUNTER, objects=True),
    Candidate(TALLIED, objects=True),
    Candidate(ATTRIBUTE_EVENTS, objects=True),
    Candidate(BEFORE_FLUSH, objects=True),
)
TABLES = tuple({c.strategy.Thread.__tablename__: c.strategy for c in CANDIDATES}.values())
"""A strategy for each pair of tables."""


def make_table(
    title: str,
    names: Sequence[str],
    results: Mapping[Candidate, Result],
    format_floor: Callable[[float | None], str],
) -> Table:
    """Return the results as a table, which is Markdown too: ratios to the floor."""
    table = markdown_table(title, "", *names, "ended exact")
    floor = results[FLOOR].seconds
    for candidate, result in results.items():
        ratios = {name: as_ratio(seconds, floor[name]) for name, seconds in result.seconds.items()}
        cells = [text if result.exact[name] else f"{text}, wrong" for name, text in ratios.items()]
        if candidate is FLOOR:
            cells = [format_floor(seconds) for seconds in floor.values()]
        table.add_row(str(candidate), *cells, candidate.ended(result.exact.values()))
    return table
