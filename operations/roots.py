"""The root fields of a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from graphql.execution.values import VariableValues

from ..database import Database
from ..database.statement import Rows
from ..errors import BadUserInput, UserError
from ..execution.context import Context
from ..execution.field_declarations import KeyedRowField
from ..resolvers.target_counts import (
    TargetKey,
    check_targets,
    counts_of,
    select_counts,
    target_conditions,
)
from ..resolvers.validation import find_unstorable
from ..schema.ids import decode_id
from ..schema.types.target import TargetCounts
from .arguments import Arguments
from .errors import Guard
from .levels import RowLevel
from .pages import RootPage
from .run import Run
from .statements import Shapes


class Root(ABC):
    """A root field: what it checks before any statement, and what it loads."""

    build_response: Callable[..., Any]
    """The generated function whose name is ``function``, if the root has one."""

    def finish(self, namespace: Mapping[str, Any]) -> None:
        """Take the generated function."""
        if name := getattr(self, "function", None):
            self.build_response = namespace[name]

    def check(self, context: Context, variables: VariableValues) -> Any:
        """Return what of a request :meth:`load` needs.

        :raises Guard: for a request that only graphql-core can answer.
        """
        return None

    @abstractmethod
    async def load(self, run: Run, checked: Any) -> Any:
        """Return the value of the field in the response."""


@dataclass
class NodeRoot(Root):
    """The row with a global id."""

    arguments: Arguments
    levels: Mapping[str, RowLevel]

    def check(self, context: Context, variables: VariableValues) -> tuple[str, UUID]:
        return _decode(self.arguments.read(variables)["id"], self.levels)

    def load(self, run: Run, checked: tuple[str, UUID]) -> Coroutine[Any, Any, Any]:
        type_name, key = checked
        return self.levels[type_name].load_row(run, key)


@dataclass
class NodesRoot(Root):
    """The rows with these global ids."""

    arguments: Arguments
    levels: Mapping[str, RowLevel]
    limit: int

    def check(self, context: Context, variables: VariableValues) -> list[tuple[str, UUID]]:
        ids = self.arguments.read(variables)["ids"]
        if len(ids) > self.limit:
            raise Guard("ids")
        return [_decode(id, self.levels) for id in ids]

    async def load(self, run: Run, checked: list[tuple[str, UUID]]) -> list[Any]:
        rows: dict[tuple[str, UUID], Any] = {}
        for type_name, level in self.levels.items():
            ids = [key for name, key in checked if name == type_name]
            if ids:
                unique = list(dict.fromkeys(ids))
                loaded = await level.load_rows(run, unique, 1 + len(ids) - len(unique))
                rows.update(((type_name, key), row) for key, row in loaded.items())
        return [rows.get(key) for key in checked]


@dataclass
class TargetRoot(Root):
    """The thread about an object of the host."""

    arguments: Arguments
    level: RowLevel

    def check(self, context: Context, variables: VariableValues) -> Any:
        target = self.arguments.read(variables)["target"]
        if target.type not in context.rules.targets:
            raise Guard("target")
        return target

    async def load(self, run: Run, checked: Any) -> Any:
        if find_unstorable(checked.key):
            return None
        return await self.level.load_target(run, checked.type, checked.key)


@dataclass
class TargetCountsRoot(Root):
    """The counts of objects of the host."""

    arguments: Arguments
    database: Database
    function: str

    def __post_init__(self) -> None:
        self._shapes = Shapes(self.database)

    def check(self, context: Context, variables: VariableValues) -> list[TargetKey]:
        targets = [target.read() for target in self.arguments.read(variables)["targets"]]
        try:
            check_targets(context.rules, targets)
        except UserError as error:
            raise Guard("targets") from error
        return targets

    async def load(self, run: Run, checked: list[TargetKey]) -> list[Any]:
        conditions = target_conditions(
            checked, run.read_condition, is_sqlite=self.database.is_sqlite
        )
        rows: Rows = ()
        if conditions:
            bound = self._shapes.bind(
                "counts",
                conditions,
                lambda: select_counts(conditions),
                {},
                viewer_values=run.values,
            )
            rows = await run.fetch(bound)
        counts = map(TargetCounts.from_counts, counts_of(checked, rows))
        return [self.build_response(item, run.context.rules, run.access) for item in counts]


@dataclass
class PageRoot(Root):
    """A page of a whole table."""

    page: RootPage
    function: str

    async def load(self, run: Run, checked: Any) -> Any:
        return self.build_response(*await self.page.load(run))


@dataclass
class ObjectRoot(Root):
    """An object that needs no row, with fields that may be rows."""

    build: Callable[[Context], Any]
    function: str
    rows: Mapping[str, tuple[KeyedRowField, RowLevel]]

    async def load(self, run: Run, checked: Any) -> Any:
        response = self.build_response(self.build(run.context), run.context.rules, run.access)
        for key, (declaration, level) in self.rows.items() if response is not None else ():
            id = declaration.find_key(run.access)
            response[key] = None if id is None else await level.load_row(run, id)
        return response


@dataclass
class ObjectsRoot(Root):
    """Objects that need no row."""

    build: Callable[[Context], Any]
    function: str

    async def load(self, run: Run, checked: Any) -> Any:
        rules, access = run.context.rules, run.access
        return [self.build_response(item, rules, access) for item in self.build(run.context)]


def _decode(id: str, levels: Mapping[str, RowLevel]) -> tuple[str, UUID]:
    try:
        return decode_id(id, "id", *levels)
    except BadUserInput as error:
        raise Guard("id") from error
