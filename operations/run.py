"""One execution of a plan."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from ..database.statement import Rows
from ..execution.context import Context
from ..host.access import Access
from ..resolvers.pagination.arguments import Window
from .loaded_lists import LoadedLists
from .statements import BoundStatement


@dataclass
class Run:
    """One execution of a plan."""

    context: Context
    access: Access
    """The viewer's access; with their author only if the plan asks for it."""
    read_condition: ColumnElement[bool] | None
    windows: Mapping[int, Window]
    """The windows of the pages by the number of their level."""
    lists: Mapping[str, Any]
    """The arguments of the fields with lists, by their names in the generated code."""
    loaded: LoadedLists = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = LoadedLists(self.context)

    def fetch(self, bound: BoundStatement) -> Coroutine[Any, Any, Rows]:
        """Return the rows of a statement."""
        return self.context.fetch(bound.statement, bound.parameters)
