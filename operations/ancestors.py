"""The rows above others, and a comment with its surroundings, as levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import Integer, Uuid, bindparam

from ..execution.comment_loaders import most_lines
from ..execution.context import MAX_BATCH_SIZE
from ..resolvers.pagination.surroundings import (
    Place,
    SurroundingRows,
    select_ancestors,
    select_surroundings,
    split_surroundings,
)
from ..resolvers.selections import Path, table_of
from .levels import MESSAGE, Level
from .pages import PageLevel
from .run import Run
from .statements import BoundStatement, is_among

Part: TypeAlias = Literal["comment", "ancestors", "siblings"]

TOTAL = -5
"""The place in the generated function's page of the total of a reply's siblings."""


@dataclass
class AncestorRows(Level):
    """The rows above those of another level."""

    is_child: ClassVar[bool] = True
    parent_path: Path = field(kw_only=True)
    """The column of the other level with the id of the row directly above."""
    has_stored_parents: bool = field(init=False)

    async def load(
        self, run: Run, ids: Sequence[UUID], repeats: int
    ) -> tuple[Mapping[UUID, Sequence[Any]], None]:
        """Return the rows above by the id of the lowest, the topmost first."""
        size = MAX_BATCH_SIZE
        if MESSAGE in self.places:
            size = most_lines(run.context.settings.reply_depth)
        rows: dict[UUID, Sequence[Any]] = {}
        own, above = self.places["id",], self.places["parent_id",]
        for start in range(0, len(ids), size):
            read = await run.fetch(self._statement(ids[start : start + size]))
            self.count_texts(run, read, repeats)
            rows |= {row[own]: row for row in read}
        make = await self.prepare(run, list(rows.values()), repeats)
        objects = dict(zip(rows, make()[0], strict=True))
        lines = {}
        for id in ids:
            line, key = [], id
            while key in rows:
                line.append(objects[key])
                key = rows[key][above]
            lines[id] = line[::-1]
        return lines, None

    def _statement(self, ids: Sequence[UUID]) -> BoundStatement:
        return self.shapes.bind(
            "ancestors",
            (),
            lambda: select_ancestors(
                lambda id: is_among(self.database, id),
                self.selection,
                is_sqlite=self.database.is_sqlite,
            ),
            {"ids": ids},
            lambda: self.stored,
        )


@dataclass
class SurroundingsLevel(PageLevel):
    """The surroundings of one comment, which are rows of one statement."""

    is_child: ClassVar[bool] = True
    parent_path: Path = field(kw_only=True)
    """The column of the threads' level with the thread's id."""
    arguments: str = field(kw_only=True)
    """The name of the field's arguments in the generated code."""
    total_below: str = field(kw_only=True)
    parts: list[Part] = field(default_factory=list)
    """Which of the rows each of the lists has."""
    has_stored_parents: bool = field(init=False)

    def encoder(self, run: Run) -> Any:
        return run.lists[self.arguments].order.encode_parts

    async def load(
        self, run: Run, ids: Sequence[UUID], repeats: int
    ) -> tuple[Mapping[UUID, tuple[Any, ...]], None]:
        """Return the surroundings by thread, of which there are those of one thread at most."""
        place: Place = run.lists[self.arguments]
        for start in range(0, len(ids), MAX_BATCH_SIZE):
            part = ids[start : start + MAX_BATCH_SIZE]
            rows = await run.fetch(self._statement(run, place, part))
            self.count_texts(run, rows, repeats)
            around = split_surroundings(rows, place.size, self.width)
            if around is not None:
                return {around.thread_id: await self._finish(run, around, repeats)}, None
        return {}, None

    async def _finish(self, run: Run, around: SurroundingRows, repeats: int) -> tuple[Any, ...]:
        """Return the rows for the generated function, and what pageInfo tells of the siblings."""
        _, above, siblings, position, has_previous, has_next = around
        rows = [*above, *siblings]
        make, height = await self.prepare(run, rows, repeats), len(above)
        lists = [
            objects[height + position]
            if part == "comment"
            else (objects[:height] if part == "ancestors" else objects[height:])
            for part, objects in zip(self.parts, make(), strict=True)
        ]
        total = above[-1][self.places[self.total_below,]] if self.counts and above else None
        encode, key = self.encoder(run), self.width
        ends = (
            [encode(row[key], row[key + 1]) for row in (siblings[0], siblings[-1])]
            if self.wants_cursors
            else (None, None)
        )
        return (*lists, total, has_previous, has_next, *ends)

    def _statement(self, run: Run, place: Place, ids: Sequence[UUID]) -> BoundStatement:
        with_hidden = run.context.sees_hidden
        table = table_of(self.model)
        return self.shapes.bind(
            (place.order, with_hidden),
            (),
            lambda: select_surroundings(
                (table.c.id == bindparam("comment_id", type_=Uuid()))
                & is_among(self.database, table.c.thread_id),
                place.order,
                bindparam("limit", type_=Integer()),
                self.selection,
                is_sqlite=self.database.is_sqlite,
                with_hidden=with_hidden,
            ),
            {"ids": ids, "comment_id": place.comment_id, "limit": place.size + 1},
            lambda: [*self.stored, *self.sort_places],
        )
