"""Results of ``verify`` and ``rebuild``, in words and as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from ..counters import Drift


@dataclass(frozen=True)
class Verified:
    """The result of ``verify``."""

    looked_at: dict[str, int]
    """The number of checked objects by the name of their class."""
    everything: bool
    """Whether all objects were checked."""
    only_amounts: bool
    """Whether no counter was checked."""
    counters: int
    """How many counters are wrong."""
    amounts: int
    """How many amounts are wrong."""

    @property
    def drifted(self) -> int:
        return self.counters + self.amounts

    def __str__(self) -> str:
        if not self.drifted:
            every = "all " if self.everything else ""
            some = {name: number for name, number in self.looked_at.items() if number}
            *others, last = [
                _number(number, _words_of(name))
                for name, number in (some or self.looked_at).items()
            ]
            listed = f"{', '.join(others)} and {last}" if others else last
            what = "amounts" if self.only_amounts else "counters"
            return f"The {what} of {every}{listed} are right."
        wrong = {"counter": self.counters, "amount": self.amounts}
        found = (_number(number, what) for what, number in wrong.items() if number)
        are = "is" if self.drifted == 1 else "are"
        command = "tallied rebuild --amounts" if self.amounts else "tallied rebuild"
        return f"{' and '.join(found)} {are} wrong; run `{command}`."


@dataclass(frozen=True)
class Rebuilt:
    """The result of ``rebuild``."""

    rows: int
    """How many rows had a wrong counter."""
    amounts: int
    """How many rows had a wrong amount."""

    def __str__(self) -> str:
        done = {"row": self.rows, "amount": self.amounts}
        found = [_number(number, what) for what, number in done.items() if number]
        return f"Put {' and '.join(found)} right." if found else "All counters were right."


def with_option(text: str, option: str) -> str:
    """Add the option that names the database to the commands of a text.

    :param option: such as ``--app forum:discussion``; nothing where there is none.
    """
    if not option:
        return text
    told = re.sub(r"`tallied (migrate|verify|rebuild|check)( --app …)?", r"`tallied \1", text)
    return re.sub(
        r"`tallied (migrate|verify|rebuild|check)\b", lambda found: f"{found[0]} {option}", told
    )


def _words_of(class_name: str) -> str:
    """Return the name of a class as a reader says it: ReactionTotal is a reaction total."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", class_name).lower()


def _number(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def as_json(drift: Drift) -> str:
    """Return `drift` as one line of JSON; the difference between times is in seconds."""
    record = {
        "counter": drift.counter,
        "key": drift.key,
        "stored": drift.stored,
        "true": drift.true,
        "difference": drift.difference,
    }
    return orjson.dumps(record, default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
