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
    is_complete: bool
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
            every = "all " if self.is_complete else ""
            some = {name: number for name, number in self.looked_at.items() if number}
            *others, last = [
                _number(number, _words_of(name))
                for name, number in (some or self.looked_at).items()
            ]
            listed = f"{', '.join(others)} and {last}" if others else last
            noun = "amounts" if self.only_amounts else "counters"
            return f"The {noun} of {every}{listed} are right."
        wrong = {"counter": self.counters, "amount": self.amounts}
        phrases = (_number(number, noun) for noun, number in wrong.items() if number)
        are = "is" if self.drifted == 1 else "are"
        command = "tallied rebuild --amounts" if self.amounts else "tallied rebuild"
        return f"{' and '.join(phrases)} {are} wrong; run `{command}`."


@dataclass(frozen=True)
class Rebuilt:
    """The result of ``rebuild``."""

    rows: int
    """How many rows had a wrong counter."""
    amounts: int
    """How many rows had a wrong amount."""

    def __str__(self) -> str:
        numbers = {"row": self.rows, "amount": self.amounts}
        phrases = [_number(number, noun) for noun, number in numbers.items() if number]
        return f"Put {' and '.join(phrases)} right." if phrases else "All counters were right."


def with_option(text: str, option: str) -> str:
    """Add the option that names the database to the commands of a text.

    :param option: such as ``--app forum:discussion``; nothing where there is none.
    """
    if not option:
        return text
    neutral = re.sub(r"`tallied (migrate|verify|rebuild|check)( --app …)?", r"`tallied \1", text)
    return re.sub(
        r"`tallied (migrate|verify|rebuild|check)\b", lambda match: f"{match[0]} {option}", neutral
    )


def _words_of(class_name: str) -> str:
    """Return the name of a class as a reader says it: ReactionTotal is a reaction total."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", class_name).lower()


def _number(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


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
