"""Time things side by side, on a machine that does other things too."""

from __future__ import annotations

import gc
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import quantiles
from time import perf_counter
from typing import TypeVar

K = TypeVar("K")

MIN_SAMPLES = 3
"""How often even the slowest contestant is timed."""


async def interleave(
    candidates: Mapping[K, Callable[[int], Awaitable[None]]], rounds: int, budget: float
) -> dict[K, list[float]]:
    """Return the seconds that each candidate took in each of its rounds.

    All take a turn in every round, in another order each time, so that what else the
    machine does falls on all alike. As in :mod:`timeit`, no garbage is collected while
    the clock runs. The first round warms up and is not in what is returned.

    :param contestants: what to time; called with the number of the round, from 0.
    :param budget: the seconds after which a contestant is left out of further rounds.
    """
    taken: dict[K, list[float]] = {name: [] for name in candidates}
    spent = dict.fromkeys(candidates, 0.0)
    order = list(candidates)
    for number in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            if number > MIN_SAMPLES and spent[name] > budget:
                continue
            seconds = await _time(candidates[name], number)
            spent[name] += seconds
            if number:
                taken[name].append(seconds)
        gc.collect()
    return taken


async def _time(work: Callable[[int], Awaitable[None]], number: int) -> float:
    gc.disable()
    try:
        start = perf_counter()
        await work(number)
        return perf_counter() - start
    finally:
        gc.enable()


def lower_quartile(seconds: Sequence[float]) -> float:
    """Return the lower quartile.

    Better than the median where others use the machine: whoever has to wait for a
    processor loses whole time slices, which are longer than what is measured.
    """
    return quantiles(seconds, n=4)[0]


def as_ratio(seconds: float | None, floor: float | None) -> str:
    """Return the ratio of `seconds` to `floor` as a cell of a table; None stands for a failure."""
    if seconds is None or floor is None:
        return "fails"
    ratio = seconds / floor
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def as_microseconds(seconds: float | None) -> str:
    return f"{(seconds or 0) * 1e6:,.0f} µs"
