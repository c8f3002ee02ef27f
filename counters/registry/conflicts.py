"""Several engines in one process: what they may share, and what would go past one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column

from ..declarations.counter import Counter
from ..session.protection import ENGINES
from .checks import Finding, column_of
from .session_classes import name_of

if TYPE_CHECKING:
    from ..manager import Counters

INSTALLED = "tallied.counters.installed"
"""Where a column keeps the installed engines that keep or read it, in its ``info``."""


def related(engine: Counters) -> set[Counters]:
    """The other engines that were given some of the same counters or derived columns."""
    found = [c.target.property.info.get(ENGINES, ()) for c in engine.declared]
    found += [derived.engines for derived in engine.derived]
    return {other for each in found for other in each} - {engine}


def check_installed(engine: Counters, session_class: type[Any]) -> Iterator[Finding]:
    """Find the counters that another engine keeps on sessions of `session_class` already."""
    for counter in engine.declared:
        for other in counter.target.property.info.get(ENGINES, ()):
            clash = any(
                issubclass(session_class, each) or issubclass(each, session_class)
                for each in other.classes
            )
            if (
                other is not engine
                and clash
                and not (other.extends(engine) or engine.extends(other))
            ):
                yield (
                    "counters.E013",
                    f"{counter} is kept on {name_of(session_class)} by another Counters already.",
                    "Declare each counter once for a session class; to add some to those that are "
                    "installed there, extend the extension: install what its own extended() "
                    "returns.",
                )


def check_apart(engine: Counters) -> Iterator[Finding]:
    """Find counters of one engine that are computed from a counter that only another keeps.

    An engine writes counters by statements that no other engine sees.
    """
    others: dict[Counters, None] = {}
    for column in (*_kept(engine), *_read(engine)):
        others |= dict.fromkeys(column.info.get(INSTALLED, ()))
    for other in others.keys() - {engine}:
        for reader, keeper in ((engine, other), (other, engine)):
            kept, own = _kept(keeper), _kept(reader)
            for column, counter in _read(reader).items():
                if column in kept and column not in own:
                    yield (
                        "counters.E025",
                        f"{counter} is computed from {kept[column]}, which another Counters keeps.",
                        "Install what the extended() of the other returns, with both.",
                    )


def note_installed(engine: Counters) -> None:
    """Leave a note of `engine` at the columns that it keeps and reads."""
    for column in {*_kept(engine), *_read(engine)}:
        column.info.setdefault(INSTALLED, {})[engine] = None


def _kept(engine: Counters) -> dict[Column[Any], Counter]:
    return {column_of(c.parent, c.key): c for c in engine.declared}


def _read(engine: Counters) -> dict[Column[Any], Counter]:
    return {column_of(c.source, name): c for c in engine.declared for name in _names_read(c)}


def _names_read(counter: Counter) -> Iterator[str]:
    if counter.of is not None:
        yield counter.of.key
    if counter.predicate is not None:
        yield from counter.predicate.names
