"""The change of the counters of one parent row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from .mapped_rows import Key


@dataclass(eq=False, slots=True)
class Change:
    """The change of the counters of one parent row; the maps are by counter."""

    added: dict[Hashable, Any] = field(default_factory=lambda: defaultdict(int))
    """What to add to counts and sums."""
    new_extreme: dict[Hashable, Any] = field(default_factory=dict)
    """The most extreme value that was added."""
    removed_extreme: dict[Hashable, Any] = field(default_factory=dict)
    """The most extreme value that was removed."""
    must_write: bool = False
    """Whether to write the row even if its counters stay the same."""
    detached: dict[Any, set[Key]] | None = None
    """The keys of the rows that no longer point to this one, by :class:`.ForeignKeyTracker`."""

    recounted: set[Hashable] | None = None
    """The sums that no difference can update; they are recounted."""

    def __bool__(self) -> bool:
        return bool(
            self.must_write
            or self.new_extreme
            or self.removed_extreme
            or self.recounted
            or any(self.added.values())
        )

    def recount(self, counter: Hashable) -> None:
        """Schedule a recount of a sum, once its parent is locked."""
        if self.recounted is None:
            self.recounted = set()
        self.recounted.add(counter)

    def is_recounted(self, counter: Hashable) -> bool:
        """Return whether a sum is to be recounted."""
        return self.recounted is not None and counter in self.recounted
