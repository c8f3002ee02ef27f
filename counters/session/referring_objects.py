"""The loaded objects that point to each row of a copied relation."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from sqlalchemy.orm import InstanceState

FIRST_SWEEP = 64
"""How many places are kept before those are looked for that nobody is left in."""


class ReferringObjects:
    """The objects of one session that point to each row of a link, or once did."""

    def __init__(self) -> None:
        self._at: dict[Any, WeakSet[InstanceState[Any]]] = {}
        self._sweep_at = FIRST_SWEEP

    def add(self, place: Any, state: InstanceState[Any]) -> None:
        """Remember `state` at `place`, a key or the state of an object that has none yet."""
        if place not in self._at:
            if len(self._at) >= self._sweep_at:
                self._at = {key: states for key, states in self._at.items() if states}
                self._sweep_at = max(FIRST_SWEEP, 2 * len(self._at))
            self._at[place] = WeakSet()
        self._at[place].add(state)

    def at(self, *places: Any) -> set[InstanceState[Any]]:
        """Return the states that were added at one of `places`."""
        return {state for place in places for state in self._at.get(place, ())}
