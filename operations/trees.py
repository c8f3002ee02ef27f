"""Trees: pages of rows whose own pages are read by the same statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ..concurrency.scheduler import yield_if_due
from ..resolvers.pagination.arguments import Window
from .levels import FinishedPages, Level
from .pages import ChildPages
from .run import Run


@dataclass
class TreePages(ChildPages):
    """The same page of the children of each parent, which are rows of the parents' table.

    The levels of a tree have the columns of all. Those in a row that have the same window in a
    request are one statement.
    """

    def deeper(self) -> list[TreePages]:
        """Return the pages of this level's own rows."""
        return [
            child
            for child in self.children
            if isinstance(child, TreePages) and child.parent_path == ("id",)
        ]

    @property
    def needs_parent_objects(self) -> bool:
        """Whether its own ids are objects: those of all parents of a tree have one form."""
        return any(("id",) in level.objects for level in self.family())

    def finish(self) -> None:
        """Fix the columns, with the ids in the form of the parents' ids."""
        if not self.has_stored_parents:
            self.objects.add(("id",))
        super().finish()

    def family(self) -> list[Level]:
        return [self, *(level for child in self.deeper() for level in child.family())]

    @property
    def reads_cursors(self) -> bool:
        """Whether the statement reads the positions of rows, which any of its levels may need."""
        return any(isinstance(level, TreePages) and level.wants_cursors for level in self.family())

    def levels(self, run: Run) -> list[TreePages]:
        """Return this level, and those below it that the same statement reads."""
        levels, window = [self], run.windows[self.number]
        while window.may_read_levels(len(levels) + 1):
            below = (
                child
                for child in levels[-1].deeper()
                if child.reads_page and run.windows[child.number] == window
            )
            level = next(below, None)
            if level is None:
                break
            levels.append(level)
        return levels

    async def _load_pages(
        self, run: Run, window: Window, ids: Sequence[Any], repeats: int
    ) -> dict[Any, Any]:
        levels = self.levels(run)
        largest = max(levels, key=attrgetter("value_uses"))
        rows_of: defaultdict[Any, list[Sequence[Any]]] = defaultdict(list)
        for part in self._batches(window, ids, len(levels)):
            rows = await run.fetch(self._statement(window, part, len(levels)))
            largest.count_texts(run, rows, repeats)
            for row in rows:
                rows_of[row[-1]].append(row)
            await yield_if_due()
        pages = []
        parents: Collection[Any] = ids
        for level in levels:
            pages.append(level.split(window, {id: rows_of[id] for id in parents if id in rows_of}))
            if level is not levels[-1]:
                place = self.places["id",]
                parents = [row[place] for page in pages[-1].values() for row in page.rows]
        for level, own in zip(levels, pages, strict=True):
            level.request_lists(run, [row for page in own.values() for row in page.rows])
        finished: dict[Any, Any] = {}
        below: FinishedPages | None = None
        for level, own in zip(reversed(levels), reversed(pages), strict=True):
            finished = await level.finish_pages(run, own, repeats, below)
            below = FinishedPages(level, finished)
        return finished
