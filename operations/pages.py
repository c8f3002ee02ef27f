"""The levels of connections: pages of a whole table, and of the children of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import ColumnElement

from ..concurrency.scheduler import yield_if_due
from ..execution.context import MAX_BATCH_SIZE, MAX_MESSAGES
from ..resolvers.pagination.arguments import RequestedFields, Window
from ..resolvers.pagination.keyset import PageOfRows, split_page
from ..resolvers.pagination.statements import (
    ChildRelation,
    select_count,
    select_counts,
    select_page,
    select_pages,
)
from ..resolvers.selections import Path, table_of
from .levels import ID, MESSAGE, FinishedPages, Level
from .run import Run
from .statements import (
    BoundStatement,
    fix_conditions,
    is_among,
    parametrize,
    window_parameters,
    window_shape,
)

SLICE = 250
"""How many rows are put into the response before other tasks may run."""


@dataclass
class PageLevel(Level):
    """Pages of a connection."""

    wants_cursors: bool = False
    wants_previous: bool = False
    wants_next: bool = False
    reads_page: bool = False
    counts: bool = False
    """Whether ``totalCount`` is requested."""

    def requested(self) -> RequestedFields:
        """Return the requested parts of the page."""
        return RequestedFields(
            frozenset(), self.reads_cursors, self.wants_previous, self.wants_next
        )

    def wants_more(self, window: Window) -> bool:
        """Return whether it is requested if there are more rows in the direction of a window."""
        return self.wants_previous if window.backward else self.wants_next

    @property
    def reads_cursors(self) -> bool:
        """Whether the statement reads the positions of rows."""
        return self.wants_cursors

    def pattern(self) -> str:
        """Return the target of the generated loop, with the position of each row."""
        pattern = super().pattern()
        return pattern.replace(", *_)", ", key, id, *_)") if self.wants_cursors else pattern

    def encoder(self, run: Run) -> Any:
        return run.windows[self.number].order.encode_parts

    def page_info(self, run: Run, page: PageOfRows) -> tuple[Any, ...]:
        """Return what ``pageInfo`` tells of a page."""
        start = end = None
        if self.wants_cursors and page.rows:
            encode, key = self.encoder(run), page.key
            start, end = (encode(row[key], row[key + 1]) for row in (page.rows[0], page.rows[-1]))
        return page.has_previous, page.has_next, start, end

    def empty_page(self) -> tuple[Any, ...]:
        """Return the page of a parent that was deleted meanwhile."""
        return (*([] for _ in self.lists), False, False, None, None)

    @property
    def width(self) -> int:
        """The number of the selected columns."""
        return len(self.places)

    @property
    def sort_places(self) -> Sequence[int]:
        """The places of the sort key and the id, which only cursors need as objects."""
        return () if self.wants_cursors else (self.width, self.width + 1)


class RootPage(PageLevel):
    """A page of a whole table."""

    async def load(self, run: Run) -> tuple[Any, int | None]:
        """Return the page for the generated function, and the total if it is requested."""
        window, page = run.windows[self.number], self.empty_page()
        searched = window.search_conditions()
        others = [*window.conditions(), *self.conditions(run)]
        if self.reads_page:
            page = await self._load_page(run, window, searched, others)
        total = None
        if self.counts:
            bound = self.shapes.bind(
                ("count", *(window_shape(window) if searched else (window.with_hidden,))),
                [*searched, *others],
                lambda: select_count(fix_conditions(window, searched, others)),
                {},
                viewer_values=run.values,
            )
            ((total,),) = await run.fetch(bound)
        return page, total

    async def _load_page(
        self,
        run: Run,
        window: Window,
        searched: list[ColumnElement[bool]],
        others: list[ColumnElement[bool]],
    ) -> tuple[Any, ...]:
        bound = self.shapes.bind(
            window_shape(window),
            [*searched, *others],
            lambda: select_page(
                parametrize(fix_conditions(window, searched, others)),
                self.selection,
                self.requested(),
                is_sqlite=self.database.is_sqlite,
            ),
            window_parameters(window, has_extra=self.wants_more(window)),
            lambda: self.stored,
            run.values,
        )
        rows = await run.fetch(bound)
        self.count_texts(run, rows)
        page = split_page(rows, window, self.requested(), self.width)
        make = await self.prepare(run, page.rows)
        return (*make(), *self.page_info(run, page))


@dataclass
class ChildPages(PageLevel):
    """The same page of the children of each parent."""

    is_child: ClassVar[bool] = True
    relation: ChildRelation = field(kw_only=True)
    parent_path: Path = field(kw_only=True)
    """The column of the parent's level with the parent's id."""
    has_stored_parents: bool = field(init=False)
    """Whether the parents' ids are as SQLite has them."""

    def read_paths(self) -> Iterable[Path]:
        return [ID, *self.variables]  # None of it tells that a parent has no rows.

    async def load(
        self, run: Run, ids: Sequence[Any], repeats: int
    ) -> tuple[Mapping[Any, Any], Mapping[Any, int] | None]:
        """Return the pages by parent, and the totals if they have to be counted.

        :param repeats: as of :meth:`count_texts`.
        """
        window = run.windows[self.number]
        pages = {}
        if self.reads_page and ids:
            pages = await self._load_pages(run, window, ids, repeats)
        totals = None
        if self.counts and window.needs_count:
            totals = await self._count(run, window, ids) if ids else {}
        return pages, totals

    async def _load_pages(
        self, run: Run, window: Window, ids: Sequence[Any], repeats: int
    ) -> dict[Any, Any]:
        rows_of: defaultdict[Any, list[Sequence[Any]]] = defaultdict(list)
        for part in self._batches(window, ids):
            rows = await run.fetch(self._statement(window, part))
            self.count_texts(run, rows, repeats)
            for row in rows:
                rows_of[row[-1]].append(row)
            await yield_if_due()
        return await self.finish_pages(run, self.split(window, rows_of), repeats)

    def split(
        self, window: Window, rows_of: Mapping[Any, Sequence[Sequence[Any]]]
    ) -> dict[Any, PageOfRows]:
        """Return the pages of the rows that were read, by parent."""
        requested, width, child_id = self.requested(), self.width, self.places[ID]
        return {
            id: split_page(rows, window, requested, width, child_id=child_id)
            for id, rows in rows_of.items()
        }

    async def finish_pages(
        self,
        run: Run,
        pages: Mapping[Any, PageOfRows],
        repeats: int,
        below: FinishedPages | None = None,
    ) -> dict[Any, Any]:
        """Return the pages for the generated function.

        :param below: the pages of a level below it that are loaded already.
        """
        shown = [row for page in pages.values() for row in page.rows]
        make = await self.prepare(run, shown, repeats, below)
        finished: dict[Any, Any] = {}
        part: list[tuple[Any, PageOfRows]] = []
        start = stop = 0
        for item in pages.items():
            part.append(item)
            stop += len(item[1].rows)
            if stop - start + len(part) > SLICE:
                self._finish_part(run, part, make(start, stop), finished)
                part, start = [], stop
                await yield_if_due()
        self._finish_part(run, part, make(start, stop), finished)
        return finished

    def _finish_part(
        self,
        run: Run,
        part: Sequence[tuple[Any, PageOfRows]],
        lists: Sequence[list[Any]],
        finished: dict[Any, Any],
    ) -> None:
        """Add some pages for the generated function, whose rows have been made at once."""
        is_plain = len(lists) == 1 and not self.wants_cursors  # Most are, and need no calls.
        start = 0
        for id, page in part:
            end = start + len(page.rows)
            if is_plain:
                finished[id] = (lists[0][start:end], page.has_previous, page.has_next, None, None)
            else:
                finished[id] = (*[rows[start:end] for rows in lists], *self.page_info(run, page))
            start = end

    def _batches(
        self, window: Window, ids: Sequence[Any], levels: int = 1
    ) -> Collection[Sequence[Any]]:
        """Return parts of the ids, the messages of whose pages fit into memory.

        :param levels: how many levels of pages are read below each of them.
        """
        size = MAX_BATCH_SIZE
        if MESSAGE in self.places:
            size = max(1, min(size, MAX_MESSAGES // window.rows_of_tree(levels)))
        return [ids[start : start + size] for start in range(0, len(ids), size)]

    def _statement(self, window: Window, ids: Sequence[Any], levels: int = 1) -> BoundStatement:
        conditions = window.conditions()
        has_extra = levels > 1 or self.wants_more(window)
        parameters = {"ids": ids, **window_parameters(window, has_extra=has_extra)}
        return self.shapes.bind(
            (*window_shape(window), levels),
            conditions,
            lambda: select_pages(
                self.relation,
                self._is_among,
                parametrize(fix_conditions(window, (), conditions)),
                self.selection,
                self.requested(),
                is_sqlite=self.database.is_sqlite,
                levels=levels,
            ),
            parameters,
            lambda: [*self.stored, *([-1] if self.has_stored_parents else ())],
        )

    def _is_among(self, column: Any) -> Any:
        return is_among(self.database, column, is_stored=self.has_stored_parents)

    async def _count(self, run: Run, window: Window, ids: Sequence[Any]) -> dict[Any, int]:
        conditions = window.conditions()
        bound = self.shapes.bind(
            ("count", window.top_level_only, window.with_hidden),
            conditions,
            lambda: select_counts(
                self.relation,
                self._is_among(table_of(self.relation.parent).c.id),
                fix_conditions(window, (), conditions),
            ),
            {"ids": ids},
            lambda: [0] if self.has_stored_parents else (),
        )
        return {row[0]: row[1] for row in await run.fetch(bound)}
