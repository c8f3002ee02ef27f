"""Levels: the rows of one statement, and what they become in the response."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam

from ..database import Database
from ..database.statement import Rows
from ..execution.context import MAX_BATCH_SIZE
from ..execution.field_declarations import LoadedField, LoadedRowField
from ..models import Author, Comment, Thread
from ..resolvers.queries import is_in_thread
from ..resolvers.selections import Path, Selection, select_rows, table_of
from .errors import Unsupported
from .ids import check_stored_keys, encode_ids, encode_stored_ids, unique_keys
from .loaded_lists import ListKey
from .run import Run
from .statements import Shapes, is_among
from .stored_values import is_key, is_time, mark, replace_marks

MAX_COLUMNS = 200
"""The most columns of a statement; the target of a loop in Python has at most 255 names."""

MAX_JOINS = 40
"""The most tables of a statement; SQLite joins at most 64."""

VALUE_LENGTH = 40
"""How many characters a value of the response is expected to have, if it is not a message."""

MESSAGE: Path = ("message",)
ID: Path = ("id",)

Items = Callable[..., tuple[list[Any], ...]]


class Awaited(NamedTuple):
    """A value of a row that is computed asynchronously, before the row is put together."""

    function: Callable[..., Any]
    paths: tuple[Path, ...]
    variable: str
    key: Path | None = None
    """The key of the related row that it is computed from, which may be missing."""


class LoadedList(NamedTuple):
    """A field with a list for each row, loaded before the rows are put together."""

    declaration: LoadedField
    parent_path: Path
    names: frozenset[str]
    variable: str


class LoadedRow(NamedTuple):
    """A field with another row for each row, loaded before the rows are put together."""

    declaration: LoadedRowField
    level: RowLevel
    parent_path: Path
    variable: str


class ChildLevel(Protocol):
    """A level whose rows belong to those of another."""

    number: int
    parent_path: Path
    """The column of the parent's level with the parent's id."""
    has_stored_parents: bool
    """Whether the parents' ids are as SQLite has them."""

    @property
    def needs_parent_objects(self) -> bool:
        """Whether the parents' ids have to be objects."""

    def finish(self) -> None:
        """Fix the columns, as of :meth:`.Level.finish`."""

    async def load(
        self, run: Run, ids: Sequence[Any], repeats: int
    ) -> tuple[Mapping[Any, Any], Mapping[Any, int] | None]:
        """Return the pages by parent, and the totals if they have to be counted.

        :param repeats: as of :meth:`.Level.count_texts`.
        """


class FinishedPages(NamedTuple):
    """The pages of a level by parent, as the response has them."""

    level: ChildLevel
    finished: Mapping[Any, Any]


@dataclass
class Level:
    """Rows of one type, which one statement reads.

    :param variables: the names in the generated code of the columns, by their paths.
    :param items: the generated function, which returns a list for each use of the rows.
    """

    is_child: ClassVar[bool] = False
    """Whether the level whose rows it belongs to fixes its columns."""

    number: int
    model: type[Any]
    database: Database
    variables: dict[Path, str] = field(default_factory=dict)
    ids: dict[tuple[Path, str], str] = field(default_factory=dict)
    """The names of the lists of global ids of rows, and of those of related rows by their keys."""
    awaited: list[Awaited] = field(default_factory=list)
    children: list[ChildLevel] = field(default_factory=list)
    loaded: list[LoadedList] = field(default_factory=list)
    loaded_rows: list[LoadedRow] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    """The expressions of the generated code, one for each use of the rows."""
    uses: Counter[Path] = field(default_factory=Counter)
    """How often a row's object has each column, at most."""
    objects: set[Path] = field(default_factory=set)
    """The columns that a function gets as objects of Python."""
    items: Callable[..., tuple[list[Any], ...]] = field(init=False)
    selection: Selection = field(init=False)
    shapes: Shapes = field(init=False)
    stored: list[int] = field(init=False)
    """The places of the columns that stay as the driver returns them."""
    stored_keys: set[Path] = field(init=False)
    """Those of them that are keys as SQLite has them."""

    def variable(self, path: Path) -> str:
        """Return the name of a column in the generated code, and read it from now on."""
        self.objects.add(path)
        return self.stored_variable(path)

    def stored_variable(self, path: Path) -> str:
        """Return the same for a use in which its value may be as the driver returns it."""
        self.uses[path] += 1
        return self.variables.setdefault(path, f"v{self.number}_{len(self.variables)}")

    def text(self, path: Path) -> str:
        """Return the expression of a column whose value is in the response as it is."""
        if not is_time(self.model, path):
            return self.variable(path)
        return mark(self.stored_variable(path))

    def id(self, path: Path, type_name: str) -> str:
        """Return the expression of the global id of a row, or of a related row, by its key."""
        key = self.stored_variable(path)
        name = self.ids.setdefault((path, type_name), f"i{self.number}_{len(self.ids)}")
        return name if path == ID else f"{name}[{key}]"

    @property
    def needs_parent_objects(self) -> bool:
        """Whether the ids of the parents of its rows have to be objects."""
        return False

    def family(self) -> list[Level]:
        """Return the levels whose rows one statement may read, so that they share its columns."""
        return [self]

    def read_paths(self) -> Iterable[Path]:
        """Return the paths of the columns that the statement reads."""
        return self.variables

    def finish(self) -> None:
        """Fix the columns, after the whole selection has been looked through.

        :raises Unsupported: for too many columns or related rows of one row.
        """
        family = self.family()
        paths = list(dict.fromkeys(path for level in family for path in level.read_paths()))
        joins = len({path[:-1] for path in paths})
        if len(paths) > MAX_COLUMNS or joins > MAX_JOINS:
            raise Unsupported("too many related rows of one row")
        for level in family:
            level.objects.update(
                child.parent_path for child in level.children if child.needs_parent_objects
            )
        objects = {path for level in family for path in level.objects}
        for level in family:
            level.fix(Selection.from_paths(paths or [ID]), objects)
        numbers = {level.number for level in family}
        for level in family:
            for child in level.children:
                child.has_stored_parents = child.parent_path in level.stored_keys
                if child.number not in numbers:
                    child.finish()

    def fix(self, selection: Selection, objects: Collection[Path]) -> None:
        """Take the columns of the statement, and those of them that are objects."""
        self.selection, self.shapes = selection, Shapes(self.database)
        self.places = {path: place for place, path in enumerate(selection.paths())}
        stored = [path for path in self.places if path not in objects and path in self.variables]
        self.stored = [place for path, place in self.places.items() if path not in objects]
        self.stored_keys = {
            path for path in stored if self.database.is_sqlite and is_key(self.model, path)
        }
        names = frozenset(self.variables[path] for path in objects if path in self.variables)
        self.lists = [replace_marks(expression, self.database, names) for expression in self.lists]
        self._message = self.places.get(MESSAGE)
        self._message_uses, self.value_uses = self.uses[MESSAGE], self.uses.total()
        shown = {path for path, _ in self.ids}
        self._checked = [self.places[path] for path in self.stored_keys - shown]

    def pattern(self) -> str:
        """Return the target of the generated loop over the rows."""
        names = [self.variables.get(path, "_") for path in self.selection.paths()]
        return f"({', '.join([*(value.variable for value in self.awaited), *names])}, *_)"

    def conditions(self, run: Run) -> list[ColumnElement[bool]]:
        """Return the conditions for the rows that the viewer may read."""
        condition = run.read_condition
        if condition is None or self.model is Author:
            return []
        return [is_in_thread(condition) if self.model is Comment else condition]

    def count_texts(self, run: Run, rows: Rows, repeats: int = 1) -> None:
        """Count the messages, most of which will be in the response, and expect its size.

        :param repeats: how often the response has the same row, at most.
        """
        size, characters = run.context.size, len(rows) * self.value_uses * VALUE_LENGTH
        place = self._message
        if place is not None:
            messages = sum([len(row[place] or "") for row in rows])
            size.read(messages)
            size.require_room()
            characters += messages * self._message_uses
        size.expect(characters * repeats)

    async def prepare(
        self, run: Run, rows: Rows, repeats: int = 1, pages: FinishedPages | None = None
    ) -> Items:
        """Load what the rows need for the response, and return the function for parts of them.

        :param rows: all rows of the level.
        :param repeats: as of :meth:`count_texts`.
        :param pages: those of one of the children that are loaded already.
        :returns: a function from the places of the first row and after the last one.
        """
        ids = self._encode_ids(rows)
        self.request_lists(run, rows)
        loaded: list[Any] = []
        for child in self.children:
            if pages is not None and child is pages.level:
                loaded += [pages.finished, None]
                continue
            keys = self._keys_of(rows, child.parent_path)
            loaded += await child.load(run, keys, repeats * (1 + len(rows) - len(keys)))
        for other in self.loaded_rows:
            parents = self._keys_of(rows, other.parent_path)
            loaded.append(await self._load_rows(run, other, parents, repeats))
        for item in self.loaded:
            loaded.append(await run.loaded.load(self._list_key(run, item)))
        values = {}
        for row in rows if self.awaited else ():
            computed = [await self._compute(run, value, row) for value in self.awaited]
            values[id(row)] = computed
        items, context, access = self.items, run.context, run.access
        encode = self.encoder(run)

        def make(start: int = 0, stop: int | None = None) -> tuple[list[Any], ...]:
            part = rows[start:stop]
            parts = [item[start:stop] if isinstance(item, list) else item for item in ids]
            if values:
                part = [(*values[id(row)], *row) for row in part]
            return items(part, context.rules, access, encode, *parts, *loaded)

        return make

    def request_lists(self, run: Run, rows: Rows) -> None:
        """Note the lists that the rows need, before those of other levels are loaded."""
        for item in self.loaded:
            run.loaded.request(self._list_key(run, item), self._keys_of(rows, item.parent_path))

    def _list_key(self, run: Run, item: LoadedList) -> ListKey:
        is_stored = item.parent_path in self.stored_keys
        return ListKey(item.declaration, run.lists[item.variable], item.names, is_stored)

    def _keys_of(self, rows: Rows, path: Path) -> list[Any]:
        """Return the keys in a column of rows, each once."""
        return unique_keys(map(itemgetter(self.places[path]), rows))

    async def _load_rows(
        self, run: Run, item: LoadedRow, parents: Sequence[UUID], repeats: int
    ) -> Mapping[UUID, Any]:
        """Return the row of each parent as the response has it."""
        rows: dict[UUID, Any] = {}
        for start in range(0, len(parents), MAX_BATCH_SIZE):
            part = parents[start : start + MAX_BATCH_SIZE]
            keys = await item.declaration.load(run.context, part)
            ids = list({key for key in keys.values() if key is not None})
            objects = await item.level.load_rows(run, ids, repeats) if ids else {}
            rows |= {id: objects.get(key) for id, key in keys.items() if key is not None}
        return rows

    def _encode_ids(self, rows: Rows) -> list[Any]:
        """Return the global ids of each use of a key.

        :raises Guard: for a stored key that is not spelled as it is written.
        """
        for place in self._checked:
            check_stored_keys(map(itemgetter(place), rows))
        ids: list[Any] = []
        for path, type_name in self.ids:
            encode: Any = encode_stored_ids if path in self.stored_keys else encode_ids
            keys = list(map(itemgetter(self.places[path]), rows))
            unique = keys if path == ID else unique_keys(keys)
            encoded = encode(type_name, unique)
            ids.append(encoded if path == ID else dict(zip(unique, encoded, strict=True)))
        return ids

    async def _compute(self, run: Run, value: Awaited, row: Sequence[Any]) -> Any:
        if value.key is not None and row[self.places[value.key]] is None:
            return None
        arguments = (row[self.places[path]] for path in value.paths)
        result = await value.function(run.context, *arguments)
        if isinstance(result, str):
            run.context.size.write(result)
        return result

    def encoder(self, run: Run) -> Any:
        """Return the function that makes the cursors of the rows, if they have any."""
        return None


class RowLevel(Level):
    """One row, or those of some ids."""

    def load_row(self, run: Run, id: UUID) -> Coroutine[Any, Any, Any]:
        """Return the row with that id as the response has it, or None."""
        return self._load_first(run, self._has_id, {"id": id})

    def load_target(self, run: Run, type: str, key: str) -> Coroutine[Any, Any, Any]:
        """Return the thread about an object of the host as the response has it, or None."""
        return self._load_first(run, _has_target, {"type": type, "key": key})

    async def load_rows(self, run: Run, ids: Sequence[UUID], repeats: int) -> dict[UUID, Any]:
        """Return the rows with these ids as the response has them.

        :param repeats: as of :meth:`count_texts`.
        """
        rows = await self._read(run, self._is_among, {"ids": ids}, repeats)
        make, place = await self.prepare(run, rows, repeats), self.places[ID]
        objects = make()[0]
        return {row[place]: item for row, item in zip(rows, objects, strict=True)}

    def sees_hidden(self, run: Run) -> bool:
        """Return whether the row may be one that does not exist for readers."""
        return self.model is Comment and run.context.sees_hidden

    def _has_id(self) -> Any:
        return table_of(self.model).c.id == bindparam("id", type_=Uuid())

    def _is_among(self) -> Any:
        return is_among(self.database, table_of(self.model).c.id)

    async def _load_first(
        self, run: Run, condition: Callable[[], Any], parameters: dict[str, Any]
    ) -> Any:
        rows = await self._read(run, condition, parameters)
        make = await self.prepare(run, rows)
        return make()[0][0] if rows else None

    async def _read(
        self,
        run: Run,
        condition: Callable[[], Any],
        parameters: dict[str, Any],
        repeats: int = 1,
    ) -> Rows:
        """Read the rows by a condition, which is built where the statement is not compiled yet."""
        conditions, with_hidden = self.conditions(run), self.sees_hidden(run)
        rows = await run.fetch(
            self.shapes.bind(
                (condition.__name__, with_hidden),
                conditions,
                lambda: select_rows(
                    self.model, self.selection, condition(), *conditions, with_hidden=with_hidden
                ),
                parameters,
                lambda: self.stored,
                run.values,
            )
        )
        self.count_texts(run, rows, repeats)
        return rows


def _has_target() -> Any:
    return (Thread.target_type == bindparam("type")) & (Thread.target_id == bindparam("key"))
